"""How feature maps lie in memory: on a strip, where a convolution needs no patches.

An activation is an (N, C, H, W) array to whoever reads it. In the convolutional part its numbers lie on
a strip: the pictures one after another, pixel by pixel, the channels of a pixel side by side. A zero
column right of each picture and a zero row below it serve the neighbours too, and zeros stand at both
ends. So the three pixels under a kernel row are 3 C numbers in a row, wherever the kernel stands, and
the next kernel row is a constant distance away.
"""

from typing import Any

import numpy as np

from numpy_vgg7.nn.arrays import Array, DType

PHASES = 3  # windows of three pixels overlap, unless they start at every third


class Strip(np.ndarray[Any, Any]):
    """Memory that nobody touches but through the views below; its borders are zero."""


def new(shape: tuple[int, ...], dtype: DType) -> Array:
    """Zeros (N, C, H, W) on a strip of their own."""
    n, channels, height, width = shape
    pixels = n * (height + 1) * (width + 1)
    owner = Strip(((pixels + 2 * _margin(width)) * channels,), dtype)
    owner[:] = 0
    row, size = (width + 1) * channels, owner.itemsize
    strides = ((height + 1) * row * size, size, row * size, channels * size)
    return np.ndarray(shape, dtype, owner, _margin(width) * channels * size, strides)


def laid(x: Array) -> bool:
    """Whether `x` is the whole of a strip that `new` made, not a part or a copy of it."""
    return type(x.base) is Strip


def pictures(x: Array) -> Array:
    """The strip under `x` with its borders: (N, H + 1, W + 1, C), contiguous."""
    n, channels, height, width = x.shape
    shape = (n, height + 1, width + 1, channels)
    return np.ndarray(shape, x.dtype, x.base, _margin(width) * channels * x.itemsize)


def rows(x: Array) -> Array:
    """The same, a row of pixels a row: (N (H + 1), (W + 1) C)."""
    n, channels, height, width = x.shape
    return pictures(x).reshape(n * (height + 1), (width + 1) * channels)


def memory(x: Array) -> Array:
    """What to run through, front to back, to visit every number of `x`: its strip, or `x` itself."""
    return pictures(x) if laid(x) else x


def positions(x: Array) -> Array:
    """The strip under `x` as a list of pixels (position, C), up to a whole number of thirds."""
    _, channels, _, width = x.shape
    shape = (PHASES * _thirds(x), channels)
    return np.ndarray(shape, x.dtype, x.base, _margin(width) * channels * x.itemsize)


def windows(x: Array) -> Array:
    """The three pixels that a kernel row sees: (kernel row, phase, position / 3, 3 C), a view.

    [v, r, q] are the pixels p - 1, p, p + 1 in the row v - 1 below position p = 3 q + r.
    """
    _, channels, _, width = x.shape
    row, size = (width + 1) * channels, x.itemsize
    start = (_margin(width) * channels - row - channels) * size
    strides = (row * size, channels * size, PHASES * channels * size, size)
    return np.ndarray((3, PHASES, _thirds(x), 3 * channels), x.dtype, x.base, start, strides)


def taps(x: Array) -> Array:
    """What each of the nine taps sees: (kernel row, kernel column, C, position), a view."""
    n, channels, height, width = x.shape
    row, size = (width + 1) * channels, x.itemsize
    start = (_margin(width) * channels - row - channels) * size
    shape = (3, 3, channels, n * (height + 1) * (width + 1))
    strides = (row * size, channels * size, size, channels * size)
    return np.ndarray(shape, x.dtype, x.base, start, strides)


def borders(x: Array) -> list[Array]:
    """What has to be zero around the pictures: the rows below, the columns on the right, and the end."""
    _, _, height, width = x.shape
    body = pictures(x)
    end = positions(x)[len(body) * body.shape[1] * body.shape[2] :]
    return [border for border in (body[:, height], body[:, :height, width], end) if border.size]


def _margin(width: int) -> int:
    """Pixels at each end: what the taps see beyond a corner, and what completes a third."""
    return width + 2 + PHASES


def _thirds(x: Array) -> int:
    n, _, height, width = map(int, x.shape)
    return -(-n * (height + 1) * (width + 1) // PHASES)
