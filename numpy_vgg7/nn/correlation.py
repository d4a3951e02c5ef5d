"""Correlation with a 3x3 kernel on strips, by definition: what each tap sees, times the kernel.

`kernel` is (row, column, in, out).
"""

import numpy as np

from numpy_vgg7.nn import strip
from numpy_vgg7.nn.arrays import Array
from numpy_vgg7.nn.products import multiply
from numpy_vgg7.nn.workspace import Workspace


def correlate(x: Array, kernel: Array, out: Array, workspace: Workspace) -> None:
    """out[n,o,i,j] = sum over c,u,v of kernel[u,v,c,o] * x[n,c,i+u-1,j+v-1]; `x`, `out` on strips.

    The border of `out` is left with anything in it.
    """
    columns = _columns(x, workspace)
    pixels = strip.positions(out)[: columns.shape[1]]
    multiply(workspace.do, columns.T, kernel.reshape(len(columns), -1), pixels)


def correlate_pairs(x: Array, d_out: Array, d_kernel: Array, workspace: Workspace) -> None:
    """d_kernel[u,v,c,o] = sum over n,i,j of x[n,c,i+u-1,j+v-1] * d_out[n,o,i,j]; both on strips."""
    columns = _columns(x, workspace)
    pixels = strip.positions(d_out)[: columns.shape[1]]
    multiply(workspace.do, columns, pixels, d_kernel.reshape(len(columns), -1))


def _columns(x: Array, workspace: Workspace) -> Array:
    """What each tap sees, side by side: (9 C, position)."""
    taps = strip.taps(x)
    columns = workspace.scratch.array("columns", taps.shape, x.dtype)
    workspace.do(np.copyto, columns, taps)
    return columns.reshape(-1, taps.shape[-1])
