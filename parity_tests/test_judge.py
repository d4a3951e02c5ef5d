"""Mistakes, layouts and dtypes of other implementations, as `check` sees them."""

from unittest import mock

import numpy as np
import pytest
import safetensors.numpy
import torch

from numpy_vgg7 import VGG7Config, VGG7Error, functional, network
from numpy_vgg7.parity import check
from numpy_vgg7.parity.case import definition_trace, product_trace, random_case, random_model
from numpy_vgg7.parity.second import confusions, second_case, telling_batch_size
from parity_tests.judge_cases import CONFIG, candidate, case_file
from torch_ref.trace import trace as torch_trace


@pytest.fixture(scope="module")
def file():
    return case_file()


@pytest.fixture(scope="module")
def right(file):
    return candidate(file)


def softmax_without_maximum(logits):
    with np.errstate(all="ignore"):
        e = np.exp(logits)
        return e / e.sum(axis=1, keepdims=True)


def softmax_with_one_maximum(logits):
    with np.errstate(all="ignore"):
        e = np.exp(logits - logits.max())
        return e / e.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("wrong", [softmax_without_maximum, softmax_with_one_maximum])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_softmax_that_fails_for_large_logits_is_named(file, wrong, dtype):
    with mock.patch.object(functional, "softmax", wrong):
        mine = candidate(file, dtype=dtype)
    report = check(file, mine)
    assert not report.passed
    assert report.culprit == "loss forward"
    assert "second/probs is not finite" in report.diagnosis
    assert "largest logit of each image" in report.diagnosis
    assert check(file, {n: t for n, t in mine.items() if not n.startswith("second/")}).passed


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_derivative_of_1_at_zero_is_named(file, dtype):
    relu = network.ACTIVATIONS["relu"]._replace(backward=lambda x, out, d_out: np.where(x < 0, 0, d_out))
    with mock.patch.dict(network.ACTIVATIONS, relu=relu):
        mine = candidate(file, dtype=dtype)
    report = check(file, mine)
    assert report.culprit == "act4 backward"
    assert "second/conv4.grad" in report.diagnosis
    assert "conv4.grad" not in [t.name for t in report.comparison.tensors if not t.passed]


def test_no_gradient_of_the_second_batch_cancels():
    config = VGG7Config(image_size=4, classes=3, channels=(1, 2, 1, 2), hidden=(3, 4))
    for seed in range(40):  # of which some had each class as often the label as the likeliest
        case = second_case(random_case(random_model(config, seed), 6, seed), seed)
        assert np.abs(definition_trace(case)["fc7.bias.grad"]).max() > 0.1


def test_a_limit_of_the_activations_shows_in_the_second_batch(file):
    relu6 = network.ACTIVATIONS["relu"]._replace(forward=lambda x: np.clip(x, 0, 6))
    with mock.patch.dict(network.ACTIVATIONS, relu=relu6):
        mine = candidate(file)
    report = check(file, mine)
    assert report.culprit == "act1 forward"
    assert "ReLU6" in report.diagnosis


@pytest.mark.parametrize("preset", ["vgg7", "article", "vgg7-wide"])
def test_the_second_batch_has_zeros_before_every_relu_and_large_logits(preset):
    config = VGG7Config.preset(preset, image_size=8)
    case = second_case(random_case(random_model(config, 3), 6, 3), 3)
    trace = torch_trace(case)
    for number in (1, 2, 3, 4):
        assert (trace[f"conv{number}"] == 0).any()
    gradients = [array for name, array in trace.items() if name.endswith(".grad")]
    assert all(array.any() for array in gradients)
    if preset != "article":  # there, an arctan keeps logits small
        assert trace["logits"].max() > 900
        assert trace["logits"].min() < -1000
        assert trace["logits"][1].max() < -900


@pytest.mark.parametrize(("classes", "size"), [(10, 28), (10, 8), (12, 28), (7, 12), (26, 24)])
def test_the_size_of_the_batch_is_mistaken_for_no_other_factor(classes, size):
    batch = telling_batch_size(classes, size)
    sizes = {classes, classes / 2, 4, 9, size**2, (size // 2) ** 2, (size // 4) ** 2}
    assert not {batch, batch**2} & sizes
    assert any("2/K" in pair for pair in confusions(5, 10, 28))


def test_what_only_the_case_gave_is_refused(file):
    given = {**file.given, **{f"second/{name}": array for name, array in file.second.given.items()}}
    for tensors in (given, {"input": file.case.images}):
        with pytest.raises(VGG7Error, match="nothing of yours to judge"):
            check(file, tensors, partial=True)


def test_weights_written_back_must_be_those_of_the_case(file, right):
    changed = right["fc6.weight"].copy()
    changed[3, 2] = np.nextafter(changed[3, 2], 1)
    report = check(file, right | {"fc6.weight": changed})
    assert not report.passed
    assert report.culprit == "weights"
    assert "fc6.weight differs in 1 of 143 elements" in report.diagnosis


def test_weights_that_were_loaded_and_not_used_show_in_the_outputs(file):
    other = random_model(CONFIG, 99)
    case = file.case
    mine = network.trace(case.model.layers, other.params, case.images, case.labels)
    report = check(file, mine | case.model.params, partial=True)
    assert report.culprit == "conv1 forward"
    assert (
        "weights: 14 of 14 written back, 14 equal to the case's; used, judging by the outputs: none"
        in report.notes
    )


def scrambled(array, order):
    """What safetensors.numpy writes of an array that is stored in another order."""
    stored = np.ascontiguousarray(array.transpose(order)).transpose(np.argsort(order))
    return safetensors.numpy.load(safetensors.numpy.save({"x": stored}))["x"]


def test_a_file_written_from_transposed_arrays_is_recognised_and_no_layer_blamed(file):
    names = ("fc5.weight.grad", "fc6.weight.grad", "conv3.weight.grad")
    for dtype in ("float64", "float32"):
        mine = candidate(file, dtype=dtype)
        wrong = {name: scrambled(mine[name], tuple(range(mine[name].ndim))[::-1]) for name in names}
        wrong["act2"] = scrambled(mine["act2"], (0, 2, 3, 1))
        report = check(file, mine | wrong)
        assert {culprit.place for culprit in report.culprits} == {"file"}, report.diagnosis
        assert all(name in report.diagnosis for name in wrong)
        assert "not contiguous" in report.diagnosis
        assert sum(not tensor.passed for tensor in report.comparison.tensors) == len(wrong)


def test_the_inside_of_a_padded_array_is_recognised(file, right):
    padded = np.pad(right["act1.grad"], ((0, 0), (0, 0), (1, 1), (1, 1)))
    inside = padded[:, :, 1:-1, 1:-1]
    wrong = safetensors.numpy.load(safetensors.numpy.save({"x": inside}))["x"]
    assert not np.array_equal(wrong, inside)
    report = check(file, right | {"act1.grad": wrong})
    assert {culprit.place for culprit in report.culprits} == {"file"}
    assert "padded" in report.diagnosis


def test_a_transposed_gradient_of_a_square_layer_is_a_mistake_of_the_layer():
    file = case_file(VGG7Config(image_size=8, classes=7, channels=(3, 5, 6, 8), hidden=(13, 13)))
    mine = candidate(file)
    report = check(file, mine | {"fc6.weight.grad": mine["fc6.weight.grad"].T})
    assert report.culprit == "fc6 backward"
    assert "transposed" in report.diagnosis


def channels_last(right, columns=True):
    """A trace with activations in NHWC order, flattened so; fc5 in the same order if `columns`."""
    mine = {}
    for name, array in right.items():
        short = name.removeprefix("second/").split(".")[0]
        if array.ndim == 4 and ".weight" not in name:
            array = array.transpose(0, 2, 3, 1)
        if short == "flatten" or (columns and name.removeprefix("second/").startswith("fc5.weight")):
            array = array.reshape(len(array), 8, 9).swapaxes(1, 2).reshape(array.shape)
        mine[name] = array
    return mine


def test_nhwc_activations_and_flatten_order_are_named_and_no_layer_blamed(file, right):
    report = check(file, channels_last(right))
    places = {culprit.place for culprit in report.culprits}
    assert places == {"layout"}, [(c.place, c.diagnosis) for c in report.culprits]
    assert "NHWC" in report.diagnosis
    assert "flatten order H, W, C" in report.diagnosis


def test_a_flatten_order_that_fc5_does_not_share_is_a_mistake(file):
    def flatten(x):
        return x.transpose(0, 2, 3, 1).reshape(len(x), -1)

    with mock.patch.object(functional, "flatten", flatten):
        mine = candidate(file)
    report = check(file, mine)
    assert report.culprit == "flatten forward"
    assert "H, W, C" in report.diagnosis


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("trace", [torch_trace, product_trace, definition_trace])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_implementation_passes_whole_and_in_part(trace, dtype, seed):
    file = case_file(seed=seed)
    mine = candidate(file, trace, dtype)
    rng = np.random.default_rng(seed)
    some = {name: array for name, array in mine.items() if rng.random() < 0.4}
    gradients = {name: array for name, array in mine.items() if name.endswith((".weight.grad", ".bias.grad"))}
    for tensors in (mine, some, gradients):
        report = check(file, tensors, partial=tensors is not mine)
        report.assert_ok()
        assert report.dtype == dtype


FAULTS32 = {
    "factor": ("fc6.weight.grad", lambda t: t * 4, "fc6 backward", "exactly 4 times"),
    "one percent": ("conv3.weight.grad", lambda t: t * 1.01, "conv3 backward", "conv3.weight.grad"),
    "half precision": ("conv2", lambda t: t.astype("float16").astype("float32"), "conv2 forward", "conv2"),
    "rotated": ("conv2.weight.grad", lambda t: t[..., ::-1, ::-1], "conv2 backward", "rotated by 180"),
    "rate": ("fc7.weight.step1", lambda t: t * 1.001, "optimiser", "fc7.weight.step1"),
    "several steps": ("fc7.weight.step10", lambda t: t + 1e-3, None, None),
}


@pytest.mark.parametrize("fault", FAULTS32)
def test_a_mistake_is_found_and_placed_in_float32(file, fault):
    name, change, place, words = FAULTS32[fault]
    mine = candidate(file, dtype="float32")
    report = check(file, mine | {name: change(mine[name])})
    assert not report.passed
    assert report.comparison.first_divergence == name
    assert report.culprit == place
    assert words is None or words in report.diagnosis


def test_the_dtype_can_be_demanded(file):
    mine = candidate(file, dtype="float32")
    assert not check(file, mine, dtype="float64").passed
    assert check(file, candidate(file), dtype="float32").passed
    with pytest.raises(VGG7Error, match="float64"):
        check(file, mine, dtype="float16")


def test_tensors_of_pytorch_and_numbers_are_taken_from_python(file, right):
    mine = {name: torch.tensor(array, requires_grad=True) for name, array in right.items()}
    assert check(file, mine | {"loss": float(right["loss"])}).passed


def test_assert_ok_says_what_is_wrong(file, right):
    with pytest.raises(AssertionError, match="culprit: fc6 backward"):
        check(file, right | {"fc6.bias.grad": -right["fc6.bias.grad"]}).assert_ok()


def test_a_gradient_reshaped_without_a_transpose_is_a_mistake_if_the_update_was_made_with_it(file, right):
    wrong = right["fc5.weight.grad"].T.reshape(right["fc5.weight.grad"].shape)
    moved = right["fc5.weight"] - file.case.sgd.lr_fc * wrong
    report = check(file, right | {"fc5.weight.grad": wrong, "fc5.weight.step1": moved})
    assert report.culprit == "fc5 backward"


def test_a_square_gradient_in_a_scrambled_file_is_put_down_to_the_file():
    file = case_file(VGG7Config(image_size=8, classes=7, channels=(3, 6, 6, 8), hidden=(13, 13)))
    mine = candidate(file)
    wrong = {name: scrambled(mine[name], (1, 0)) for name in ("fc7.weight.grad", "fc6.weight.grad")}
    wrong["act1"] = scrambled(mine["act1"], (0, 1, 3, 2))
    report = check(file, mine | wrong)
    assert {culprit.place for culprit in report.culprits} == {"file"}, report.diagnosis


def test_a_loss_may_be_an_array_of_one_element(file, right):
    for name in ("loss", "second/loss"):
        assert check(file, right | {name: np.ascontiguousarray(right[name])}).passed
        assert not check(file, right | {name: np.full(1, 2 * right[name])}).passed
