"""Purity, extreme values and interchange, each rule; and what `parity prove` makes of all checks."""

import sys
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from numpy_vgg7 import engine, functional, model, network
from numpy_vgg7.engine import executor
from numpy_vgg7.network import Activation, Linear
from numpy_vgg7.parity import checks, extremes
from numpy_vgg7.parity.case import RATES
from numpy_vgg7.parity.checks import CHECKS, Suite, interchange
from numpy_vgg7.parity.engine_check import EngineCase
from numpy_vgg7.parity.extremes import close, extreme_numbers
from numpy_vgg7.parity.localise import Culprit
from numpy_vgg7.parity.mutants import CATALOGUE
from numpy_vgg7.parity.prove import (
    TRAINS,
    WITHOUT_ENGINE,
    Verdict,
    control,
    examine,
    kinds_for,
    needed,
    remembered,
)
from numpy_vgg7.parity.purity import impurities
from numpy_vgg7.weights.formats import WRITERS
from torch_ref.trace import trace as referee
from torch_ref.training import train_batches

SUITE = Suite(0, referee, train_batches)


# Purity: a layer that does one thing wrong.


def layer_faults():
    forward, backward = Linear.forward, Linear.backward
    kept = {}

    def overwrites_x(self, params, x):
        out = forward(self, params, x)
        x *= 2
        return out

    def overwrites_d_out(self, params, x, out, d_out):
        found = backward(self, params, x, out, d_out)
        d_out *= 2
        return found

    def overwrites_weight(self, params, x, out, d_out):
        found = backward(self, params, x, out, d_out)
        params["weight"] *= 2
        return found

    def shares(self, params, x, out, d_out):
        d_x, gradients = backward(self, params, x, out, d_out)
        return d_x, gradients | {"bias": d_x[0, : len(gradients["bias"])]}

    def uses_again(self, params, x, out, d_out):
        d_x, gradients = backward(self, params, x, out, d_out)
        np.copyto(kept.setdefault((self.name, d_x.shape), d_x), d_x)
        return kept[self.name, d_x.shape], gradients

    def stale(self, params, x):
        last = kept.get((self.name, "x"), x)
        kept[self.name, "x"] = x.copy()
        return forward(self, params, last if last.shape == x.shape else x)

    return {
        "its input is overwritten": ("forward", overwrites_x),
        "the gradient that it is given is overwritten": ("backward", overwrites_d_out),
        "its parameters are overwritten": ("backward", overwrites_weight),
        "a result shares memory with another array": ("backward", shares),
        "results of a batch are overwritten by the next one": ("backward", uses_again),
        "out is stale: it depends on the previous batch": ("forward", stale),
    }


@pytest.mark.parametrize("words", layer_faults())
def test_an_impure_layer_is_described(words):
    method, wrong = layer_faults()[words]
    with mock.patch.object(Linear, method, wrong):
        found = list(impurities(SUITE.even(), 0))
    assert Culprit(f"fc5 {method}", "fc5", words) in found


@pytest.mark.parametrize("name", ["loss_and_gradients", "trace", "forward", "logits", "predict_proba"])
def test_a_method_of_the_engine_that_changes_its_images_is_seen(name):
    original = getattr(model.VGG7, name)

    def method(self, images, *labels):
        found = original(self, images, *labels)
        images *= 0.5
        return found

    with mock.patch.object(model.VGG7, name, method):
        words = {culprit.diagnosis for culprit in impurities(SUITE.even(), 0)}
    assert "images, labels or parameters are overwritten" in words


@pytest.mark.parametrize("name", ["loss_and_gradients", "trace", "forward", "logits", "predict_proba"])
def test_a_method_of_the_engine_that_uses_its_results_again_is_seen(name):
    original, kept = getattr(model.VGG7, name), {}

    def used_again(key, array):
        memory = kept.setdefault((key, array.shape), array)
        np.copyto(memory, array)
        return memory

    def method(self, images, *labels):
        found = original(self, images, *labels)
        if isinstance(found, np.ndarray):
            return used_again("", found)
        arrays = found if isinstance(found, dict) else found[1]
        arrays = {key: used_again(key, array) for key, array in arrays.items()}
        return arrays if isinstance(found, dict) else (found[0], arrays)

    with mock.patch.object(model.VGG7, name, method):
        words = {culprit.diagnosis for culprit in impurities(SUITE.even(), 0)}
    assert f"what {name} returned is overwritten by a later call" in words


# Extreme values.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_value_may_be_off_by_four_units_in_the_last_place(dtype):
    eps = np.finfo(dtype).eps
    values = np.array([1.0, -1.5], dtype)
    assert close(values * dtype_of(dtype, 1 + 3 * eps), values)
    assert not close(values * dtype_of(dtype, 1 + 6 * eps), values)
    assert close(values + dtype_of(dtype, 3 * eps), values * 1, absolute=eps)
    assert not close(np.array([7 * eps], dtype), np.array([0], dtype), absolute=eps)


def dtype_of(dtype, number):
    return np.dtype(dtype).type(number)


def test_what_is_not_finite_must_be_equal_and_in_the_same_place():
    nan, inf = np.nan, np.inf
    assert close(np.array([nan, inf, -inf, 1.0]), np.array([nan, inf, -inf, 1.0]))
    for a, b in ((nan, 1.0), (1.0, nan), (inf, nan), (inf, -inf), (inf, 1e308), (1e308, inf), (0.0, nan)):
        assert not close(np.array([a]), np.array([b]))
    assert not close(np.ones(1, "float32"), np.ones(1))
    assert not close(np.ones((1, 3)), np.ones(3))


def test_a_subnormal_number_is_not_zero():
    assert not close(np.zeros(1), np.array([np.finfo("float64").tiny / 4]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_extreme_numbers_hold_every_kind(dtype):
    x, info = extreme_numbers(dtype), np.finfo(dtype)
    assert x.dtype == dtype
    assert np.isnan(x).any()
    for sign in (1, -1):
        finite = sign * x[np.isfinite(x)]
        assert (sign * x == np.inf).any()
        assert ((finite > 0) & (finite < info.tiny)).any()
        assert (finite > 100).any()
        with np.errstate(over="ignore"):
            assert np.isinf(finite * finite).any()


def softmax_that(change):
    original = functional.softmax
    return mock.patch.object(functional, "softmax", lambda logits: change(original(logits), logits))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p, x: p, None),
        (lambda p, x: p * (1 + 3 * np.finfo(p.dtype).eps).astype(p.dtype), None),
        (lambda p, x: p * (1 + 6 * np.finfo(p.dtype).eps).astype(p.dtype), "has rows that do not sum to 1"),
        (lambda p, x: np.where(p == 1, np.nan, p), "is not finite for large logits"),
        (lambda p, x: p.astype("float64"), "float32 logits give float64 probabilities and a float32 loss"),
        (
            lambda p, x: np.roll(p, int(x.max() > 10_000), axis=1),
            "changes when a constant is added to all logits",
        ),
    ],
    ids=["right", "3 units off", "6 units off", "NaN", "wider", "not invariant"],
)
def test_the_softmax_of_large_logits(change, words):
    with softmax_that(change):
        found = [culprit.diagnosis for culprit in extremes.softmax_of_large_logits(0)]
    assert set(found) == ({words} if words else set())


@pytest.mark.parametrize("loss", [np.float32(np.inf), np.float64(1)], ids=["infinite", "wider"])
def test_the_loss_of_large_logits(loss):
    with mock.patch.object(functional, "cross_entropy", return_value=np.asarray(loss)):
        assert list(extremes.softmax_of_large_logits(0))


@pytest.mark.parametrize("function", ["relu", "tanh", "arctan"])
@np.errstate(all="ignore")
def test_an_activation_that_is_wrong_for_one_extreme_number_is_seen(function):
    layer = Activation("act1", function)
    right = network.ACTIVATIONS[function]
    assert not list(extremes.kernels([layer]))
    numbers = extreme_numbers("float64")
    for number in numbers[np.abs(numbers) > 0]:

        def wrong(x, number=number):
            out = right.forward(x)
            return np.where((x == number) | (np.isnan(x) & np.isnan(number)), out * 1.001 + 1e-310, out)

        with mock.patch.dict(network.ACTIVATIONS, {function: right._replace(forward=wrong)}):
            places = {culprit.place for culprit in extremes.kernels([layer])}
        # Infinity times 1.001 is infinity, and so is NaN; the smallest number is within 4 units of 0.
        assert "act1 forward" in places or np.isnan(number) or np.isinf(right.forward(number))


@np.errstate(all="ignore")
def test_a_batch_that_is_wrong_without_extreme_values_is_left_to_the_other_checks():
    case = EngineCase(SUITE.even(), RATES, 2, 2)
    assert not list(extremes.engine(case))
    with mock.patch.object(executor, "add_gradients"):
        assert not list(extremes.engine(case))


# Interchange.


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda tensor: tensor, False),
        (lambda tensor: np.nextafter(tensor, np.inf), True),
        (lambda tensor: tensor.astype("float32"), True),
    ],
    ids=["as it is", "one unit off", "another dtype"],
)
@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_a_format_must_keep_every_bit_and_the_dtype(suffix, change, found):
    even = SUITE.even()
    for parameter in even.model.params.values():
        parameter[...] = parameter.astype("float32")  # so that float32 loses nothing
    original = WRITERS[suffix]

    def writer(path, tensors, metadata):
        original(path, {name: change(tensor) for name, tensor in tensors.items()}, metadata)

    with mock.patch.object(Suite, "even", return_value=even), mock.patch.dict(WRITERS, {suffix: writer}):
        assert bool(list(interchange(SUITE))) == found


# The proof.


def test_a_check_that_raises_has_found_something_and_the_others_still_run():
    def broken(suite):
        yield checks.Finding("conv1")
        raise ZeroDivisionError("by zero")

    with mock.patch.dict(CHECKS, {name: lambda suite: iter(()) for name in CHECKS} | {"kinks": broken}):
        found = examine(SUITE)
    assert found.keys() == CHECKS.keys()
    assert [one.tensor for one in found["kinks"]] == ["conv1", "crash: ZeroDivisionError: by zero"]
    assert sum(map(len, found.values())) == 2


def test_a_check_of_a_bug_stops_when_it_has_located_it():
    located, seen = Culprit("conv1 forward", "conv1", "is wrong"), []

    def check(suite):
        for culprit in (None, located, located):
            seen.append(culprit)
            yield checks.Finding("conv1", culprit)

    with mock.patch.dict(CHECKS, {name: lambda suite: iter(()) for name in CHECKS} | {"kinks": check}):
        assert [one.culprit for one in examine(SUITE, until_located=True)["kinks"]] == [None, located]
        assert len(seen) == 2
        assert len(examine(SUITE)["kinks"]) == 3


def test_a_bug_is_settled_when_enough_checks_have_caught_it_and_one_has_located_it():
    caught = checks.Finding("conv1")
    located = checks.Finding("conv1", Culprit("conv1 forward", "conv1", "is wrong"))
    nothing = {name: lambda suite: iter(()) for name in CHECKS}
    some = {
        "float64 trace": lambda suite: iter([caught]),
        "kinks": lambda suite: iter([caught]),
        "complex step": lambda suite: iter([located]),
    }
    with mock.patch.dict(CHECKS, nothing | some):
        settled = examine(SUITE, enough=2)
        assert list(settled) == list(CHECKS)[: list(CHECKS).index("complex step") + 1]
        assert examine(SUITE).keys() == CHECKS.keys()


@pytest.mark.parametrize("kind", [kind for kind in CHECKS if kind not in TRAINS])
def test_a_bug_of_the_engine_is_looked_for_by_the_checks_that_run_the_engine(kind):
    folder, files = str(Path(engine.__file__).parent), set()
    sys.setprofile(lambda frame, event, argument: files.add(frame.f_code.co_filename))
    try:
        assert list(CHECKS[kind](SUITE)) == []
    finally:
        sys.setprofile(None)
    runs = any(file.startswith(folder) for file in files)
    assert runs == (kind not in WITHOUT_ENGINE)
    (of_engine,) = (mutant for mutant in CATALOGUE if mutant.name == "filters of an earlier step (engine)")
    assert (kind in kinds_for(of_engine)) == runs
    assert kind in kinds_for(CATALOGUE[0])


def test_a_reference_trace_is_computed_once_for_equal_cases_and_cannot_be_spoilt():
    calls = []

    def counted(case):
        calls.append(case)
        return referee(case)

    first = remembered(counted, SUITE.even())
    first["conv1"][:] = 0
    assert remembered(counted, SUITE.even())["conv1"].any()
    assert len(calls) == 1
    for other in (SUITE.kinks(), replace(SUITE.even(), sgd=replace(RATES, momentum=0.5)), SUITE.single()):
        for name, array in referee(other).items():
            assert np.array_equal(remembered(counted, other)[name], array), name
    assert len(calls) == 4


def test_the_control_names_what_it_finds():
    with mock.patch.dict(CHECKS, {"kinks": lambda suite: iter([checks.Finding("conv1")])}):
        (found,) = control((referee, train_batches), 1)
    assert found == ["seed 0, kinks: conv1"]


def test_a_bug_is_located_if_the_place_fits_the_pattern():
    mutant = replace(CATALOGUE[0], place="conv? backward")
    for place, right in (("conv2 backward", True), ("conv2 forward", False), ("act2 backward", False)):
        assert Verdict(mutant, ("kinks",), Culprit(place, "conv2", "")).blamed_right == right
    assert not Verdict(mutant, ("kinks",), None).blamed_right
    assert not Verdict(mutant, (), None).caught


def test_a_check_is_needed_for_the_bugs_that_it_alone_catches():
    verdicts = [Verdict(CATALOGUE[0], ("kinks",), None), Verdict(CATALOGUE[1], ("kinks", "purity"), None)]
    found = needed([*verdicts, Verdict(CATALOGUE[2], (), None)])
    assert found.pop("kinks") == [CATALOGUE[0].name]
    assert not any(found.values())
