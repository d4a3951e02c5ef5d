"""Mistakes that a trace shows and a single layer does not: other tensors used, the images, the update."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import permutations

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis.context import Context
from numpy_vgg7.parity.layer_mistakes import Mistake
from numpy_vgg7.parity.layer_trials import Trial
from numpy_vgg7.parity.layer_truth import definition

MNIST = (0.1307, 0.3081)  # mean and standard deviation that many scripts subtract and divide by


def rows(context: Context) -> Iterator[Mistake]:
    """Those that apply to one result of one layer."""
    if context.like and context.labels is None:
        if context.first and context.result == "out":
            yield from _images(context)
        yield from _other_tensors(context)
        if context.result == "x" and "weight" in context.params:
            yield from _updated_weight(context)
        if context.result in ("weight", "x"):
            yield from _input_missing(context)
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
        yield Mistake(words, lambda t, change=change: definition(replace(t, x=change(t.x)))["out"])  # type: ignore[misc]
    yield Mistake(
        "the images are multiplied by {c}",
        lambda t: definition(replace(t, x=np.zeros_like(t.x)))["out"],
        lambda t: definition(t)["out"] - definition(replace(t, x=np.zeros_like(t.x)))["out"],
    )


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
            yield Mistake(
                f"{name} is used in place of {place}",
                lambda t, role=role, other=other: definition(_with(t, role, other))[tensor],  # type: ignore[misc]
            )


def _matters(role: str, context: Context) -> bool:
    """Whether a result depends on that argument."""
    if context.result == "out":
        return True
    if role == "x":
        return context.result == "weight" or context.like in ("relu", "arctan")
    return role == "weight" and context.result == "x"


def _with(trial: Trial, role: str, other: Array) -> Trial:
    if role in trial.params:
        return replace(trial, params=trial.params | {role: other})
    return replace(trial, **{role: other})


def _updated_weight(context: Context) -> Iterator[Mistake]:
    """d_x with the weight that the optimizer has already changed."""
    yield Mistake(
        "the weight is used after the update: {c} times its gradient is added to it",
        lambda t: definition(t)["x"],
        lambda t: definition(replace(t, params=t.params | {"weight": definition(t)["weight"]}))["x"],
    )


def _input_missing(context: Context) -> Iterator[Mistake]:
    if context.result == "weight":
        yield Mistake(
            "the input is not multiplied: 1 is used in its place",
            lambda t: definition(replace(t, x=np.ones_like(t.x)))["weight"],
        )
        yield Mistake(
            "the sign of the upstream gradient is used in place of its values",
            lambda t: definition(replace(t, d_out=np.sign(t.d_out)))["weight"],
        )


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
            yield Mistake(words, lambda t, axes=axes: t.x.transpose(axes).reshape(n, -1))  # type: ignore[misc]
        else:
            moved = tuple(shape[axis] for axis in order)
            back = tuple(int(i) for i in np.argsort(axes))
            yield Mistake(
                words,
                lambda t, moved=moved, back=back: t.d_out.reshape(n, *moved).transpose(back),  # type: ignore[misc]
            )
    words = "images and features are mixed: the memory is read in Fortran order"
    if context.result == "out":
        yield Mistake(words, lambda t: t.x.reshape(n, -1, order="F"))
        words = "images and channels are mixed: the order is C, N, H, W"
        yield Mistake(words, lambda t: t.x.swapaxes(0, 1).reshape(n, -1))
    else:
        yield Mistake(words, lambda t: t.d_out.reshape(t.x.shape, order="F"))


def clipped(suspect: Array, truth: Array) -> str:
    """Elements cut off at some size."""
    most = float(np.abs(suspect).max())
    cut = np.clip(truth, -most, most)
    if 1 < (np.abs(truth) > most).sum() and np.array_equal(cut, suspect):
        return f"is clipped: cut off at {most:.6g} in size"
    return ""


def right_probs(context: Context) -> Array:
    """The probabilities that follow from the logits."""
    assert context.x is not None
    return F.softmax(context.x)
