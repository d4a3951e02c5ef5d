"""The check of the engine runs it as users do, and judges it by one tolerance per dtype; threads in turns."""

from collections import defaultdict
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from math import inf
from threading import Event, Lock
from unittest import mock

import numpy as np
import pytest

from numpy_vgg7 import model
from numpy_vgg7.engine import gemm, im2col, kernels, plan, update, winograd
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity import checks, engine_check, turns
from numpy_vgg7.parity.case import RATES
from numpy_vgg7.parity.checks import Suite, engine_against_definition
from numpy_vgg7.parity.engine_check import EngineCase, by_definition, by_engine, engine_mismatches
from numpy_vgg7.parity.mutants import CATALOGUE
from numpy_vgg7.parity.turns import lock_in_turns, run_in_turns
from torch_ref.trace import trace as referee
from torch_ref.training import train_batches

SUITE = Suite(0, referee, train_batches)
INSIDE, OUTSIDE = 0.9, 1.1


# What is run.


@pytest.fixture(scope="module")
def splits():
    """For each engine case of seed 0, the ranges that images are split into, by their number."""
    found = []
    for case in checks._engine_cases(SUITE):
        seen = defaultdict(list)

        def ranges(start, stop, count, original=plan.ranges, seen=seen):
            parts = original(start, stop, count)
            seen[len(parts)].append([part.stop - part.start for part in parts])
            return parts

        with mock.patch.object(plan, "ranges", ranges):
            by_engine(case)
        found.append((case, seen))
    return found


def test_the_cases_have_one_two_and_three_threads_and_each_of_them_has_a_task(splits):
    assert {case.threads for case, _ in splits} == {1, 2, 3}
    for case, seen in splits:
        if len(case.case.labels) >= case.threads:
            assert seen[case.threads], f"{case.threads} threads, but no batch is split into as many tasks"


def test_batches_are_single_images_and_several_uneven_shards(splits):
    assert {len(case.case.labels) for case, _ in splits} >= {1, 3, 4, 5, 7}
    sizes = [size for _, seen in splits for split in seen.values() for size in split]
    assert any(len(set(size)) > 1 for size in sizes), "no split is uneven"
    assert max(len(size) for size in sizes) >= 3


def test_a_single_thread_has_several_shards(splits):
    of_one = [seen for case, seen in splits if case.threads == 1]
    assert max(len(size) for seen in of_one for split in seen.values() for size in split) > 1


def test_products_of_every_kind_are_cut_into_blocks_on_any_processor():
    cut = defaultdict(set)
    for case in checks._engine_cases(SUITE):
        with ExitStack() as stack:
            for module in (kernels, im2col, winograd, gemm):

                class Recorded(gemm.Gemm):
                    def __init__(self, left, right, out, name=module.__name__):
                        super().__init__(left, right, out)
                        cut[name].add(self.left.ndim > left.ndim)

                stack.enter_context(mock.patch.object(module, "Gemm", Recorded))
            stack.enter_context(mock.patch.object(gemm, "block_limit", return_value=inf))
            by_engine(case)
    names = {"kernels", "im2col", "winograd", "gemm"}
    assert cut == {f"numpy_vgg7.engine.{name}": {True, False} for name in names}


def test_training_has_momentum_nesterov_decay_and_a_schedule_in_both_dtypes(splits):
    settings = [case.sgd for case, _ in splits]
    for name in ("momentum", "weight_decay", "nesterov"):
        assert {bool(getattr(sgd, name)) for sgd in settings} == {True, False}, name
    assert any(sgd.weight_decay and not sgd.momentum for sgd in settings)
    assert {case.case.model.dtype for case, _ in splits} == {"float32", "float64"}
    assert any(len(set(case.lr_scales)) == 3 for case, _ in splits)
    assert (
        {case.fortran_order for case, _ in splits} == {case.in_turns for case, _ in splits} == {True, False}
    )


def test_every_case_is_among_those_of_the_first_seeds_and_a_large_batch_too():
    seen = [
        case for seed in range(1, 11) for case in checks._engine_cases(Suite(seed, referee, train_batches))
    ]
    kinds = {(case.threads, case.images_per_shard, case.fortran_order, case.in_turns) for case in seen}
    assert {
        (c.threads, c.images_per_shard, c.fortran_order, c.in_turns) for c in checks._engine_cases(SUITE)
    } <= kinds
    assert max(len(case.case.labels) for case in seen) >= 300


def test_a_session_calls_every_method_with_changing_batches_and_parameters():
    case = EngineCase(SUITE.uneven(), replace(RATES, momentum=0.9), 2, 2)
    found = by_definition(case)
    names = set(found)
    assert names == by_engine(case).keys()
    for part in (
        "conv1.grad",
        "step 3: loss",
        "step 4: conv1.weight.grad",
        "fc7.bias.step4",
        "after step 2: logits",
    ):
        assert part in names
    for part in ("another batch", "parameters changed in place", "new parameters"):
        assert {f"{part}: {key}" for key in ("loss", "logits", "probs", "conv1.weight.grad")} <= names
    assert "fc5.weight.velocity.step3" in names
    assert len(found["step 1: probs"]) > len(found["step 2: probs"]), "all batches have one size"
    different = (
        "after step 1: logits",
        "after step 2: logits",
        "another batch: logits",
        "new parameters: logits",
    )
    assert len({found[name].tobytes() for name in different}) == len(different)


def test_the_engines_constants_are_as_before_after_a_session():
    before = [dict(vars(module)) for module in (plan, update, model)]
    by_engine(EngineCase(SUITE.few(), RATES, 2, 1, in_turns=True))
    assert before == [dict(vars(module)) for module in (plan, update, model)]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_engine_agrees_with_the_definition_with_any_number_of_threads(threads):
    cases = (replace(case, threads=threads) for case in checks._engine_cases(SUITE))
    assert list(engine_mismatches(cases)) == []


# How it is judged.


@pytest.mark.parametrize(("dtype", "bound", "element"), [("float64", 1e-12, 1e-9), ("float32", 1e-4, 0.1)])
def test_the_engine_may_differ_by_the_tolerance_of_its_dtype(dtype, bound, element):
    case = EngineCase(SUITE.smooth() if dtype == "float32" else SUITE.even(), RATES)
    right = by_definition(case)
    for name in ("step 1: fc7.weight.grad", "new parameters: logits"):
        reference = right[name].copy()
        size = float(np.abs(reference).max())
        largest = np.unravel_index(np.abs(reference).argmax(), reference.shape)
        small = tuple(index - 1 for index in largest)  # an element whose own size decides
        reference[small] = 3e-4 * size
        expected = mock.patch.object(engine_check, "by_definition", return_value=right | {name: reference})
        for place, error in ((largest, bound * size), (small, element * 3e-4 * size)):
            for factor, wrong in ((INSIDE, set()), (OUTSIDE, {name})):
                changed = reference.copy()
                changed[place] += factor * error
                found = mock.patch.object(engine_check, "by_engine", return_value=right | {name: changed})
                with expected, found:
                    assert {tensor for tensor, _ in engine_mismatches([case])} == wrong


def test_a_gradient_of_zeros_in_the_definition_must_be_zeros_in_the_engine():
    case = EngineCase(SUITE.even(), RATES)
    right = by_definition(case)
    name = "step 1: conv1.bias.grad"
    zeros = right | {name: np.zeros_like(right[name])}
    for found, wrong in ((zeros, set()), (right, {name})):
        reference = mock.patch.object(engine_check, "by_definition", return_value=zeros)
        with reference, mock.patch.object(engine_check, "by_engine", return_value=found):
            assert {tensor for tensor, _ in engine_mismatches([case])} == wrong


def test_a_tensor_that_the_engine_does_not_return_is_a_mismatch():
    case = EngineCase(SUITE.even(), RATES)
    found = by_definition(case)
    del found["another batch: probs"]
    with mock.patch.object(engine_check, "by_engine", return_value=found):
        assert [tensor for tensor, _ in engine_mismatches([case])] == ["another batch: probs"]


# Threads that take turns.


@np.errstate(all="ignore")
def test_two_tasks_that_share_a_buffer_are_seen_whatever_the_scheduler_does():
    (mutant,) = (one for one in CATALOGUE if one.name.startswith("two tasks share a buffer"))
    case = EngineCase(SUITE.few(), RATES, 2, 1, in_turns=True)
    first = []
    for _ in range(3):
        with mutant.applied():
            first.append([tensor for tensor, _ in engine_mismatches([case])])
    assert "conv1" in first[0]
    assert first[0] == first[1] == first[2]
    assert not list(engine_mismatches([case]))


def with_lines(monkeypatch):
    """Lets tasks take turns between the lines of this file."""
    monkeypatch.setattr(turns, "TRACED", (__file__, turns.__file__))


def test_tasks_run_line_by_line_in_turn(monkeypatch):
    with_lines(monkeypatch)
    seen = []

    def task(name):
        seen.append(name)
        seen.append(name)
        seen.append(name)

    run_in_turns([lambda: task("a"), lambda: task("b"), lambda: task("c")])
    assert "".join(seen) == "abc" * 3


def test_a_task_that_waits_for_a_lock_gets_it(monkeypatch):
    with_lines(monkeypatch)
    lock, seen = lock_in_turns(Lock)(), []

    def task(name):
        with lock:
            seen.append(name)
            seen.append(name)
        with lock:
            seen.append(name)

    run_in_turns([lambda: task("a"), lambda: task("b")])
    assert sorted(seen) == ["a"] * 3 + ["b"] * 3
    assert seen[:2] in (["a", "a"], ["b", "b"])


def test_what_is_no_lock_lets_tasks_run_in_turn(monkeypatch):
    with_lines(monkeypatch)
    nothing, seen = lock_in_turns(nullcontext)(), []

    def task(name):
        with nothing:
            seen.append(name)
            seen.append(name)

    run_in_turns([lambda: task("a"), lambda: task("b")])
    assert "".join(seen) == "abab"


def test_a_task_that_waits_for_something_else_does_not_stop_the_others(monkeypatch):
    with_lines(monkeypatch)
    monkeypatch.setattr(turns, "PATIENCE", 0.01)
    event, seen = Event(), []

    def waits():
        event.wait()
        seen.append("waited")

    def others():
        seen.append("other")
        event.set()

    run_in_turns([waits, others])
    assert seen == ["other", "waited"]


def test_the_error_of_a_task_is_raised_when_all_are_done():
    done = []

    def fail():
        raise ValueError("the first")

    with pytest.raises(ValueError, match="the first"):
        run_in_turns([fail, lambda: done.append(1)])
    assert done == [1]


def test_users_in_several_threads_must_take_turns():
    assert not list(engine_check.mismatches_beside_each_other(SUITE.even(), SGD(0.1, 0.1)))
    (mutant,) = (one for one in CATALOGUE if one.name.startswith("calls from two threads"))
    with mutant.applied():
        assert list(engine_against_definition(Suite(0, referee, train_batches)))
        assert list(engine_check.mismatches_beside_each_other(SUITE.even(), SGD(0.1, 0.1)))
