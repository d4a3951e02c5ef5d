"""3x3 convolution two rows at a time, with four products where the definition takes six.

Winograd's F(2, 3) (1980; Lavin and Gray 2015), along the columns: for four pixels d below one another and a
filter column g, the two outputs y are

    y0 = d0 g0 + d1 g1 + d2 g2 = m0 + m1 + m2      m0 = (d0 - d2) g0     m1 = (d1 + d2) (g0 + g1 + g2) / 2
    y1 = d1 g0 + d2 g1 + d3 g2 = m1 - m2 - m3      m3 = (d1 - d3) g2     m2 = (d2 - d1) (g0 - g1 + g2) / 2

d, g, m and y stand for whole rows: of all images, and of the filters. Along a row nothing is saved: the three
pixels under a filter row are adjacent, and multiplying them by it is one product of matrices.
"""

import numpy as np

from numpy_vgg7.engine.gemm import Gemm
from numpy_vgg7.engine.layout import PHASES, FeatureMaps, Scratch
from numpy_vgg7.engine.memory import Arena
from numpy_vgg7.functional import Array

MIN_CHANNELS = 5  # with fewer, the matrices are too thin to gain anything

FILTER_TRANSFORM = (
    (1, 0, 0),
    (0.5, 0.5, 0.5),
    (0.5, -0.5, 0.5),
    (0, 0, 1),
)  # g -> g0, (g0 + g1 + g2) / 2, ...


def applies(filters: Array, height: int) -> bool:
    """Whether rows come in pairs and there are enough channels."""
    return height % 2 == 0 and min(filters.shape[2:]) >= MIN_CHANNELS


class FilterTransform:
    """The transformed filters (4, 3 C, K) of the products above: g0, (g0 + g1 + g2) / 2, ..."""

    def __init__(self, filters: Array, arena: Arena) -> None:
        c, k = filters.shape[2:]
        self.matrix, self.filters = np.array(FILTER_TRANSFORM, filters.dtype), filters.reshape(3, -1)
        self.transformed = arena.array((4, 3 * c, k), filters.dtype)
        self.needed = min(c, k) >= MIN_CHANNELS

    def __call__(self) -> None:
        """Transform the current values of the filters."""
        if self.needed:
            np.matmul(self.matrix, self.filters, out=self.transformed.reshape(4, -1))


class Winograd:
    """What `Im2col` computes, up to rounding. `transformed` is that of a `FilterTransform`."""

    def __init__(self, x: FeatureMaps, transformed: Array, out: FeatureMaps, scratch: Scratch) -> None:
        n, k, height, width = out.shape
        self.d = _four_rows(x)
        self.y = out.rows[1:-1:2], out.rows[2:-1:2]
        row_sums = scratch.maps("row sums", (n, x.shape[1], height // 2, width), x.dtype)
        m, m1 = (scratch.maps(name, (n, k, height // 2, width), x.dtype) for name in ("m", "m1"))
        self.row_sums, self.m, self.m1 = (maps.rows[1:-1] for maps in (row_sums, m, m1))
        products = (m, m1, m, m)
        self.gemm = [Gemm(row_sums.row_windows(), transformed[i], products[i].thirds()) for i in range(4)]

    def __call__(self) -> None:
        """Convolve."""
        (d0, d1, d2, d3), (y0, y1), gemm = self.d, self.y, self.gemm
        row_sums, m, m1 = self.row_sums, self.m, self.m1
        np.subtract(d0, d2, row_sums)
        gemm[0]()  # m0
        np.add(d1, d2, row_sums)
        gemm[1]()  # m1
        np.add(m, m1, y0)
        np.subtract(d2, d1, row_sums)
        gemm[2]()  # m2
        np.add(y0, m, y0)
        np.subtract(m1, m, y1)
        np.subtract(d1, d3, row_sums)
        gemm[3]()  # m3
        np.subtract(y1, m, y1)


class WinogradWeightGradient:
    """What `Im2colWeightGradient` computes: the derivatives of the sums and products above.

    d_m0 = d_y0,   d_m1 = d_y0 + d_y1,   d_m2 = d_y0 - d_y1,   d_m3 = -d_y1
    d_transformed[i] = windows of the row sums in m_i, transposed, @ d_m_i
    d_filters = FILTER_TRANSFORM.T @ d_transformed
    """

    def __init__(self, x: FeatureMaps, d_out: FeatureMaps, d_filters: Array, scratch: Scratch) -> None:
        n, k, height, width = d_out.shape
        c = x.shape[1]
        self.d = _four_rows(x)
        self.d_y = d_out.rows[1:-1:2], d_out.rows[2:-1:2]
        row_sums = scratch.maps("row sums", (n, c, height // 2, width), x.dtype)
        d_m = scratch.maps("d_m", (n, k, height // 2, width), x.dtype)
        self.row_sums, self.d_m = row_sums.rows[1:-1], d_m.rows[1:-1]
        parts = scratch.array("parts", (4, PHASES, 3 * c, k), x.dtype)
        windows = row_sums.row_windows().swapaxes(1, 2)
        self.gemm = [Gemm(windows, d_m.thirds(), parts[i]) for i in range(4)]
        self.parts = parts.reshape(4, PHASES, -1)
        self.d_transformed = scratch.array("d_transformed", (4, 3 * c * k), x.dtype)
        self.matrix = np.array(FILTER_TRANSFORM, x.dtype).T
        self.d_filters = d_filters.reshape(3, -1)

    def __call__(self) -> None:
        """Sum over all pixels."""
        (d0, d1, d2, d3), (d_y0, d_y1), gemm = self.d, self.d_y, self.gemm
        row_sums, d_m = self.row_sums, self.d_m
        np.subtract(d0, d2, row_sums)
        np.copyto(d_m, d_y0)
        gemm[0]()
        np.add(d1, d2, row_sums)
        np.add(d_y0, d_y1, d_m)
        gemm[1]()
        np.subtract(d2, d1, row_sums)
        np.subtract(d_y0, d_y1, d_m)
        gemm[2]()
        np.subtract(d1, d3, row_sums)
        np.negative(d_y1, d_m)
        gemm[3]()
        np.add.reduce(self.parts, axis=1, out=self.d_transformed)
        np.matmul(self.matrix, self.d_transformed, out=self.d_filters)


def _four_rows(x: FeatureMaps) -> list[Array]:
    """d0, d1, d2, d3 for every pair of output rows."""
    height = x.shape[2]
    return [x.rows[start : start + height : 2] for start in range(4)]
