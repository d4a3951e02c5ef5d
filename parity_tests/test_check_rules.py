"""Rules of the checks that no bug of the catalogue needs: each is seen to matter."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config, functional
from numpy_vgg7.engine import kernels
from numpy_vgg7.network import Linear
from numpy_vgg7.parity import check, checks, extremes
from numpy_vgg7.parity.bounds import UNIT
from numpy_vgg7.parity.case import random_case, random_model
from numpy_vgg7.parity.case_file import CaseFile
from numpy_vgg7.parity.checks import Suite
from numpy_vgg7.parity.engine_check import EngineCase, engine_mismatches
from numpy_vgg7.parity.kernel_alone import run_kernel_alone
from numpy_vgg7.parity.purity import impurities
from torch_ref.trace import trace as referee
from torch_ref.training import train_batches

SUITE = Suite(0, referee, train_batches)


def wrong_in(name):
    """A referee that disagrees in one tensor."""

    def wrong(case):
        found = referee(case)
        return found | {name: found[name] * 1.001} if name in found else found

    return Suite(0, wrong, train_batches)


@pytest.mark.parametrize("name", ["conv2", "conv2.grad", "conv2.weight.grad"])
def test_the_trace_is_compared_in_values_and_gradients(name):
    assert name in {finding.tensor for finding in checks.values_and_gradients(wrong_in(name))}


def test_the_step_is_compared_in_updates():
    assert {f.tensor for f in checks.optimiser_step(wrong_in("conv2.weight.step1"))} == {"conv2.weight.step1"}


def test_a_loss_that_overwrites_the_probabilities_is_seen():
    original = functional.cross_entropy_backward

    def overwrites(probs, labels, *rest):
        d_logits = original(probs, labels, *rest)
        probs *= 2
        return d_logits

    with mock.patch.object(functional, "cross_entropy_backward", overwrites):
        assert "loss backward" in {culprit.place for culprit in impurities(SUITE.even(), 0)}


@pytest.mark.parametrize(
    "change", [lambda p: np.nextafter(p, np.inf), lambda p: p.astype("float32")], ids=["one unit", "dtype"]
)
def test_weights_that_are_read_must_be_equal_bit_for_bit(change):
    even = SUITE.even()
    for parameter in even.model.params.values():
        parameter[...] = parameter.astype("float32")  # so that float32 loses nothing
    params = {name: change(parameter) for name, parameter in even.model.params.items()}
    with (
        mock.patch.object(Suite, "even", return_value=even),
        mock.patch("numpy_vgg7.weights.read_foreign", return_value=(SimpleNamespace(params=params), False)),
    ):
        assert {finding.tensor for finding in checks.interchange(SUITE)} == params.keys()


def test_a_model_that_shares_the_parameters_it_was_made_of_is_seen():
    shares = mock.Mock(side_effect=lambda config, params: SimpleNamespace(params=params))
    even = SUITE.even()
    with mock.patch.object(Suite, "even", return_value=even), mock.patch.object(VGG7, "from_params", shares):
        read = mock.patch("numpy_vgg7.weights.read_foreign", return_value=(even.model, False))
        with read:
            assert {finding.tensor for finding in checks.interchange(SUITE)} == even.model.params.keys()


def test_a_loss_that_is_infinite_in_the_right_dtype_is_seen():
    with mock.patch.object(functional, "cross_entropy", lambda x, labels: np.asarray(np.inf, x.dtype)):
        found = {culprit.diagnosis for culprit in extremes.softmax_of_large_logits(0)}
    assert found == {"is not finite for large logits"}


def test_a_convolution_that_swallows_nan_is_seen_alone():
    original = kernels.Conv2d.forward

    def swallows(self):
        original(self)
        np.nan_to_num(self.out.pixels, copy=False)

    others = {name: mock.Mock(return_value=()) for name in ("kernels", "engine")}
    with mock.patch.multiple(extremes, **others):
        assert not list(checks.extreme_values(SUITE))
        with mock.patch.object(kernels.Conv2d, "forward", swallows):
            assert "conv1 forward" in {f.culprit.place for f in checks.extreme_values(SUITE)}


def test_a_kernel_that_adds_to_its_last_result_is_seen_alone():
    original = kernels.Linear.forward

    def adds(self):
        last = self.out.copy()
        original(self)
        self.out += last

    layer, rng = Linear("fc7", 5, 3, bias=False), np.random.default_rng(0)
    x, d_out, weight = (rng.standard_normal(shape) for shape in ((4, 5), (4, 3), (3, 5)))
    right = run_kernel_alone(layer, {"weight": weight}, x, d_out).out
    assert np.allclose(right, x @ weight.T)
    with mock.patch.object(kernels.Linear, "forward", adds):
        assert not np.allclose(run_kernel_alone(layer, {"weight": weight}, x, d_out).out, right)


def with_other_parameters(choose):
    """A model that computes logits with the parameters that `choose` gives; a training step forgets them."""
    kept = {}

    def logits(self, images, original=VGG7.logits):
        current, self.params = self.params, choose(kept, self.params)
        try:
            return original(self, images)
        finally:
            self.params = current

    def train_step(self, *given, original=VGG7.train_step):
        kept.clear()
        return original(self, *given)

    return mock.patch.multiple(VGG7, logits=logits, train_step=train_step)


def before_changes_in_place(kept, params):
    places = tuple(map(id, params.values()))
    return kept.setdefault(places, {name: parameter.copy() for name, parameter in params.items()})


def before_new_arrays(kept, params):
    return kept.setdefault("params", params)


@pytest.mark.parametrize("choose", [before_changes_in_place, before_new_arrays])
def test_an_engine_that_does_not_follow_the_parameters_is_seen(choose):
    case = EngineCase(SUITE.even(), checks.RATES, images_per_shard=2)
    assert not list(engine_mismatches([case]))
    with with_other_parameters(choose):
        assert list(engine_mismatches([case]))


@pytest.mark.parametrize(("units", "passed"), [(4, True), (30, False)])
def test_a_float32_tanh_may_be_off_by_a_few_units_only(units, passed):
    config = VGG7Config(image_size=8, channels=(2, 3, 4, 5), hidden=(6, 7))
    case = random_case(random_model(config, 0), 5, 0)
    file = CaseFile(case, referee(case), None, 0)
    mine = {name: array.astype("float32") for name, array in referee(case).items()}
    mine["act5"] = (np.tanh(mine["fc5"].astype("float64")) * (1 + units * UNIT)).astype("float32")
    report = check(file, {name: mine[name] for name in ("fc5", "act5")}, partial=True)
    assert report.passed == passed, report.diagnosis
