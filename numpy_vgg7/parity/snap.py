"""Words need exact numbers, and float32 has none: the exact tensor that a rounded one stands for."""

from collections.abc import Iterator

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.bounds import UNIT

LARGEST = 10_000  # of a whole number n, for the factors n and 1/n


def snapped(suspect: Array, truth: Array, allowed: Array) -> Array:
    """The simple variation of `truth` that `suspect` is within rounding, or `suspect` if there is none."""
    for exact, tolerance in _variations(suspect, truth, np.broadcast_to(allowed, truth.shape)):
        slack = 2 * tolerance + 4 * UNIT * np.abs(exact)
        if exact.shape == suspect.shape and (np.abs(suspect - exact) <= slack).all():
            return exact
    return suspect


def _variations(suspect: Array, truth: Array, allowed: Array) -> Iterator[tuple[Array, Array]]:
    norm = float((truth * truth).sum())
    factor = float((suspect * truth).sum()) / norm if norm else 0.0
    yield np.zeros_like(truth), np.zeros_like(truth)
    if 1 / LARGEST < abs(factor) < LARGEST:
        whole = round(factor) if abs(factor) >= 1 else 1 / round(1 / factor)
        yield whole * truth, abs(whole) * allowed
    for axes in ((2, 3), (2,), (3,)) if truth.ndim == 4 else ():
        yield np.flip(truth, axes), np.flip(allowed, axes)
    for one, other in ((0, 1), (2, 3)) if truth.ndim == 4 else ((0, 1),) if truth.ndim == 2 else ():
        yield truth.swapaxes(one, other), allowed.swapaxes(one, other)
