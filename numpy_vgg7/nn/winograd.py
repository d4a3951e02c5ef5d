"""Correlation with a 3x3 kernel on strips, two rows at a time: four products where the definition takes six.

Winograd's F(2, 3) (1980; Lavin and Gray 2015), here along the columns: of four pixels d one below the
other and a kernel column g, the two outputs y are

    y0 = d0 g0 + d1 g1 + d2 g2 = m0 + m1 + m2      m0 = (d0 - d2) g0     m1 = (d1 + d2) (g0 + g1 + g2) / 2
    y1 = d1 g0 + d2 g1 + d3 g2 = m1 - m2 - m3      m3 = (d1 - d3) g2     m2 = (d2 - d1) (g0 - g1 + g2) / 2

d, g, m and y stand for whole rows: of all pictures, of the kernel. Along a row nothing is saved: the
three pixels under a kernel row lie side by side, and their products with it are one product of matrices.
"""

import numpy as np

from numpy_vgg7.nn import correlation, strip
from numpy_vgg7.nn.arrays import Array
from numpy_vgg7.nn.products import multiply
from numpy_vgg7.nn.workspace import Workspace

FEW = 4  # channels: with no more than those, products of matrices are too thin to pay

TILES = ((np.subtract, 0, 2), (np.add, 1, 2), (np.subtract, 2, 1), (np.subtract, 1, 3))  # d0 - d2, ...
KERNELS = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # g0, (g0 + g1 + g2) / 2, ...


def fits(kernel: Array, height: int) -> bool:
    """Whether rows come in pairs, and channels are many."""
    return height % 2 == 0 and min(kernel.shape[2:]) > FEW


def correlate(x: Array, kernel: Array, out: Array, workspace: Workspace) -> None:
    """What `correlation.correlate` computes, up to rounding."""
    if not fits(kernel, x.shape[2]):
        correlation.correlate(x, kernel, out, workspace)
        return
    do, scratch = workspace.do, workspace.scratch
    n, outputs, height, width = out.shape
    kernels = scratch.array("kernels", (4, 3 * x.shape[1], outputs), kernel.dtype)
    matrix = np.array(KERNELS, kernel.real.dtype)
    do(np.matmul, matrix, kernel.reshape(3, -1), out=kernels.reshape(4, -1))
    one, other = (scratch.images(name, (n, outputs, height // 2, width), out.dtype) for name in ("m", "m1"))
    m, m1 = strip.rows(one)[1:-1], strip.rows(other)[1:-1]
    y = strip.rows(out)[1:-1]
    y0, y1 = y[0::2], y[1::2]

    def product(number: int, into: Array) -> None:
        windows = strip.windows(_tile(number, x, workspace))
        multiply(do, windows, kernels[number], strip.by_phase(strip.positions(into)))

    product(0, one)
    product(1, other)
    do(np.add, m, m1, out=y0)
    product(2, one)
    do(np.add, y0, m, out=y0)
    do(np.subtract, m1, m, out=y1)
    product(3, one)
    do(np.subtract, y1, m, out=y1)


def correlate_pairs(x: Array, d_out: Array, d_kernel: Array, workspace: Workspace) -> None:
    """What `correlation.correlate_pairs` computes: the sums and products above read backwards.

    d_m0 = d_y0,   d_m1 = d_y0 + d_y1,   d_m2 = d_y0 - d_y1,   d_m3 = -d_y1
    """
    if not fits(d_kernel, x.shape[2]):
        correlation.correlate_pairs(x, d_out, d_kernel, workspace)
        return
    do, scratch = workspace.do, workspace.scratch
    n, outputs, height, width = d_out.shape
    d_y = strip.rows(d_out)[1:-1]
    d_y0, d_y1 = d_y[0::2], d_y[1::2]
    on_strip = scratch.images("d_m", (n, outputs, height // 2, width), d_out.dtype)
    pixels, d_m = strip.by_phase(strip.positions(on_strip)), strip.rows(on_strip)[1:-1]
    parts = scratch.array("parts", (4, strip.PHASES, 3 * x.shape[1], outputs), d_kernel.dtype)
    d_kernels = scratch.array("d_kernels", (4, 3 * x.shape[1] * outputs), d_kernel.dtype)

    def product(number: int) -> None:
        windows = strip.windows(_tile(number, x, workspace))
        multiply(do, windows.swapaxes(1, 2), pixels, parts[number])

    do(np.copyto, d_m, d_y0)
    product(0)
    do(np.add, d_y0, d_y1, out=d_m)
    product(1)
    do(np.subtract, d_y0, d_y1, out=d_m)
    product(2)
    do(np.negative, d_y1, out=d_m)
    product(3)
    do(np.add.reduce, parts.reshape(4, strip.PHASES, -1), axis=1, out=d_kernels)
    do(np.matmul, np.array(KERNELS, d_kernel.dtype).T, d_kernels, out=d_kernel.reshape(3, -1))


def _tile(number: int, x: Array, workspace: Workspace) -> Array:
    """One of the four sums of rows d, for every pair of output rows: (N, C, H/2, W)."""
    n, channels, height, width = x.shape
    operation, above, below = TILES[number]
    d = strip.rows(x)
    d_above, d_below = (d[start : start + height : 2] for start in (above, below))
    tile = workspace.scratch.images("tile", (n, channels, height // 2, width), x.dtype)
    workspace.do(operation, d_above, d_below, out=strip.rows(tile)[1:-1])
    return tile
