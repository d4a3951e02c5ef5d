"""Mistakes that a trace shows and a single layer does not: other tensors used, the images, the update."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import permutations

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis.context import Context, Wrong
from numpy_vgg7.parity.layer.mistakes import Mistake, shifted
from numpy_vgg7.parity.layer.trials import Trial
from numpy_vgg7.parity.layer.truth import definition

MNIST = (0.1307, 0.3081)  # mean and standard deviation that many scripts subtract and divide by


def rows(context: Context) -> Iterator[Mistake]:
    """Those that apply to one result of one layer."""
    if context.like and context.labels is None:
        if context.first and context.result == "out":
            yield from _images(context)
        yield from _other_tensors(context)
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
    ("the images are not scaled, and inverted: 255 - x", lambda x: 255 - 255 * x),
    ("the images are inverted from 255 though scaled to 0..1: 255 - x", lambda x: 255 - x),
    ("the images are rounded to whole multiples of 1/255", lambda x: np.round(255 * x) / 255),
    ("the images are truncated to whole multiples of 1/255", lambda x: np.floor(255 * x) / 255),
    ("the images went through float32", lambda x: x.astype("float32").astype("float64")),
    ("the images went through float16", lambda x: x.astype("float16").astype("float64")),
    ("the images went through integers: all that is below 1 is 0", np.floor),
    ("the mean of each image is subtracted", lambda x: x - x.mean(axis=(1, 2, 3), keepdims=True)),
    (
        "each image is normalised by its own mean and deviation",
        lambda x: (x - x.mean(axis=(1, 2, 3), keepdims=True)) / x.std(axis=(1, 2, 3), keepdims=True),
    ),
    ("the mean image of the batch is subtracted", lambda x: x - x.mean(axis=0)),
    ("the mean of the batch is subtracted from the images", lambda x: x - x.mean()),
    ("each image is divided by its largest pixel", lambda x: x / x.max(axis=(1, 2, 3), keepdims=True)),
    ("the images are binary: 1 where x > 0", lambda x: (x > 0) * 1.0),
    ("the images are binary: 1 where x > 1/2", lambda x: (x > 0.5) * 1.0),
]


MOVES: list[tuple[str, int, int]] = [("down", 2, 1), ("up", 2, -1), ("right", 3, 1), ("left", 3, -1)]


def _rolled(x: Array, step: int, axis: int) -> Array:
    return np.roll(x, step, axis)


def _images(context: Context) -> Iterator[Mistake]:
    for where, axis, step in MOVES:
        for done, move in (("shifted", shifted), ("rolled", _rolled)):
            words = f"the images are {done} {where} by one pixel"
            moved = partial(move, step=step, axis=axis)
            yield Mistake(words, partial(_of_images, change=moved))
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
    for limited, limit, where in (
        (np.maximum, float(found.suspect.min()), "below"),
        (np.minimum, float(found.suspect.max()), "above"),
    ):
        expected = limited(found.truth, limit)
        if not words and (expected != found.truth).sum() > 1 and found.is_(expected):
            words.append(f"is clipped: cut off {where} at {limit:.6g}")
    if found.truth.size > 1 and found.is_(most * np.sign(found.truth)):
        words.append(f"is {most:.6g} times the sign of what it should be")
    return " or, with the same numbers: ".join(words)
