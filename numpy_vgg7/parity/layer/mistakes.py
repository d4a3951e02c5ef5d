"""The dictionary of `check_layer`: what usual mistakes in a single layer compute, and how to say it.

A row of a table is a sentence and a formula. Its sentence is used only if the formula gives the layer's own
numbers in every trial, in all shapes. Formulas get arrays of float64 in PyTorch's layouts.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.layer import (
    mistakes_activations,
    mistakes_conv,
    mistakes_conv_backward,
    mistakes_loss,
    mistakes_simple,
)
from numpy_vgg7.parity.layer.trials import Trial
from numpy_vgg7.parity.layer.truth import definition

Formula = Callable[[Trial], Array]


class Mistake(NamedTuple):
    """`formula` of the trial; with a `direction`, `formula + c * direction` for the same c in every trial."""

    words: str  # "{c}" stands for the number
    formula: Formula
    direction: Formula | None = None


TABLES: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    **mistakes_conv.TABLES,
    **mistakes_conv_backward.TABLES,
    **mistakes_simple.TABLES,
    **mistakes_activations.TABLES,
    **mistakes_loss.TABLES,
}
FITTED: dict[tuple[str, str], list[tuple[str, Formula, Formula]]] = {
    **mistakes_conv.FITTED,
    **mistakes_conv_backward.FITTED,
    **mistakes_simple.FITTED,
    **mistakes_activations.FITTED,
    **mistakes_loss.FITTED,
}

NO_UPSTREAM = "the upstream gradient is not multiplied: d_out has no effect"


def mistakes(like: str, tensor: str) -> Iterator[Mistake]:
    """What can go wrong with "out", or with the gradient of "x", "weight" or "bias"."""
    for words, formula in TABLES.get((like, tensor), []):
        yield Mistake(words, formula)
    yield from _factors(like, tensor)
    yield from _samples(like, tensor)
    if tensor != "out" and like != "softmax_cross_entropy":
        for words, change in _UPSTREAM:
            yield Mistake(words, partial(_with_upstream, tensor=tensor, change=change))
        yield Mistake(NO_UPSTREAM, lambda t: definition(_with_ones(t))[tensor])
    if tensor != "out":
        for words, change in _RESULTS:
            yield Mistake(words, partial(_changed, tensor=tensor, change=change))
    if tensor == "x" and like in ("conv2d", "linear", "avg_pool2d"):
        words = "zero where x is not positive, as if a ReLU stood before the layer"
        yield Mistake(words, lambda t: definition(t)["x"] * (t.x > 0))
    if tensor == "bias":
        yield from _bias_axes(like)
    for words, formula, direction in FITTED.get((like, tensor), []):
        yield Mistake(words, formula, direction)
    yield from _arrangements(like, tensor)
    yield Mistake("zero everywhere", lambda t: np.zeros_like(definition(t)[tensor]))
    if like != "softmax_cross_entropy" or tensor != "out":  # a factor of one number proves nothing
        yield Mistake(
            "{c} times what it should be",
            lambda t: np.zeros_like(definition(t)[tensor]),
            lambda t: definition(t)[tensor],
        )


def _with_ones(trial: Trial) -> Trial:
    return replace(trial, d_out=np.ones_like(trial.d_out))


# What is done to d_out before it is used.
_UPSTREAM: list[tuple[str, Callable[[Array], Array]]] = [
    ("the absolute value of d_out is used", np.abs),
    ("negative elements of d_out are dropped", lambda d_out: np.maximum(d_out, 0)),
    ("the sign of d_out is used", np.sign),
    ("d_out is squared", np.square),
]


# What is done to a gradient once it is right.
_RESULTS: list[tuple[str, Callable[[Array], Array]]] = [
    ("the sign of the gradient instead of the gradient", np.sign),
    ("the absolute value of the gradient", np.abs),
    ("the gradient is divided by its norm", lambda g: g / np.sqrt((g * g).sum())),
    ("the gradient is divided by its largest size", lambda g: g / np.abs(g).max()),
]


def _changed(trial: Trial, tensor: str, change: Callable[[Array], Array]) -> Array:
    return change(definition(trial)[tensor])


def _with_upstream(trial: Trial, tensor: str, change: Callable[[Array], Array]) -> Array:
    return definition(replace(trial, d_out=change(trial.d_out)))[tensor]


# Factors with a reason: words, and the factor in a trial.
_CONSTANTS = [("the sign is wrong", -1.0), ("a factor of 2 too many", 2.0), ("a factor 1/2 too many", 0.5)]
_BATCH: list[tuple[str, Callable[[Trial], float]]] = [
    ("divided by the batch size N: a mean over the batch instead of the sum", lambda t: 1 / t.n),
    ("multiplied by the batch size N", lambda t: float(t.n)),
]
_SPACE: list[tuple[str, Callable[[Trial], float]]] = [
    ("divided by H*W: a mean over space instead of the sum", lambda t: 1 / _pixels(t)),
    ("divided by N*H*W: a mean over batch and space instead of the sum", lambda t: 1 / _pixels(t) / t.n),
]
_REASONS: dict[tuple[str, str], list[tuple[str, Callable[[Trial], float]]]] = {
    ("conv2d", "out"): [
        ("divided by 9: the mean over the taps instead of the sum", lambda t: 1 / 9),
        ("divided by the number of input channels", lambda t: 1 / t.w.shape[1]),
        (
            "divided by 9 times the number of input channels: a mean instead of the sum",
            lambda t: 1 / t.w[0].size,
        ),
    ],
    ("conv2d", "x"): [
        *_BATCH,
        ("divided by 9", lambda t: 1 / 9),
        ("divided by the number of output channels", lambda t: 1 / len(t.w)),
    ],
    ("conv2d", "weight"): [*_BATCH, *_SPACE],
    ("conv2d", "bias"): [*_BATCH, *_SPACE],
    ("linear", "out"): [("divided by the number of inputs", lambda t: 1 / t.x.shape[1])],
    ("linear", "x"): [*_BATCH, ("divided by the number of outputs", lambda t: 1 / len(t.w))],
    ("linear", "weight"): _BATCH,
    ("linear", "bias"): _BATCH,
    ("avg_pool2d", "out"): [
        ("the sum of each window instead of its mean: the factor 1/4 is missing", lambda t: 4.0),
        ("divided by 2 instead of 4: by the side of a window instead of its area", lambda t: 2.0),
        ("the factor 1/4 is applied twice", lambda t: 0.25),
        ("divided by 9 instead of 4", lambda t: 4 / 9),
    ],
    ("avg_pool2d", "x"): [
        ("the factor 1/4 is missing: each element is 4 times what it should be", lambda t: 4.0),
        ("divided by 2 instead of 4: by the side of a window instead of its area", lambda t: 2.0),
        ("the factor 1/4 is applied twice", lambda t: 0.25),
        ("divided by 9 instead of 4", lambda t: 4 / 9),
        ("divided by H*W of the input instead of by 4", lambda t: 4 / _pixels(t)),
        ("divided by H*W of the output instead of by 4", lambda t: 16 / _pixels(t)),
        ("divided by the number of channels instead of 4", lambda t: 4 / t.x.shape[1]),
        ("divided by the batch size N as well", lambda t: 1 / t.n),
        ("divided by the batch size N instead of 4", lambda t: 4 / t.n),
    ],
    ("softmax_cross_entropy", "out"): [
        ("the sum over the batch instead of the mean: the factor 1/N is missing", lambda t: float(t.n)),
        ("divided by the number of classes K instead of the batch size N", lambda t: t.n / t.x.shape[1]),
        ("divided by N*K instead of N: a mean over all elements", lambda t: 1 / t.x.shape[1]),
        ("divided by N twice", lambda t: 1 / t.n),
        ("the logarithm is to base 10", lambda t: 1 / float(np.log(10))),
        ("the logarithm is to base 2", lambda t: 1 / float(np.log(2))),
    ],
    ("softmax_cross_entropy", "x"): [
        ("the factor 1/N is missing: the gradient of a sum over the batch", lambda t: float(t.n)),
        ("divided by the number of classes K instead of the batch size N", lambda t: t.n / t.x.shape[1]),
        ("divided by N*K instead of N", lambda t: 1 / t.x.shape[1]),
        ("divided by N - 1 instead of N", lambda t: float(np.divide(t.n, t.n - 1))),
        ("divided by N twice", lambda t: 1 / t.n),
    ],
    **{
        (like, "x"): [("divided by the batch size N", lambda t: 1 / t.n)]
        for like in ("relu", "tanh", "arctan")
    },
    ("arctan", "out"): [
        ("multiplied by 2/pi", lambda t: 2 / np.pi),
        ("in degrees instead of radians", lambda t: 180 / np.pi),
    ],
}


def _pixels(trial: Trial) -> int:
    return int(np.prod(trial.x.shape[2:]))


def _factors(like: str, tensor: str) -> Iterator[Mistake]:
    for words, factor in _REASONS.get((like, tensor), []):
        yield Mistake(words, partial(_scaled, tensor=tensor, factor=factor))
    for words, number in _CONSTANTS:
        named = (like == "avg_pool2d" and number == 2) or (like, tensor, number) == (
            "softmax_cross_entropy",
            "x",
            -1,
        )
        if not named:  # by a better reason
            yield Mistake(words, partial(_scaled, tensor=tensor, factor=partial(_constant, number=number)))

    if tensor != "out":
        limits = (0.01, 0.1, 0.5, 1.0, 5.0, 10.0)
        for limit in limits[:3] if like == "softmax_cross_entropy" else limits:
            yield Mistake(
                f"cut off at -{limit:g} and {limit:g}", partial(_clipped, tensor=tensor, limit=limit)
            )


def _clipped(trial: Trial, tensor: str, limit: float) -> Array:
    return definition(trial)[tensor].clip(-limit, limit)


def _constant(trial: Trial, number: float) -> float:
    return number


def _scaled(trial: Trial, tensor: str, factor: Callable[[Trial], float]) -> Array:
    return factor(trial) * definition(trial)[tensor]


def _samples(like: str, tensor: str) -> Iterator[Mistake]:
    """Parts of the batch only, or the batch in another order."""
    if tensor in ("weight", "bias") or (like, tensor) == ("softmax_cross_entropy", "out"):
        for index, which in ((0, "first"), (-1, "last")):
            yield Mistake(
                f"computed from the {which} sample of the batch only",
                partial(_of_sample, tensor=tensor, index=index),
            )
            yield Mistake(
                f"the {which} sample of the batch is left out",
                partial(_counted, tensor=tensor, index=index, times=0),
            )
            yield Mistake(
                f"the {which} sample of the batch counts twice",
                partial(_counted, tensor=tensor, index=index, times=2),
            )
    if (like, tensor) == ("softmax_cross_entropy", "out"):
        for index, which in ((0, "first"), (-1, "last")):
            yield Mistake(
                f"computed from the {which} sample of the batch only, and divided by N",
                partial(_of_sample, tensor=tensor, index=index, over_n=True),
            )
    elif tensor == "weight":
        for step, which in ((1, "previous"), (-1, "next")):
            yield Mistake(
                f"each sample of d_out meets the x of the {which} one in the batch",
                partial(_of_neighbours, tensor=tensor, step=step),
            )
        words = "the samples of d_out are in reverse order"
        yield Mistake(words, lambda t: definition(replace(t, d_out=t.d_out[::-1]))[tensor])
    elif tensor != "bias":
        words = "the samples of the batch are in reverse order"
        yield Mistake(words, lambda t: definition(t)[tensor][::-1])
    if tensor in ("out", "x") and (like, tensor) != ("softmax_cross_entropy", "out"):
        for index, which in ((0, "first"), (-1, "last")):

            def only(t: Trial, index: int = index) -> Array:
                full = definition(t)[tensor]
                kept = np.zeros_like(full)
                kept[index] = full[index]
                return kept

            def all_alike(t: Trial, index: int = index) -> Array:
                full = definition(t)[tensor]
                return np.broadcast_to(full[index], full.shape)

            yield Mistake(f"zero except for the {which} sample of the batch", only)
            yield Mistake(f"the same for all samples: that of the {which} one", all_alike)


def _of_sample(trial: Trial, tensor: str, index: int, over_n: bool = False) -> Array:
    gradient = definition(_sample(trial, index))[tensor]
    return gradient / trial.n if over_n else gradient


def _of_neighbours(trial: Trial, tensor: str, step: int) -> Array:
    return definition(replace(trial, x=np.roll(trial.x, step, axis=0)))[tensor]


def _counted(trial: Trial, tensor: str, index: int, times: int) -> Array:
    """The sum over the batch, one sample of which counts several times or not at all."""
    weight = trial.n if (trial.like, tensor) == ("softmax_cross_entropy", "out") else 1
    return definition(trial)[tensor] + (times - 1) * _of_sample(trial, tensor, index) / weight


def _sample(trial: Trial, index: int) -> Trial:
    """The trial with one sample."""
    rows = [index]
    params = {name: a[rows] if name == trial.roles.get("labels") else a for name, a in trial.params.items()}
    own = None if trial.own is None else trial.own[rows]
    d_out = trial.d_out[rows] if trial.d_out.ndim else trial.d_out
    return replace(trial, x=trial.x[rows], params=params, own=own, d_out=d_out)


def _bias_axes(like: str) -> Iterator[Mistake]:
    """Sums and means of d_out over each other set of axes."""
    ndim, right = (4, (0, 2, 3)) if like == "conv2d" else (2, (0,))
    yield Mistake("not summed: it is d_out itself", lambda t: t.d_out)
    yield Mistake("1 everywhere", lambda t: np.ones_like(t.b))
    kept = "and the axes of the sum are kept as axes of length 1"
    yield Mistake(f"right, {kept}", lambda t: t.d_out.sum(axis=right, keepdims=True))
    yield Mistake(f"averaged instead of summed, {kept}", lambda t: t.d_out.mean(axis=right, keepdims=True))
    for count in range(1, ndim + 1):
        for axes in combinations(range(ndim), count):
            for words, reduce in (("summed", np.sum), ("averaged", np.mean)):
                if axes == right:
                    continue
                shown = f"axis {axes[0]}" if count == 1 else f"axes {axes}"
                should = "axis 0" if ndim == 2 else f"axes {right}"
                text = f"{words} over {shown} instead of summed over {should}"

                def formula(
                    t: Trial, axes: tuple[int, ...] = axes, reduce: Callable[..., Array] = reduce
                ) -> Array:
                    return reduce(t.d_out, axis=axes)

                yield Mistake(text, formula)
                if count == ndim:
                    yield Mistake(text, partial(_broadcast, formula=formula))
    if like == "conv2d":
        words = "the last element of d_out that was met, instead of the sum: = for +="
        yield Mistake(words, lambda t: t.d_out[-1, :, -1, -1])


def _broadcast(trial: Trial, formula: Formula) -> Array:
    return np.broadcast_to(formula(trial), trial.b.shape)


def _arrangements(like: str, tensor: str) -> Iterator[Mistake]:
    """The right numbers in other places."""

    def moved(words: str, move: Callable[[Array], Array]) -> Mistake:
        return Mistake(words, lambda t: move(definition(t)[tensor]))

    if tensor == "bias" or (like, tensor) == ("softmax_cross_entropy", "out"):
        if tensor == "bias":
            yield moved("in reverse order", lambda a: a[::-1])
        return
    if like in ("linear", "softmax_cross_entropy"):
        yield moved("transposed", lambda a: a.T)
        yield moved("transposed and read in the wrong order", lambda a: a.T.reshape(a.shape))
        yield moved("its columns are in reverse order", lambda a: a[:, ::-1])
    if like in ("conv2d", "avg_pool2d"):
        yield moved("rotated by 180 degrees in space", lambda a: a[..., ::-1, ::-1])
        yield moved("flipped top to bottom", lambda a: a[:, :, ::-1])
        yield moved("flipped left to right", lambda a: a[..., ::-1])
        yield moved("its two spatial axes are exchanged", lambda a: a.swapaxes(2, 3))
        yield moved("its channels are in reverse order", lambda a: a[:, ::-1])
        yield moved("its first two axes are exchanged", lambda a: a.swapaxes(0, 1))
        yield moved("in NHWC order instead of NCHW", lambda a: a.transpose(0, 2, 3, 1))
        for axis, word in ((2, "row"), (3, "column")):
            for step, where in ((1, "down" if axis == 2 else "right"), (-1, "up" if axis == 2 else "left")):
                yield moved(f"shifted {where} by one {word}", partial(shifted, step=step, axis=axis))
        yield moved("shifted by one row and one column", lambda a: shifted(shifted(a, 1, 2), 1, 3))
        yield moved("shifted by one row and one column", lambda a: shifted(shifted(a, -1, 2), -1, 3))


def shifted(array: Array, step: int, axis: int) -> Array:
    """`array` moved by one place, zero where nothing was."""
    moved = np.roll(array, step, axis)
    edge = [slice(None)] * array.ndim
    edge[axis] = slice(0, 1) if step == 1 else slice(-1, None)
    moved[tuple(edge)] = 0
    return moved
