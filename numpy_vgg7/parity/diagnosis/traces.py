"""Mistakes that a trace shows and a single layer does not: other tensors used, the images, the update."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import permutations

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis.context import Context, Wrong
from numpy_vgg7.parity.layer.mistakes import Mistake
from numpy_vgg7.parity.layer.trials import Trial
from numpy_vgg7.parity.layer.truth import definition

MNIST = (0.1307, 0.3081)  # mean and standard deviation that many scripts subtract and divide by


def rows(context: Context) -> Iterator[Mistake]:
    """Those that apply to one result of one layer."""
    if context.like and context.labels is None:
        if context.first and context.result == "out":
            yield from _images(context)
        yield from _other_tensors(context)
        if context.result == "x" and "weight" in context.params:
            yield from _updated_weight(context)
        if context.result == "weight":
            yield from _operand_missing()
        if (context.like, context.result) in PARTS:
            for words, formula in PARTS[context.like, context.result]:
                yield Mistake(words, formula)
    if context.kind == "Flatten" and context.x is not None:
        yield from _flatten(context)


IMAGES: list[tuple[str, Callable[[Array], Array]]] = [
    ("the images are not scaled: pixels in 0..255", lambda x: 255 * x),
    ("the images are scaled twice: divided by 255 once more", lambda x: x / 255),
    ("the images are inverted: 1 - x", lambda x: 1 - x),
    ("the images are transposed: rows and columns exchanged", lambda x: x.swapaxes(2, 3)),
    ("the images are flipped left to right", lambda x: x[..., ::-1]),
    ("the images are flipped top to bottom", lambda x: x[:, :, ::-1]),
    ("the images are rotated by 180 degrees", lambda x: x[..., ::-1, ::-1]),
    ("the images are rotated by 90 degrees", lambda x: np.rot90(x, 1, (2, 3))),
    ("the images are rotated by 270 degrees", lambda x: np.rot90(x, 3, (2, 3))),
    ("the images are scaled to -1..1: 2x - 1", lambda x: 2 * x - 1),
    ("the mean 1/2 is subtracted from the images", lambda x: x - 0.5),
    ("the images are normalised by the mean and deviation of MNIST", lambda x: (x - MNIST[0]) / MNIST[1]),
    ("the images are normalised by their own mean and deviation", lambda x: (x - x.mean()) / x.std()),
    ("the mean of the batch is subtracted from the images", lambda x: x - x.mean()),
    ("each image is divided by its largest pixel", lambda x: x / x.max(axis=(1, 2, 3), keepdims=True)),
    ("the images are binary: 1 where x > 0", lambda x: (x > 0) * 1.0),
    ("the images are binary: 1 where x > 1/2", lambda x: (x > 0.5) * 1.0),
]


def _images(context: Context) -> Iterator[Mistake]:
    for words, change in IMAGES:
        yield Mistake(words, partial(_of_images, change=change))
    yield Mistake(
        "the images are multiplied by {c}",
        lambda t: definition(replace(t, x=np.zeros_like(t.x)))["out"],
        lambda t: definition(t)["out"] - definition(replace(t, x=np.zeros_like(t.x)))["out"],
    )


def _of_images(trial: Trial, change: Callable[[Array], Array]) -> Array:
    return definition(replace(trial, x=change(trial.x)))["out"]


def _other_tensors(context: Context) -> Iterator[Mistake]:
    """One argument of the layer is another tensor of the trace."""
    assert context.layer is not None
    own = context.layer.name
    tensor = context.result
    backward = tensor != "out"
    right = {"x": context.x, "d_out": context.d_out, "own": context.own} | context.params
    for name, other in context.trace.items():
        gradient = name.endswith(".grad")
        if ".step" in name or name == context.name:
            continue
        for role, array in right.items():
            if array is None or array.shape != other.shape or np.array_equal(array, other):
                continue
            if role == "d_out" and not (backward and gradient):
                continue
            if role == "own" and (not backward or context.like not in ("tanh",) or gradient):
                continue
            if role in ("x", "weight", "bias") and (gradient or not _matters(role, context)):
                continue
            place = {"x": "its input", "d_out": f"{own}.grad", "own": own}.get(role, f"{own}.{role}")
            formula = partial(_with_other, role=role, other=other, result=tensor)
            yield Mistake(f"{name} is used in place of {place}", formula)


def _matters(role: str, context: Context) -> bool:
    """Whether a result depends on that argument."""
    if context.result == "out":
        return True
    if role == "x":
        return context.result == "weight" or context.like in ("relu", "arctan")
    return role == "weight" and context.result == "x"


def _with_other(trial: Trial, role: str, other: Array, result: str) -> Array:
    if role in trial.params:
        return definition(replace(trial, params=trial.params | {role: other}))[result]
    changed = {"x": trial.x, "d_out": trial.d_out, "own": trial.own, role: other}
    x, d_out = changed["x"], changed["d_out"]
    assert x is not None
    assert d_out is not None
    return definition(replace(trial, x=x, d_out=d_out, own=changed["own"]))[result]


def _updated_weight(context: Context) -> Iterator[Mistake]:
    """d_x with the weight that the optimizer has already changed."""
    yield Mistake(
        "the weight is used after the update: {c} times its gradient is added to it",
        lambda t: definition(t)["x"],
        lambda t: definition(replace(t, params=t.params | {"weight": definition(t)["weight"]}))["x"],
    )


def _operand_missing() -> Iterator[Mistake]:
    yield Mistake(
        "the input is not multiplied: 1 is used in its place",
        lambda t: definition(replace(t, x=np.ones_like(t.x)))["weight"],
    )
    yield Mistake(
        "the sign of the upstream gradient is used in place of its values",
        lambda t: definition(replace(t, d_out=np.sign(t.d_out)))["weight"],
    )


def _windows3(x: Array, stride: int, count_padding: bool) -> Array:
    """The mean of 3x3 windows around every second pixel."""
    ones = np.ones_like(x)
    sums, counts = (
        np.lib.stride_tricks.sliding_window_view(
            np.pad(a, ((0, 0), (0, 0), (1, 1), (1, 1))), (3, 3), (2, 3)
        ).sum(axis=(4, 5))[:, :, ::stride, ::stride]
        for a in (x, ones)
    )
    return np.asarray(sums / (9 if count_padding else counts))


def _bilinear(d_out: Array) -> Array:
    """A gradient that is interpolated between windows instead of repeated, as by bilinear upsampling."""
    for axis in (2, 3):
        before, after = (np.take(d_out, _neighbours(d_out.shape[axis], step), axis) for step in (-1, 1))
        pairs = np.stack([0.75 * d_out + 0.25 * before, 0.75 * d_out + 0.25 * after], axis=axis + 1)
        shape = list(d_out.shape)
        shape[axis] *= 2
        d_out = pairs.reshape(shape)
    return d_out


def _neighbours(size: int, step: int) -> Array:
    return np.clip(np.arange(size) + step, 0, size - 1)


# Parts of a sum, or other windows, that a trace of a loop over images or of a framework may have.
PARTS: dict[tuple[str, str], list[tuple[str, Callable[[Trial], Array]]]] = {
    ("conv2d", "bias"): [
        (
            "of the last pixel of each image only: = for += over the pixels",
            lambda t: t.d_out[:, :, -1, -1].sum(0),
        ),
        ("of the first pixel of each image only", lambda t: t.d_out[:, :, 0, 0].sum(0)),
        (
            "of the last row of each image only: = for += over the rows",
            lambda t: t.d_out[:, :, -1].sum((0, 2)),
        ),
        (
            "of the pixels inside the image only: without the border",
            lambda t: t.d_out[:, :, 1:-1, 1:-1].sum((0, 2, 3)),
        ),
        ("of the sign of the upstream gradient", lambda t: np.sign(t.d_out).sum((0, 2, 3))),
    ],
    ("linear", "bias"): [
        ("of the sign of the upstream gradient", lambda t: np.sign(t.d_out).sum(0)),
    ],
    ("avg_pool2d", "out"): [
        (
            "windows of 3x3 pixels with stride 2 that overlap, instead of 2x2",
            lambda t: _windows3(t.x, 2, True),
        ),
        (
            "windows of 3x3 pixels with stride 2 that overlap, instead of 2x2; the padding is not counted",
            lambda t: _windows3(t.x, 2, False),
        ),
    ],
    ("avg_pool2d", "x"): [
        ("interpolated between the windows (bilinear) instead of repeated", lambda t: _bilinear(t.d_out) / 4),
        (
            "interpolated between the windows (bilinear) instead of repeated; and the factor 1/4 is missing",
            lambda t: _bilinear(t.d_out),
        ),
    ],
}


def _flatten(context: Context) -> Iterator[Mistake]:
    """(C, H, W) read in another order, forward or backward."""
    x = context.x
    assert x is not None
    n, shape = len(x), x.shape[1:]
    names = "CHW"
    for order in permutations(range(3)):
        if order == (0, 1, 2):
            continue
        axes = (0, *(axis + 1 for axis in order))
        words = f"the order is {', '.join(names[i] for i in order)} instead of C, H, W"
        if context.result == "out":
            yield Mistake(words, partial(_flattened, axes=axes))
        else:
            moved = tuple(shape[axis] for axis in order)
            back = tuple(int(i) for i in np.argsort(axes))
            yield Mistake(words, partial(_unflattened, moved=moved, back=back))
    words = "images and features are mixed: the memory is read in Fortran order"
    if context.result == "out":
        yield Mistake(words, lambda t: t.x.reshape(n, -1, order="F"))
        words = "images and channels are mixed: the order is C, N, H, W"
        yield Mistake(words, lambda t: t.x.swapaxes(0, 1).reshape(n, -1))
    else:
        yield Mistake(words, lambda t: t.d_out.reshape(t.x.shape, order="F"))


def _flattened(trial: Trial, axes: tuple[int, ...]) -> Array:
    return trial.x.transpose(axes).reshape(trial.n, -1)


def _unflattened(trial: Trial, moved: tuple[int, ...], back: tuple[int, ...]) -> Array:
    return trial.d_out.reshape(trial.n, *moved).transpose(back)


def clipped(found: Wrong) -> str:
    """Elements cut off at some size."""
    if found.suspect.shape != found.truth.shape or not found.truth.ndim:
        return ""
    most = float(np.abs(found.suspect).max())
    cut = np.abs(found.truth) > most
    words = []
    if cut.sum() > 1 and found.is_(np.clip(found.truth, -most, most)):
        words.append(f"is clipped: cut off at {most:.6g} in size")
    if found.truth.size > 1 and found.is_(most * np.sign(found.truth)):
        words.append(f"is {most:.6g} times the sign of what it should be")
    return " or, with the same numbers: ".join(words)
