"""What is certain about a wrong tensor that no known mistake explains. Nothing here is a guess."""

from collections.abc import Iterator

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis.context import FITS, REMAINDER, Context
from numpy_vgg7.parity.layer.trials import ELEMENTWISE

ENOUGH = 12  # elements, before a function of the right answer is told from chance


def description(suspect: Array, truth: Array, context: Context) -> str:
    """Continues "conv4.weight.grad ...": which elements are wrong, by how much, and what is right."""
    off = np.abs(suspect - truth)
    largest = float(np.abs(truth).max()) or 1.0
    if not suspect.ndim:
        return f"is {float(suspect):.9g} instead of {float(truth):.9g}; no known mistake gives this number"
    bound = min(FITS * largest, REMAINDER * float(off.max()))
    wrong = off > bound
    parts = [
        f"is wrong in {int(wrong.sum())} of {suspect.size} elements, "
        f"by up to {float(off.max()) / largest:.2g} of the largest"
    ]
    place = next(iter(_places(wrong, context)), "")
    if place:
        parts.append(f"{place} only")
    parts += _facts(suspect, truth, wrong)
    return ", ".join(parts) + "; no known mistake gives these numbers"


def _places(wrong: Array, context: Context) -> Iterator[str]:
    """Where all wrong elements are, if there are others."""
    for words, mask in _masks(wrong, context):
        if not mask.all() and not (wrong & ~mask).any():
            yield words


def _masks(wrong: Array, context: Context) -> Iterator[tuple[str, Array]]:
    x = context.x
    if context.kind in ELEMENTWISE and x is not None and x.shape == wrong.shape:
        yield "where its input is exactly 0", x == 0
        yield "where its input is negative", x < 0
        yield "where its input is positive", x > 0
    if context.labels is not None and wrong.ndim == 2:
        at = np.arange(wrong.shape[1]) == context.labels[:, None]
        yield "at the label of each image", at
        yield "at classes other than the label", ~at
    if wrong.ndim == 4 and wrong.shape[2] > 3:
        border = np.ones(wrong.shape, dtype=bool)
        border[:, :, 1:-1, 1:-1] = False
        for edge, places in (
            ("first row", (2, 0)),
            ("last row", (2, -1)),
            ("first column", (3, 0)),
            ("last column", (3, -1)),
        ):
            yield f"in the {edge} of the image", _line(wrong.shape, *places)
        yield "at the border", border
    for axis, word in enumerate(("row", "column") if wrong.ndim == 2 else ("entry",) * wrong.ndim):
        others = tuple(i for i in range(wrong.ndim) if i != axis)
        places_hit = np.flatnonzero(wrong.any(axis=others))
        if len(places_hit) == 1:
            yield (
                f"in {word} {int(places_hit[0])} of axis {axis}",
                _line(wrong.shape, axis, int(places_hit[0])),
            )


def _line(shape: tuple[int, ...], axis: int, index: int) -> Array:
    mask = np.zeros(shape, dtype=bool)
    np.moveaxis(mask, axis, 0)[index] = True
    return mask


def _facts(suspect: Array, truth: Array, wrong: Array) -> Iterator[str]:
    """What can be said of the numbers as a whole."""
    if wrong.any() and not suspect[wrong].any():
        yield "and zero there"
        return
    tolerance = FITS * float(np.abs(truth).max())
    if suspect.size >= ENOUGH and _is_function(suspect.ravel(), truth.ravel(), tolerance):
        yield "and each element is a function of the right one that never decreases"
    elif abs(float(suspect.sum() - truth.sum())) <= 1e-3 * FITS * float(np.abs(truth).sum()):
        yield "but their sum is right"
    elif (np.sign(suspect) == np.sign(truth)).all() and truth.any():
        yield "but every sign is right"


def _is_function(suspect: Array, truth: Array, tolerance: float) -> bool:
    """Whether the wrong elements grow with the right ones, which are not all equal."""
    order = np.argsort(truth, kind="stable")
    return bool((np.diff(suspect[order]) >= -tolerance).all()) and len(np.unique(truth)) >= ENOUGH
