"""Each rule and each tolerance of the harness, just inside and just outside of it."""

from unittest import mock

import numpy as np
import pytest

from numpy_vgg7 import VGG7Config, network
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity import localise as localise_module
from numpy_vgg7.parity.case import definition_trace, random_case, random_model
from numpy_vgg7.parity.compare import Comparison, TensorResult, compare, judge, kind_of
from numpy_vgg7.parity.complex_step import Checked, complex_step, local_complex_step
from numpy_vgg7.parity.diagnose import Context
from numpy_vgg7.parity.localise import Culprit, Local, disagreements, localise
from numpy_vgg7.parity.report import summary
from numpy_vgg7.parity.rounding import Rounding, rounding_errors
from numpy_vgg7.parity.run import Report
from numpy_vgg7.parity.tolerances import TRAJECTORY64
from parity_tests.agreement import assert_agrees
from parity_tests.test_trajectories import distance

TRUTH = np.array([[4.0, -0.5, 0.0], [1e-3, 2.0, -3.0]])
INSIDE, OUTSIDE = 0.9, 1.1
CONFIG = VGG7Config(image_size=8, channels=(2, 3, 4, 5), hidden=(6, 7))


def off(place, error, truth=TRUTH):
    """The truth with one element that is off."""
    changed = truth.copy()
    changed[place] += error
    return changed


def small_case(batch_size=3, dtype="float64"):
    return random_case(random_model(CONFIG, 0, dtype), batch_size, 0)


# Two tensors.


@pytest.mark.parametrize("name", ["act1", "conv1.weight.grad", "fc5.bias.step1"])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("place", [(0, 0), (1, 1), (0, 2)], ids=["the largest", "another", "a zero"])
def test_an_error_may_be_a_million_millionth_of_the_largest_element(place, sign, name):
    bound = 4e-12
    assert judge(name, off(place, sign * INSIDE * bound), TRUTH).passed
    found = judge(name, off(place, sign * OUTSIDE * bound), TRUTH)
    assert not found.passed
    assert found.outside == 1
    assert found.max_relative_error == pytest.approx(OUTSIDE * 1e-12, rel=1e-3)


@pytest.mark.parametrize("tolerance", [1e-13, 1e-6])
def test_another_tolerance_takes_the_place_of_the_first(tolerance):
    assert judge("act1", off((1, 1), INSIDE * 4 * tolerance), TRUTH, tolerance, 1.0).passed
    assert not judge("act1", off((1, 1), OUTSIDE * 4 * tolerance), TRUTH, tolerance, 1.0).passed


def test_an_element_that_is_not_small_is_also_judged_by_its_own_size():
    truth = np.array([1.0, 2e-4])
    assert judge("act1", off(1, INSIDE * 1e-9 * 2e-4, truth), truth).passed
    assert not judge("act1", off(1, OUTSIDE * 1e-9 * 2e-4, truth), truth).passed


@pytest.mark.parametrize(("size", "passes"), [(0.9e-4, True), (1.1e-4, False)])
def test_an_element_is_small_below_a_ten_thousandth_of_the_largest(size, passes):
    truth = np.array([-1.0, size])
    assert judge("act1", off(1, 5e-13, truth), truth).passed == passes


def test_small_elements_are_judged_too():
    truth = np.array([1.0, 1e-7])
    assert not judge("act1", off(1, 1e-8, truth), truth).passed


@pytest.mark.parametrize(
    "place", [(0, 0), (0, 1), (1, 0)], ids=["the largest", "a negative one", "a small one"]
)
def test_an_element_with_the_wrong_sign_is_wrong(place):
    assert judge("act1", off(place, -2 * TRUTH[place]), TRUTH).outside == 1


def test_a_gradient_of_zeros_proves_nothing():
    found = judge("act1.grad", np.zeros(3), np.zeros(3))
    assert not found.passed
    assert found.note.startswith("vacuous")


def test_a_value_of_zeros_agrees_with_zeros_and_nothing_else():
    assert judge("act1", np.zeros(3), np.zeros(3)).passed
    assert not judge("act1", np.array([0, 0, 5e-324]), np.zeros(3)).passed
    assert not judge("conv1.bias.grad", np.zeros(2), np.array([0, 1e-300])).passed


@pytest.mark.parametrize("shape", [(1, 3), (3, 1), (2, 3), (1,), ()], ids=str)
def test_shapes_that_broadcast_do_not_agree(shape):
    found = judge("act1", np.ones(shape), np.ones(3))
    assert not found.passed
    assert "shape" in found.note


@pytest.mark.parametrize("dtype", ["float32", "int64", "complex128", "float16"])
def test_dtypes_must_be_equal(dtype):
    found = judge("act1", np.ones(3, dtype), np.ones(3))
    assert not found.passed
    assert "dtype" in found.note


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite_agrees_with_nothing(value):
    truth = np.array([1.0, value])
    for a, b in ((truth, np.ones(2)), (np.ones(2), truth), (truth, truth)):
        found = judge("act1", a, b)
        assert not found.passed
        assert "not finite" in found.note


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)], ids=str)
def test_a_tensor_without_elements_fails(shape):
    found = judge("act1", np.ones(shape), np.ones(shape))
    assert not found.passed
    assert found.note.startswith("empty")


# Two traces.


def test_a_comparison_of_nothing_fails():
    assert not compare({}, {}).passed
    assert not Comparison(()).passed


def test_a_trace_passes_if_all_its_tensors_do():
    reference = {"act1": TRUTH, "fc7.grad": TRUTH, "loss": np.asarray(1.0)}
    assert compare(dict(reference), reference).passed
    for name in reference:
        wrong = compare(reference | {name: reference[name] * 1.001}, reference)
        assert not wrong.passed
        assert wrong.first_divergence == name
        assert [tensor.name for tensor in wrong.tensors] == list(reference)


def test_a_tensor_that_only_one_trace_has_fails_by_name():
    reference = {"act1": TRUTH, "loss": np.asarray(1.0)}
    missing = compare({"loss": reference["loss"]}, reference)
    assert (missing.passed, missing.first_divergence) == (False, "act1")
    unexpected = compare(reference | {"act9": TRUTH}, reference)
    assert (unexpected.passed, unexpected.first_divergence) == (False, "act9")


def test_the_worst_error_of_a_trace_is_that_of_its_worst_tensor():
    reference = {"act1": TRUTH, "act2": TRUTH}
    found = compare({"act1": off((0, 0), 4e-3), "act2": off((0, 0), 4e-5)}, reference)
    assert found.max_relative_error == pytest.approx(1e-3)
    assert Comparison(()).max_relative_error == np.inf


def test_the_kind_of_a_tensor_is_in_its_name():
    names = {"conv1": "value", "conv1.grad": "gradient", "conv1.weight.grad": "gradient"}
    names |= {"conv1.weight": "value", "conv1.weight.step1": "update", "fc5.bias.step10": "update"}
    assert {name: kind_of(name) for name in names} == names


def test_a_layer_alone_may_be_off_by_a_tenth_of_that():
    for factor, found in ((INSIDE, 0), (OUTSIDE, 1)):
        local = Local("conv1 forward", "conv1", off((1, 1), factor * 4e-13), Context(None, 2))
        assert len(disagreements([local], {"conv1": TRUTH})) == found


@pytest.mark.parametrize("name", ["conv1", "probs", "fc6.weight.grad", "conv2.bias.step1"])
def test_a_foreign_tensor_may_be_off_by_a_million_millionth(name):
    case = small_case()
    right = definition_trace(case)
    largest = np.unravel_index(np.abs(right[name]).argmax(), right[name].shape)
    for factor, found in ((INSIDE, set()), (OUTSIDE, {name})):
        error = factor * 1e-12 * right[name][largest]
        trace = right | {name: off(largest, error, right[name])}
        culprits = localise(case.model.layers, case.sgd, case.labels, trace, foreign=True)
        assert {culprit.tensor for culprit in culprits} == found


def test_a_layer_alone_that_gives_zeros_is_right_only_where_the_trace_has_zeros():
    for computed, truth, found in ((0, 0, 0), (0, 1, 1), (1, 0, 1)):
        local = Local("fc5 backward", "act5.grad", np.full(3, float(computed)), Context(None, 2))
        assert len(disagreements([local], {"act5.grad": np.full(3, float(truth))})) == found


def test_a_layer_alone_with_another_shape_is_wrong():
    local = Local("fc5 forward", "fc5", np.zeros((1, 3)), Context(None, 2))
    assert disagreements([local], {"fc5": np.zeros(3)})


def test_every_result_of_every_layer_is_run_alone():
    case = small_case()
    reference = definition_trace(case)
    names = {
        one.tensor for one in localise_module.run_alone(case.model.layers, case.sgd, case.labels, reference)
    }
    given = {"input", *case.model.params}
    assert names >= {name for name in reference if name not in given and not name.endswith(".step10")}


# Gradients by complex steps.


@pytest.mark.parametrize(
    ("error", "passes"), [(0.9e-11, True), (1.1e-11, False), (np.inf, False), (np.nan, False)]
)
def test_a_complex_step_may_differ_by_a_hundred_thousand_millionth(error, passes):
    assert Checked("conv1.weight", error).passed == passes


def test_the_complex_step_measures_the_error_of_each_gradient():
    case = small_case()
    right = definition_trace(case)
    assert all(found.passed for found in complex_step(case, right, 0, 4))
    assert {found.name for found in complex_step(case, right, 0, 4)} == case.model.params.keys()
    for name in case.model.params:
        for factor, passes in ((5e-12, True), (2e-11, False)):
            trace = right | {f"{name}.grad": right[f"{name}.grad"] * (1 + factor)}
            wrong = {found.name for found in complex_step(case, trace, 0, 1000) if not found.passed}
            assert wrong == (set() if passes else {name})


def test_one_wrong_entry_of_a_gradient_shows_in_random_directions():
    case = small_case()
    trace = definition_trace(case)
    gradient = trace["fc5.weight.grad"] = trace["fc5.weight.grad"].copy()
    gradient[3, 7] += 0.01 * np.abs(gradient).max()
    (found,) = (one for one in complex_step(case, trace, 0, entries=0) if one.name == "fc5.weight")
    assert not found.passed


@pytest.mark.parametrize("key", ["x", "weight", "bias"])
def test_a_layer_alone_must_pass_the_complex_step(key):
    original = network.Linear.backward
    for factor, wrong in ((2e-13, []), (1e-9, ["fc5", "fc6", "fc7"])):

        def backward(self, params, x, out, d_out, factor=factor):
            d_x, gradients = original(self, params, x, out, d_out)
            found = {"x": d_x, **gradients}
            found[key] = found[key] * (1 + factor)
            return found.pop("x"), found

        with mock.patch.object(network.Linear, "backward", backward):
            assert local_complex_step(small_case(), 0) == wrong


# Rounding in float32, and updates.


@pytest.mark.parametrize(("ratio", "passes"), [(15.9, True), (16.1, False), (np.nan, False), (np.inf, False)])
def test_a_float32_error_may_be_sixteen_times_that_of_the_reference(ratio, passes):
    assert Rounding("conv1", ratio * 1e-6, 1e-6).passed == passes
    one_unit = 2.0**-23
    assert Rounding("conv1", ratio * one_unit, 0.0).passed == passes, "where the reference is exact by chance"


def test_every_tensor_that_is_rounded_is_measured():
    case = small_case(dtype="float32")
    measured = {found.name for found in rounding_errors(case, definition_trace)}
    exact = {"input", *case.model.params}
    names = set(definition_trace(case)) - exact
    assert measured == {name for name in names if not name.endswith(".step10")}


def test_a_trajectory_shows_a_rate_that_is_off_by_a_hundred_millionth():
    def trajectory(factor):
        model, sgd = small_case().copy().model, SGD(0.001 * factor, 0.003 * factor)
        velocity = sgd.init(model.params)
        for _ in range(1000):
            model.train_step(case.images, case.labels, sgd, velocity)
        return model.params

    case = small_case()
    right = trajectory(1)
    assert distance(trajectory(1 + 1e-12), right) <= TRAJECTORY64
    assert distance(trajectory(1 + 1e-8), right) > TRAJECTORY64


# What a report and the tests make of it.

PASSED = Comparison((TensorResult("conv1", "value", True, 0.0),))
FAILED = Comparison((TensorResult("conv1", "value", False, 1.0),))


def test_a_report_passes_if_nothing_failed():
    right = Rounding("conv1", 1e-7, 1e-7)
    report = Report("all", PASSED, (), (right,), {"conv1": 0.5}, (Checked("conv1", 0.0),), PASSED)
    assert report.passed
    assert report.culprit is report.diagnosis is None


@pytest.mark.parametrize(
    "failure",
    [
        {"comparison": FAILED},
        {"comparison": Comparison(())},
        {"culprits": (Culprit("weights", "conv1.weight", "differs"),)},
        {"rounding": (Rounding("conv1", 1.0, 1e-7),)},
        {"bounds": {"conv1": 1.1}},
        {"bounds": {"conv1": np.nan}},
        {"complex_steps": (Checked("conv1", 1.0),)},
        {"definition": FAILED},
    ],
    ids=lambda failure: next(iter(failure)),
)
def test_a_report_fails_if_any_comparison_does(failure):
    assert not Report(**{"title": "one", "comparison": PASSED} | failure).passed


def test_the_summary_has_a_line_for_each_culprit_up_to_ten():
    places = [f"fc{number} backward" for number in range(12)]
    culprits = [Culprit(place, "x", words) for place in places for words in ("a is wrong", "b is wrong")]
    lines = summary(Report("one", FAILED, (*culprits, *culprits)))
    assert lines[-11:] == [
        *(f"culprit: {place}: a is wrong; b is wrong" for place in places[:10]),
        "and 2 more (--json lists all culprits)",
    ]


def test_the_agreement_of_a_layer_with_pytorch_has_the_same_rules():
    assert_agrees(off((1, 1), INSIDE * 4e-12), TRUTH, "inside")
    wrong = [off((1, 1), OUTSIDE * 4e-12), TRUTH[:1], TRUTH.astype("float32"), TRUTH * np.nan]
    for array in wrong:
        with pytest.raises(AssertionError):
            assert_agrees(array, TRUTH, "outside")
    with pytest.raises(AssertionError, match="zero everywhere"):
        assert_agrees(np.zeros(3), np.zeros(3), "zeros")
