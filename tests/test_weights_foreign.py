"""Weights as other programs save them are imported as the same function, or refused with the reason."""

import pickle

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.data import load
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import Origin, import_weights
from numpy_vgg7.weights.layouts import from_pytorch
from numpy_vgg7.weights.npz import npz_bytes
from tests.commands import numpy_vgg7
from tests.foreign_weights import CASES, CONFIG, LAYERS, assert_same, imported, prefixed, renamed, state

RELU = ("relu",) * 6 + ("identity",)
SEQUENTIAL = ("features.0", "features.2", "features.5", "features.10", "head.1", "head.3", "head.5")


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG, 3, "float32")


@pytest.fixture(scope="module")
def digits():
    return load(str(CASES / "digits_eval.npz"), 10, 8)


@pytest.mark.parametrize(
    ("name", "accuracy", "said", "origin"),
    [
        ("plain.pt", 0.9194, "", {}),
        ("dp.pt", 0.9194, "prefix 'module.'", {}),
        ("ckpt_msd.pt", 0.9194, "'model_state_dict'", {}),
        ("half.pt", 0.9194, "14 tensors from float16", {}),
        ("seq.pt", 0.9194, "features.5 -> conv3", {}),
        ("relufc.pt", 0.9093, "", {"activations": RELU}),
        ("keras_flatten.npz", 0.9194, "H, W, C", {"flatten": "hwc"}),
    ],
)
def test_a_case_is_imported_and_evaluates_as_in_pytorch(digits, name, accuracy, said, origin):
    found = import_weights(CASES / name, Origin(**origin))
    assert said in "\n".join(found.steps)
    share = (found.model.predict(digits.images) == digits.labels).mean()
    assert abs(share - accuracy) < (1.1 / len(digits) if name == "half.pt" else 5e-5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("relufc.pt", "assumed activations: relu, relu, relu, relu, tanh, tanh, identity"),
        ("maxpool.pt", "assumed pooling: average"),
        ("normed.pt", "assumed pixels: 0..1"),
        ("plain.pt", "assumed flatten order: C, H, W"),
        ("plain.pt", "assumed image size: 8x8, which follows from padding 1"),
    ],
)
def test_what_a_file_does_not_say_is_assumed_and_said(name, words):
    assert any(words in line for line in import_weights(CASES / name).assumed)


def test_nothing_is_assumed_of_a_file_with_metadata(model, tmp_path):
    model.save(tmp_path / "w.safetensors")
    found = import_weights(tmp_path / "w.safetensors")
    assert (found.steps, found.assumed) == ((), ())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "a.b.c."])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".npz", ".safetensors"])
def test_a_common_prefix_is_removed_and_said(model, tmp_path, prefix, suffix):
    path = tmp_path / f"w{suffix}"
    tensors = prefixed(state(model), prefix)
    if suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    elif suffix == ".safetensors":
        safetensors.torch.save_file(tensors, path)
    else:
        torch.save(tensors, path)
    found = import_weights(path)
    assert found.steps == (f"removed the prefix {prefix!r} from all names",)
    assert_same(found.model, model)


CHECKPOINTS = {
    "under any key": (lambda s: {"epoch": 1, "weights_of_this": s}, "weights_of_this"),
    "of Lightning": (lambda s: {"state_dict": prefixed(s, "model."), "callbacks": {}}, "state_dict"),
    "with Adam": (
        lambda s: {"net": s, "opt": {"state": {0: {"exp_avg": torch.ones(2, 2), "step": torch.ones(1)}}}},
        "net",
    ),
    "two levels deep": (lambda s: {"a": {"b": s}}, "a.b"),
}


@pytest.mark.parametrize("kind", CHECKPOINTS)
def test_the_only_state_dict_of_a_checkpoint_is_taken_and_said(model, tmp_path, kind):
    wrap, place = CHECKPOINTS[kind]
    found = imported(wrap(state(model)), tmp_path)
    assert found.steps[0] == f"took the state dict {place!r} of the checkpoint"
    assert_same(found.model, model)


def test_a_checkpoint_with_two_state_dicts_is_refused_with_both_names(model, tmp_path):
    with pytest.raises(VGG7Error, match="'model', 'ema'"):
        imported({"model": state(model), "ema": state(model)}, tmp_path)


def test_entries_that_are_not_tensors_are_ignored_and_said(model, tmp_path):
    found = imported({**state(model), "epoch": 3}, tmp_path)
    assert found.steps == ("ignored entries that are not tensors: 'epoch'",)
    assert_same(found.model, model)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_half_precision_is_widened_exactly(model, tmp_path, dtype, suffix):
    tensors = state(model, dtype)
    write = torch.save if suffix == ".pt" else safetensors.torch.save_file
    write(tensors, tmp_path / f"w{suffix}")
    found = import_weights(tmp_path / f"w{suffix}")
    kind = str(dtype).removeprefix("torch.")
    assert found.steps == (f"widened 14 tensors from {kind} to float32, exactly",)
    for name, tensor in tensors.items():
        assert np.array_equal(found.model.params[name], tensor.float().numpy()), name


UNREADABLE = {
    "complex": lambda tensor: tensor.to(torch.complex64),
    "of eight bits": lambda tensor: tensor.to(torch.float8_e4m3fn),
    "sparse": torch.Tensor.to_sparse,
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_parameter_that_cannot_be_read_is_refused_and_not_replaced_by_zeros(model, tmp_path, kind):
    content = state(model)
    content["conv2.bias"] = UNREADABLE[kind](content["conv2.bias"])
    with pytest.raises(VGG7Error, match=r"conv2\.bias: expected a tensor of floats"):
        imported(content, tmp_path)


CONTAINERS = {
    "parameters": nn.Parameter,
    "NumPy arrays": lambda tensor: tensor.numpy(),
    "big-endian arrays": lambda tensor: tensor.numpy().astype(">f4"),
    "Fortran-ordered arrays": lambda tensor: np.asfortranarray(tensor.numpy()),
    "transposed views": lambda tensor: tensor.transpose(0, -1).contiguous().transpose(0, -1),
    "slices of larger tensors": lambda tensor: torch.cat([tensor, tensor + 1])[: len(tensor)],
    "negated views": lambda tensor: torch._neg_view(-tensor),
}


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", CONTAINERS)
def test_tensors_in_any_memory_layout_are_read_bit_for_bit(model, tmp_path, kind, old):
    content = {name: CONTAINERS[kind](tensor) for name, tensor in state(model).items()}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    assert_same(import_weights(tmp_path / "w.pt").model, model)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_float64_stays_float64(tmp_path, old):
    model = random_model(CONFIG, 3, "float64")
    torch.save(state(model, torch.float64), tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    assert_same(import_weights(tmp_path / "w.pt").model, model)


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickled_dictionary_of_arrays_is_read(model, tmp_path, protocol):
    (tmp_path / "w.pkl").write_bytes(pickle.dumps(model.params, protocol))
    assert_same(import_weights(tmp_path / "w.pkl").model, model)


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".bin"])
def test_other_suffixes_of_pytorch_files_are_read(model, tmp_path, suffix):
    torch.save({"state_dict": state(model)}, tmp_path / f"w{suffix}")
    assert_same(import_weights(tmp_path / f"w{suffix}").model, model)


def test_the_counter_of_averaged_weights_is_ignored_and_said(model, tmp_path):
    averaged = torch.optim.swa_utils.AveragedModel(nn.ParameterDict())
    assert [name for name, _ in averaged.named_buffers()] == ["n_averaged"]
    found = imported(prefixed(state(model), "module.") | averaged.state_dict(), tmp_path)
    assert "ignored counters: 'n_averaged'" in found.steps
    assert_same(found.model, model)


def test_a_dictionary_of_layers_is_read(model, tmp_path):
    layers = {}
    for name, tensor in state(model).items():
        layers.setdefault(name.split(".")[0], {})[name.split(".")[1]] = tensor
    assert_same(imported(layers, tmp_path).model, model)


NAMES = {
    "Sequential": SEQUENTIAL,
    "one Sequential": ("0", "2", "5", "7", "11", "13", "15"),
    "numbered alike": ("conv_1", "conv_2", "conv_3", "conv_4", "dense_1", "dense_2", "dense_3"),
    "in blocks": ("block1.0", "block1.2", "block2.0", "block2.2", "fc1", "fc2", "fc3"),
    "as Keras numbers": ("conv2d", "conv2d_1", "conv2d_2", "conv2d_3", "dense", "dense_1", "dense_2"),
}


@pytest.mark.parametrize(
    "form", ["{key}{number}", "{key}_{number}", "layer{number}_{key}", "l{number}/{key}:0"]
)
@pytest.mark.parametrize("keys", [("W", "b"), ("kernel", "bias")], ids=["W", "kernel"])
def test_names_that_people_give_to_arrays_are_understood(model, tmp_path, form, keys):
    arrays = {}
    for name, parameter in model.params.items():
        layer, key = name.split(".")
        arrays[form.format(key=keys[key == "bias"], number=LAYERS.index(layer))] = parameter
    np.savez(tmp_path / "w.npz", **arrays)
    assert_same(import_weights(tmp_path / "w.npz").model, model)


def test_arrays_with_any_names_can_be_mapped(model, tmp_path):
    names = {name: f"array {index}" for index, name in enumerate(model.params)}
    np.savez(tmp_path / "w.npz", **{names[name]: parameter for name, parameter in model.params.items()})
    with pytest.raises(VGG7Error, match="--map OLD=NEW"):
        import_weights(tmp_path / "w.npz")
    maps = tuple(f"{old}={new}" for new, old in names.items())
    assert_same(import_weights(tmp_path / "w.npz", Origin(maps=maps)).model, model)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", NAMES)
def test_numbered_layers_are_mapped_by_order_and_shape(model, tmp_path, kind, suffix):
    write = torch.save if suffix == ".pt" else safetensors.torch.save_file
    write(renamed(state(model), NAMES[kind]), tmp_path / f"w{suffix}")
    found = import_weights(tmp_path / f"w{suffix}")
    assert f"{NAMES[kind][2]} -> conv3" in found.steps[-1]
    assert_same(found.model, model)


def test_shapes_alone_are_enough_where_only_one_order_fits(tmp_path):
    model = random_model(VGG7Config(image_size=8, channels=(2, 3, 5, 7), hidden=(11, 6)), 3, "float32")
    names = ("d", "c", "b", "a", "z", "y", "x")
    assert_same(imported(renamed(state(model), names), tmp_path).model, model)


def test_an_order_that_is_not_clear_is_refused_until_it_is_mapped(model, tmp_path):
    names = ("first", "second", "third", "fourth", "p", "q", "r")
    content = renamed(state(model), names)
    with pytest.raises(VGG7Error, match="--map OLD=NEW"):
        imported(content, tmp_path)
    maps = tuple(f"{old}={new}" for old, new in zip(names, LAYERS, strict=True))
    assert_same(imported(content, tmp_path, maps=maps).model, model)


def test_numbers_that_contradict_the_shapes_are_refused(tmp_path):
    model = random_model(
        VGG7Config(image_size=4, channels=(2, 2, 4, 4), hidden=(8, 16), classes=32), 3, "float32"
    )
    transposed = {n: t.T.contiguous() if t.ndim == 2 else t for n, t in state(model).items()}
    names = (*LAYERS[:4], "dense1", "dense2", "dense3")  # whose shapes form a chain in the order 3, 2, 1
    with pytest.raises(VGG7Error, match="--map OLD=NEW"):
        imported(renamed(transposed, names), tmp_path)


def test_a_map_of_an_unknown_name_lists_the_names(model, tmp_path):
    with pytest.raises(VGG7Error, match="choose from conv1, conv2"):
        imported(state(model), tmp_path, maps=("features.0=conv1",))


@pytest.mark.parametrize("layout", ["keras", "flax"])
def test_the_layouts_of_keras_and_flax_are_written_and_read_bit_for_bit(model, tmp_path, layout):
    (tmp_path / "w.npz").write_bytes(npz_bytes(from_pytorch(model.params, layout)))
    with np.load(tmp_path / "w.npz") as written:
        kernel = next(written[name] for name in written.files if name.endswith("conv3/kernel"))
    assert np.array_equal(kernel, model.params["conv3.weight"].transpose(2, 3, 1, 0))
    assert_same(import_weights(tmp_path / "w.npz", Origin(layout=layout)).model, model)
    with pytest.raises(VGG7Error, match="--layout keras"):
        import_weights(tmp_path / "w.npz")


def test_layers_of_keras_are_mapped_by_order(model, tmp_path):
    new = dict(zip(LAYERS, NAMES["as Keras numbers"], strict=True))
    keras = {}
    for name, array in from_pytorch(model.params, "keras").items():
        layer, key = name.split("/")
        keras[f"{new[layer]}/{key}:0"] = array
    np.savez(tmp_path / "w.npz", **keras)
    assert_same(import_weights(tmp_path / "w.npz", Origin(layout="keras")).model, model)


def test_the_weights_that_keras_lists_are_read_in_their_order(model, tmp_path):
    np.savez(tmp_path / "w.npz", *from_pytorch(model.params, "keras").values())
    assert_same(import_weights(tmp_path / "w.npz", Origin(layout="keras")).model, model)


def test_missing_biases_are_zeros_where_other_layers_have_one(model, tmp_path):
    content = state(model)
    del content["conv2.bias"]
    found = imported(content, tmp_path)
    assert found.steps == ("added biases of zeros, which change nothing: conv2.bias",)
    assert not found.model.params["conv2.bias"].any()


def test_a_scale_of_the_pixels_is_folded_exactly(model, tmp_path):
    images = np.random.default_rng(0).uniform(size=(3, 8, 8))
    found = imported(state(model), tmp_path, std=0.25).model
    scaled = model.forward((images[:, None] / 0.25).astype("float32"))
    assert np.abs(found.logits(images) - scaled).max() < 1e-5 * np.abs(scaled).max()


def test_a_mean_is_refused_since_the_padding_is_zero(model, tmp_path):
    with pytest.raises(VGG7Error, match="zero padding of conv1"):
        imported(state(model), tmp_path, mean=0.3, std=0.376)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_whole_modules_are_refused_with_how_to_save_a_state_dict(tmp_path):
    torch.jit.script(nn.Linear(2, 2)).save(tmp_path / "script.pt")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pt")
    for path, found in ((CASES / "whole.pt", "mk.Net"), (tmp_path / "module.pt", "Linear"),
                        (tmp_path / "script.pt", "TorchScript")):  # fmt: skip
        with pytest.raises(VGG7Error, match=rf"{found}.*never executed.*state_dict\(\)"):
            import_weights(path)


def test_evaluate_predict_and_inspect_take_what_import_takes(tmp_path):
    done = numpy_vgg7("evaluate", CASES / "dp.pt", "--data", CASES / "digits_eval.npz")
    assert done.code == 0, done.stderr
    assert "accuracy 0.9194" in done.stdout
    assert "prefix 'module.'" in done.stderr
    assert "assumed activations" in done.stderr
    np.save(tmp_path / "x.npy", np.zeros((8, 8)))
    for words in (
        ("predict", CASES / "seq.pt", tmp_path / "x.npy"),
        ("inspect", CASES / "half.pt", "--json"),
    ):
        assert numpy_vgg7(*words).code == 0, words
