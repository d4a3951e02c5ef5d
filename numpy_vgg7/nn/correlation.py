"""Correlation with a 3x3 kernel, on strips: matrix products on views, with nothing gathered.

`kernel` is (row, column, in, out), contiguous: as a matrix (3 C, out), each of its rows meets the 3 C
numbers under it. With few channels such products are too thin to pay, and the nine taps are stacked.
"""

import numpy as np

from numpy_vgg7.nn import strip
from numpy_vgg7.nn.arrays import Array
from numpy_vgg7.nn.workspace import Workspace

FEW = 4  # channels


def correlate(x: Array, kernel: Array, out: Array, workspace: Workspace) -> None:
    """out[n,o,i,j] = sum over c,u,v of kernel[u,v,c,o] * x[n,c,i+u-1,j+v-1]; `x`, `out` on strips.

    The borders of `out` are left with anything in them.
    """
    _, _, channels, outputs = kernel.shape
    positions = strip.positions(out)
    if channels <= FEW:
        columns = _columns(x, workspace)
        workspace.do(np.matmul, columns.T, kernel.reshape(-1, outputs), out=positions[: columns.shape[1]])
    else:
        windows = strip.windows(x)
        rows = workspace.scratch.array("rows", (3, *positions.shape), out.dtype)
        by_phase = rows.reshape(3, -1, strip.PHASES, outputs).swapaxes(1, 2)
        workspace.do(np.matmul, windows, kernel.reshape(3, 1, 3 * channels, outputs), out=by_phase)
        workspace.do(np.add, rows[0], rows[1], out=positions)
        workspace.do(np.add, positions, rows[2], out=positions)


def correlate_pairs(x: Array, d_out: Array, d_kernel: Array, workspace: Workspace) -> None:
    """d_kernel[u,v,c,o] = sum over n,i,j of x[n,c,i+u-1,j+v-1] * d_out[n,o,i,j]; both on strips."""
    _, _, channels, outputs = d_kernel.shape
    positions = strip.positions(d_out)
    if channels <= FEW:
        columns = _columns(x, workspace)
        workspace.do(np.matmul, columns, positions[: columns.shape[1]], out=d_kernel.reshape(-1, outputs))
    else:
        windows = strip.windows(x).swapaxes(2, 3)
        by_phase = positions.reshape(-1, strip.PHASES, outputs).swapaxes(0, 1)
        shape = (3, strip.PHASES, 3 * channels, outputs)
        parts = workspace.scratch.array("parts", shape, d_out.dtype)
        workspace.do(np.matmul, windows, by_phase, out=parts)
        workspace.do(np.add.reduce, parts, axis=1, out=d_kernel.reshape(3, -1, outputs))


def _columns(x: Array, workspace: Workspace) -> Array:
    """What each tap sees, side by side: (9 C, position)."""
    taps = strip.taps(x)
    columns = workspace.scratch.array("columns", taps.shape, x.dtype)
    workspace.do(np.copyto, columns, taps)
    return columns.reshape(-1, taps.shape[-1])
