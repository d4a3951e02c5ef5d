"""The right numbers in other places."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis.context import Context, Wrong

# Weights and their gradients, then activations: what the entries of each axis are.
OF_WEIGHT = {
    2: ("rows", "columns"),
    4: ("output channels", "input channels", "kernel rows", "kernel columns"),
}
OF_FEATURES = {2: ("images", "features"), 4: ("images", "channels", "pixel rows", "pixel columns")}
MOST_SHOWN = 8


def arrangements(truth: Array) -> Iterator[tuple[str, Array]]:
    """The truth with its elements in other places."""
    if truth.ndim == 2:
        yield "is transposed", truth.T
        yield "is transposed and read in the wrong order", truth.T.reshape(truth.shape)
    if truth.ndim != 4:
        return
    yield "is rotated by 180 degrees in space", truth[..., ::-1, ::-1]
    yield "has its two spatial axes exchanged", truth.swapaxes(2, 3)
    yield "is flipped top to bottom", truth[:, :, ::-1]
    yield "is flipped left to right", truth[..., ::-1]
    yield "has its in and out channels exchanged", truth.swapaxes(0, 1)
    for axis, direction in ((2, "row"), (3, "column")):
        for step in (-1, 1):
            shifted = np.roll(truth, step, axis)
            edge: list[Any] = [slice(None)] * 4
            edge[axis] = 0 if step == 1 else -1
            shifted[tuple(edge)] = 0
            yield f"is shifted by one {direction}", shifted


def reordered(found: Wrong, context: Context) -> str:
    """How the entries of one axis were put in another order, if that is all."""
    if found.suspect.shape != found.truth.shape:
        return ""
    names = OF_WEIGHT if context.result in ("weight", "step") else OF_FEATURES
    for axis in range(found.truth.ndim):
        order = permutation(found, axis)
        if order is not None:
            what = names.get(found.truth.ndim, ("entries",) * found.truth.ndim)[axis]
            backwards = order == list(range(len(order)))[::-1]
            if backwards and len(order) > 2:
                return f"has its {what} in reverse order"
            shown = f"{order[:MOST_SHOWN]}".replace("]", ", ...]" if len(order) > MOST_SHOWN else "]")
            return f"has its {what} in the order {shown}"
    return ""


def permutation(found: Wrong, axis: int) -> list[int] | None:
    """For each entry of an axis, which one of the truth it is; None if it is none, or nothing moved."""
    suspect, truth = (
        np.moveaxis(a, axis, 0).reshape(a.shape[axis], -1) for a in (found.suspect, found.truth)
    )
    if len(truth) < 2 or (suspect.shape[1] == 1 and len(truth) < 3):
        return None
    # A random projection tells entries apart; all numbers are compared in the end.
    direction = np.random.default_rng(0).standard_normal(truth.shape[1])
    gaps = np.abs((suspect @ direction)[:, None] - truth @ direction)
    order: list[int] = []
    for i, row in enumerate(gaps):  # entries that are equal, as of dead channels, stay where they are
        near = [
            int(j) for j in np.flatnonzero(row <= row.min() + 1e-9 * np.abs(gaps).max()) if j not in order
        ]
        if not near:
            return None
        order.append(i if i in near else near[0])
    if order == list(range(len(truth))):
        return None
    return order if found.is_(np.take(found.truth, order, axis)) else None
