"""The padded layout of feature maps, in which the three pixels under a filter row are adjacent.

Feature maps (N, C, H, W) lie in memory as (H, N, W + 1, C): the first rows of all images side by side, then
all second rows, and so on; within a row pixel by pixel, and the channels of a pixel side by side. A column of
zeros to the right of each image is also the left padding of the next one, and a row of zeros lies above and
below. Hence the three pixels under a filter row are 3 C adjacent numbers wherever the filter stands, and an
operation on the rows of all images is one long run of numbers, which is what NumPy is fast at.
"""

import numpy as np

from numpy_vgg7.engine.memory import CACHE_LINE, Arena, DType
from numpy_vgg7.functional import Array

# A BLAS takes no overlapping rows, so the windows of three pixels are three matrices of every third window.
PHASES = 3
MULTIPLE = 16  # a third of the pixels is rounded up to a multiple, so that it can be cut into equal blocks


class FeatureMaps:
    """Feature maps in the padded layout, and the views that kernels work on.

    nchw     (N, C, H, W)
    rows     (H + 2, N (W + 1) C), the padded rows; the first and the last are zero
    pixels   (H, N, W + 1, C), contiguous
    padding  (H, N, C), the column of zeros, which a kernel that writes all pixels has to clear
    """

    def __init__(self, shape: tuple[int, int, int, int], dtype: DType, arena: Arena) -> None:
        self.shape, self.dtype = shape, np.dtype(dtype)
        n, c, height, width = shape
        self._row = row = n * (width + 1) * c
        self._third = -(-n * height * (width + 1) // (PHASES * MULTIPLE)) * MULTIPLE
        line = CACHE_LINE // self.dtype.itemsize
        before = -(-c // line) * line  # at least one pixel, so that `rows` starts on a cache line
        self._first = before + row
        self._memory = arena.array((before + (height + 2) * row + (1 + PHASES * MULTIPLE) * c,), dtype)
        self.rows = self._memory[before : before + (height + 2) * row].reshape(height + 2, row)
        self.pixels = self.rows[1:-1].reshape(height, n, width + 1, c)
        self.padding = self.pixels[:, :, -1]
        self.nchw = self.pixels[:, :, :-1].transpose(1, 3, 0, 2)

    def flat_pixels(self) -> Array:
        """(pixel, C): all pixels in the order of memory, and some numbers after them: three whole thirds."""
        return self._view((PHASES * self._third, self.shape[1]), 0, (self.shape[1], 1))

    def thirds(self) -> Array:
        """The same as (phase, pixel / 3, C): [r, q] is pixel 3 q + r, as in `row_windows`."""
        c = self.shape[1]
        return self._view((PHASES, self._third, c), 0, (c, PHASES * c, 1))

    def row_windows(self) -> Array:
        """Each pixel with both neighbours: (phase, pixel / 3, 3 C).

        [r, q] holds the pixels p - 1, p, p + 1 for pixel p = 3 q + r.
        """
        c = self.shape[1]
        return self._view((PHASES, self._third, 3 * c), -c, (c, PHASES * c, 1))

    def im2col_view(self) -> Array:
        """The pixels that each of the nine weights meets: (filter row, filter column, C, pixel)."""
        n, c, height, width = self.shape
        shape = (3, 3, c, n * height * (width + 1))
        return self._view(shape, -self._row - c, (self._row, c, 1, c))

    def _view(self, shape: tuple[int, ...], offset: int, steps: tuple[int, ...]) -> Array:
        """A view that starts `offset` numbers after the first pixel of the first image."""
        size = self.dtype.itemsize
        start = (self._first + offset) * size
        return np.ndarray(shape, self.dtype, self._memory, start, [size * step for step in steps])


class Scratch:
    """Intermediate results by name, shared by kernels that run one after another."""

    def __init__(self, arena: Arena) -> None:
        self.arena = arena
        self._arrays: dict[tuple[object, ...], Array] = {}
        self._maps: dict[tuple[object, ...], FeatureMaps] = {}

    def array(self, name: str, shape: tuple[int, ...], dtype: DType) -> Array:
        """The array of this name, shape and dtype; its contents are left from the last use."""
        key = name, shape, np.dtype(dtype)
        if key not in self._arrays:
            self._arrays[key] = self.arena.array(shape, dtype)
        return self._arrays[key]

    def maps(self, name: str, shape: tuple[int, int, int, int], dtype: DType) -> FeatureMaps:
        """Feature maps, likewise. Their padding is zero if every kernel that uses the name leaves it so."""
        key = name, shape, np.dtype(dtype)
        if key not in self._maps:
            self._maps[key] = FeatureMaps(shape, dtype, self.arena)
        return self._maps[key]
