"""Mistakes planted in two other implementations fail, are put in the right place, and named or described."""

import numpy as np
import pytest

from numpy_vgg7 import VGG7Config
from numpy_vgg7.parity import check
from parity_tests.foreign.trial import CONFIG, MISTAKES, STEPS, STYLES, candidate, case_of, judged

PLACED, NAMED = 0.97, 0.8  # of all mistakes
SAMPLE = MISTAKES[::3]  # a third takes half a minute
SEEDS = 3  # `python -m parity_tests.foreign.measure` has more


@pytest.fixture(scope="module")
def verdicts():
    file = case_of(0)
    with np.errstate(all="ignore"):  # a mistake may well overflow
        return {(style, planted.name): judged(style, planted, file) for style, planted in SAMPLE}


def test_there_are_enough_mistakes_of_different_names_in_both_styles():
    assert len(SAMPLE) >= 120
    assert len({(style, planted.name) for style, planted in MISTAKES}) == len(MISTAKES)
    assert {style for style, _ in SAMPLE} == set(STYLES)


def test_every_mistake_fails(verdicts):
    assert [key for key, verdict in verdicts.items() if not verdict.failed] == []


def test_mistakes_are_put_in_the_right_place(verdicts):
    wrong = {key: verdict.report for key, verdict in verdicts.items() if not verdict.placed}
    assert len(wrong) <= (1 - PLACED) * len(verdicts), wrong


def test_mistakes_are_named(verdicts):
    silent = {key: verdict.report for key, verdict in verdicts.items() if not verdict.named}
    assert len(silent) <= (1 - NAMED) * len(verdicts), silent


def test_no_mistake_is_taken_for_another_one(verdicts):
    assert {key: verdict.report for key, verdict in verdicts.items() if verdict.misleading} == {}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_correct_implementation_passes(style, seed):
    report = check(case_of(seed), candidate(style, case_of(seed), None, STEPS))
    assert report.passed, report.diagnosis


def both_names(batch, style, name):
    """The words about a mistake that has the numbers of another one for this batch size."""
    (planted,) = [planted for s, planted in MISTAKES if (s, planted.name) == (style, name)]
    return judged(style, planted, case_of(0, batch=batch)).report


def test_causes_that_give_the_same_numbers_are_both_named():
    words = both_names(4, "loop", "1/4 missing")
    assert "the factor 1/4 of the average pool is missing" in words
    assert "multiplied by the batch size N" in words
    assert "multiplied by the batch size N" not in both_names(6, "loop", "1/4 missing")
    assert "identity" in both_names(6, "loop", "hardtanh") or "hardtanh" in both_names(6, "loop", "hardtanh")


UNKNOWN = {
    "a monotone function": ("act1", lambda t: np.sqrt(t), "function of the right one that never decreases"),
    "a factor": ("conv2.weight.grad", lambda t: 1.05 * t, "is exactly 1.05 times what it should be"),
    "a scalar": ("loss", lambda t: np.asarray(1.05 * t), "no known mistake gives this number"),
    "the border": ("conv1", lambda t: t + 0.1 * _border(t), "at the border only"),
    "one channel": (
        "conv1",
        lambda t: t * (1 + (np.arange(3) == 1))[:, None, None],
        "entry 1 of axis 1 only",
    ),
}


def _border(maps):
    mask = np.ones(maps.shape)
    mask[:, :, 1:-1, 1:-1] = 0
    return mask * np.random.default_rng(0).standard_normal(maps.shape)


@pytest.mark.parametrize("kind", UNKNOWN)
def test_what_no_known_mistake_explains_is_described_and_not_guessed(kind):
    tensor, change, words = UNKNOWN[kind]
    file = case_of(0)
    report = check(file, {tensor: change(file.reference[tensor])}, partial=True)
    assert report.culprits[0].tensor == tensor
    assert words in report.culprits[0].diagnosis
    assert ":" not in report.culprits[0].diagnosis


@pytest.mark.parametrize("eps", [1e-6, 1e-9, 1e-12])
def test_a_small_deviation_is_no_factor_of_1(eps):
    file = case_of(0)
    report = check(file, {"loss": np.asarray(file.reference["loss"] * (1 + eps))}, partial=True)
    assert not report.passed
    assert "times" not in (report.diagnosis or "")


def test_mistakes_of_square_layers_and_of_other_sizes_are_named_too():
    square = VGG7Config(image_size=8, classes=6, channels=(4, 4, 4, 4), hidden=(16, 16))
    file = case_of(1, square, batch=5)
    chosen = {"linear dx not transposed", "dx with channels not exchanged", "conv db averaged", "Adam"}
    assert square != CONFIG
    for style, planted in MISTAKES:
        if planted.name in chosen:
            verdict = judged(style, planted, file)
            assert verdict.failed, planted.name
            assert verdict.named, verdict.report
            assert not verdict.misleading, verdict.report
