"""`check_layer` fails each mistake in a single layer, names it rightly, and passes correct layers."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from numpy_vgg7 import functional as F
from numpy_vgg7.errors import LayerError
from numpy_vgg7.parity import check_layer
from numpy_vgg7.parity.layer_mistakes import mistakes
from numpy_vgg7.parity.layer_trials import LIKES, trial_of, trials
from numpy_vgg7.parity.layer_truth import definition, tolerances
from tests.commands import python
from tests.layer_mistakes import EXAMPLES
from tests.layer_styles import STYLES


def check(style, *replacements, dtype="float64", seed=0, like="its own"):
    """The report on a style of `STYLES`, with parts of its source replaced."""
    x, params = STYLES[style].arrays(seed, dtype)
    like = STYLES[style].like if like == "its own" else like
    return check_layer(*STYLES[style].layer(*replacements), x, params, like=like, seed=seed)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.style}: {e.words}")
def test_a_mistake_is_found_and_named_once(example):
    report = check(example.style, *example.replacements)
    assert len(report.findings) == 1, report
    assert example.words in str(report.findings[0])


# In float32 the smallest mistakes are below the rounding errors.
VISIBLE32 = [e for e in EXAMPLES if "1e-12" not in e.words and "1e-07" not in e.words and "dtype" not in e.words]


@pytest.mark.parametrize("example", VISIBLE32[::4], ids=lambda e: f"{e.style}: {e.words}")
def test_a_mistake_is_named_in_float32_too(example):
    if "float32" in str(example.replacements):
        return
    report = check(example.style, *example.replacements, dtype="float32")
    assert len(report.findings) == 1, report
    assert example.words in str(report.findings[0])
    assert "rounding" in str(report)


def rows():
    tensors = {"conv2d": ("out", "x", "weight", "bias"), "linear": ("out", "x", "weight", "bias")}
    for like in LIKES:
        for tensor in tensors.get(like, ("out", "x")):
            for number, row in enumerate(mistakes(like, tensor)):
                yield pytest.param(like, tensor, row, id=f"{like} {tensor} {number}")


def arguments(like):
    """Arrays for a layer like `like`; where the channels are equal, the shapes cannot help."""
    rng = np.random.default_rng(5)
    if like == "softmax_cross_entropy":
        return rng.standard_normal((4, 5)), {"labels": rng.integers(0, 5, 4)}
    if like == "conv2d":
        return rng.standard_normal((2, 3, 5, 4)), {"w": rng.standard_normal((3, 3, 3, 3)), "b": np.ones(3)}
    if like == "linear":
        return rng.standard_normal((5, 5)), {"w": rng.standard_normal((5, 5)), "b": np.ones(5)}
    return rng.standard_normal((3, 2, 4, 6)), {}


@pytest.mark.parametrize(("like", "tensor", "row"), rows())
def test_a_layer_that_computes_an_entry_of_the_dictionary_is_named_by_it(like, tensor, row):
    x, params = arguments(like)
    right = trial_of(like, x, params)

    def wrong(trial):
        if row.direction is None:
            return np.array(row.formula(trial), dtype=float)
        return row.formula(trial) + 0.3 * row.direction(trial)

    def trial(x, *values):
        return replace(right, x=x, params=dict(zip(params, values, strict=True)))

    def forward(*values):
        given = trial(*values)
        shaped = replace(given, d_out=np.zeros(F_SHAPE[like](given)))
        with np.errstate(all="ignore"):
            return (wrong(shaped) if tensor == "out" else definition(shaped)["out"]), values

    def backward(d_out, cache):
        given = replace(trial(*cache), d_out=d_out)
        gradients = definition(given)
        if tensor != "out":
            with np.errstate(all="ignore"):
                gradients[tensor] = wrong(given)
        return tuple(gradients[name] for name in ("x", "weight", "bias") if name in gradients)[: 1 + 2 * bool(params) * (like != "softmax_cross_entropy")]

    report = check_layer(forward, backward, x, params, like=like)
    assert any(row.words.format(c="0.3") in finding.words and finding.named for finding in report.findings), report


F_SHAPE = {
    "conv2d": lambda t: (t.n, len(t.w), *t.x.shape[2:]),
    "linear": lambda t: (t.n, len(t.w)),
    "avg_pool2d": lambda t: (*t.x.shape[:2], t.x.shape[2] // 2, t.x.shape[3] // 2),
    "softmax_cross_entropy": lambda t: (),
    **dict.fromkeys(("relu", "tanh", "arctan"), lambda t: t.x.shape),
}
