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

TILES = ((np.subtract, 0, 2), (np.add, 1, 2), (np.subtract, 2, 1), (np.subtract, 1, 3))  # d to (d0 - d2), ...
KERNELS = ((1, 0, 0), (0.5, 0.5, 0.5), (0.5, -0.5, 0.5), (0, 0, 1))  # g to g0, (g0 + g1 + g2) / 2, ...


def fits(kernel: Array, height: int) -> bool:
    """Whether rows come in pairs, and channels are many."""
    return height % 2 == 0 and min(kernel.shape[2:]) > FEW


def correlate(x: Array, kernel: Array, out: Array, workspace: Workspace) -> None:
    """What `correlation.correlate` computes, up to rounding."""
    if not fits(kernel, x.shape[2]):
        correlation.correlate(x, kernel, out, workspace)
        return
    n, _, height, width = out.shape
    kernels = workspace.scratch.array("kernels", (4, 3 * x.shape[1], out.shape[1]), kernel.dtype)
    matrix = np.array(KERNELS, kernel.real.dtype)
    workspace.do(np.matmul, matrix, kernel.reshape(3, -1), out=kernels.reshape(4, -1))
    y = strip.rows(out)[1:-1]
    y0, y1 = y[0::2], y[1::2]
    shape = n, out.shape[1], height // 2, width
    on_strips = [workspace.scratch.images(name, shape, out.dtype) for name in ("m", "m1")]
    m, m1 = (strip.rows(one)[1:-1] for one in on_strips)

    def product(number: int, into: Array) -> None:
        windows = strip.windows(_tile(number, x, workspace))
        multiply(workspace.do, windows, kernels[number], strip.by_phase(strip.positions(into)))

    product(0, on_strips[0])
    product(1, on_strips[1])
    workspace.do(np.add, m, m1, out=y0)
    product(2, on_strips[0])
    workspace.do(np.add, y0, m, out=y0)
    workspace.do(np.subtract, m1, m, out=y1)
    product(3, on_strips[0])
    workspace.do(np.subtract, y1, m, out=y1)


def correlate_pairs(x: Array, d_out: Array, d_kernel: Array, workspace: Workspace) -> None:
    """What `correlation.correlate_pairs` computes: the products above read backwards.

    d_m0 = d_y0    d_m1 = d_y0 + d_y1    d_m2 = d_y0 - d_y1    d_m3 = -d_y1
    """
    if not fits(d_kernel, x.shape[2]):
        correlation.correlate_pairs(x, d_out, d_kernel, workspace)
        return
    n, outputs, height, width = d_out.shape
    d_y = strip.rows(d_out)[1:-1]
    d_y0, d_y1 = d_y[0::2], d_y[1::2]
    d_m = workspace.scratch.images("d_m", (n, outputs, height // 2, width), d_out.dtype)
    into = strip.rows(d_m)[1:-1]
    d_kernels = workspace.scratch.array("d_kernels", (4, 3 * x.shape[1], outputs), d_kernel.dtype)
    parts = workspace.scratch.array("parts", (strip.PHASES, *d_kernels.shape[1:]), d_kernel.dtype)
    backwards = (
        (np.copyto, into, d_y0),
        (np.add, d_y0, d_y1, into),
        (np.subtract, d_y0, d_y1, into),
        (np.negative, d_y1, into),
    )
    for number, operation in enumerate(backwards):
        workspace.do(*operation)
        tile = _tile(number, x, workspace)
        multiply(workspace.do, strip.windows(tile).swapaxes(1, 2), strip.by_phase(strip.positions(d_m)), parts)
        workspace.do(np.add.reduce, parts, axis=0, out=d_kernels[number])
    matrix = np.array(KERNELS, d_kernel.dtype)
    workspace.do(np.matmul, matrix.T, d_kernels.reshape(4, -1), out=d_kernel.reshape(3, -1))


def _tile(number: int, x: Array, workspace: Workspace) -> Array:
    """One of the four sums of rows d, for every pair of output rows: (N, C, H/2, W)."""
    n, channels, height, width = x.shape
    d = strip.rows(x)
    operation, one, other = TILES[number]
    tile = workspace.scratch.images("tile", (n, channels, height // 2, width), x.dtype)
    workspace.do(operation, d[one : one + height : 2], d[other : other + height : 2], out=strip.rows(tile)[1:-1])
    return tile

