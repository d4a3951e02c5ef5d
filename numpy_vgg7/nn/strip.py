"""How feature maps lie in memory: on a strip, where a convolution needs no patches.

An activation is an (N, C, H, W) array to whoever reads it. In the convolutional part its numbers lie on
a strip: the first rows of all pictures side by side, then all second rows, and so on; in a row pixel by
pixel, and the channels of a pixel side by side. A zero column right of each picture is the left border
of the next one, and a row of zeros stands above and below. So the three pixels under a kernel row are
3 C numbers side by side, wherever the kernel stands; and what is done to the rows of all pictures is done
to one long run of numbers, which is what NumPy is fast at.
"""

from typing import Any

import numpy as np

from numpy_vgg7.nn.arrays import Array, DType

PHASES = 3  # windows of three pixels overlap, unless they start at every third
PIECES = 16  # a third of the positions is rounded up to a multiple, to be cut into pieces


class Strip(np.ndarray[Any, Any]):
    """Memory that nobody touches but through the views below; its borders are zero."""


def new(shape: tuple[int, ...], dtype: DType) -> Array:
    """Zeros (N, C, H, W) on a strip of their own, with some pixels more at both ends."""
    n, channels, height, width = shape
    run = n * (width + 1) * channels
    owner = Strip(((height + 2) * run + (2 + PHASES * PIECES) * channels,), dtype)
    owner[:] = 0
    size = owner.itemsize
    strides = ((width + 1) * channels * size, size, run * size, channels * size)
    return np.ndarray(shape, dtype, owner, (channels + run) * size, strides)


def laid(x: Array) -> bool:
    """Whether `x` is the whole of a strip that `new` made, not a part or a copy of it."""
    return type(x.base) is Strip


def rows(x: Array) -> Array:
    """The strip under `x`, a row of all pictures a row, zeros above and below: (H + 2, N (W + 1) C)."""
    n, channels, height, width = x.shape
    shape = (height + 2, n * (width + 1) * channels)
    return np.ndarray(shape, x.dtype, x.base, channels * x.itemsize)


def pictures(x: Array) -> Array:
    """The strip under `x` with its zero column, without the rows of zeros: (H, N, W + 1, C), contiguous."""
    n, channels, height, width = x.shape
    return rows(x)[1:-1].reshape(height, n, width + 1, channels)


def memory(x: Array) -> Array:
    """What to run through, front to back, to visit every number of `x`: its strip, or `x` itself."""
    return pictures(x) if laid(x) else x


def positions(x: Array) -> Array:
    """The strip under `x` as a list of pixels (position, C), up to three whole thirds."""
    shape = (PHASES * thirds(x), x.shape[1])
    return np.ndarray(shape, x.dtype, x.base, _first(x) * x.itemsize)


def border(x: Array) -> Array:
    """The zero column of each picture, which has to be cleared after a pass over all positions."""
    return pictures(x)[:, :, -1]


def windows(x: Array) -> Array:
    """Each pixel with its neighbours: (phase, position / 3, 3 C), a view.

    [r, q] are the pixels p - 1, p, p + 1 at position p = 3 q + r.
    """
    _, channels, *_ = x.shape
    start = _first(x) - channels
    shape, strides = (PHASES, thirds(x), 3 * channels), (channels, PHASES * channels, 1)
    return np.ndarray(shape, x.dtype, x.base, start * x.itemsize, [x.itemsize * step for step in strides])


def taps(x: Array) -> Array:
    """What each of the nine taps sees: (kernel row, kernel column, C, position), a view."""
    n, channels, height, width = x.shape
    run = n * (width + 1) * channels
    start = _first(x) - run - channels
    shape, strides = (3, 3, channels, n * height * (width + 1)), (run, channels, 1, channels)
    return np.ndarray(shape, x.dtype, x.base, start * x.itemsize, [x.itemsize * step for step in strides])


def by_phase(pixels: Array) -> Array:
    """A contiguous list of pixels (3 q, C) as windows are ordered: (phase, q, C), a view."""
    return pixels.reshape(-1, PHASES, pixels.shape[1]).swapaxes(0, 1)


def thirds(x: Array) -> int:
    """A third of the positions of `x`, rounded up to a multiple of PIECES."""
    n, _, height, width = map(int, x.shape)
    return -(-n * height * (width + 1) // (PHASES * PIECES)) * PIECES


def _first(x: Array) -> int:
    """Where the first pixel of the first picture is."""
    n, channels, _, width = map(int, x.shape)
    return channels + n * (width + 1) * channels
