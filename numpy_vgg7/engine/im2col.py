"""3x3 convolution by im2col: the pixels that each of the nine weights meets, times the filters.

Filters are (filter row, filter column, in, out).
"""

import numpy as np

from numpy_vgg7.engine.gemm import Gemm
from numpy_vgg7.engine.layout import FeatureMaps, Scratch
from numpy_vgg7.functional import Array


class Im2col:
    """out[n,o,i,j] = sum over c,u,v of filter[u,v,c,o] * x[n,c,i+u-1,j+v-1]

    Leaves arbitrary numbers in the padding of `out`.
    """

    def __init__(self, x: FeatureMaps, filters: Array, out: FeatureMaps, scratch: Scratch) -> None:
        self.seen, self.columns, matrix = _columns(x, scratch)
        pixels = out.flat_pixels()[: matrix.shape[1]]
        self.gemm = Gemm(matrix.T, filters.reshape(len(matrix), -1), pixels)

    def __call__(self) -> None:
        """Convolve."""
        np.copyto(self.columns, self.seen)
        self.gemm()


class Im2colWeightGradient:
    """d_filter[u,v,c,o] = sum over n,i,j of x[n,c,i+u-1,j+v-1] * d_out[n,o,i,j]"""

    def __init__(self, x: FeatureMaps, d_out: FeatureMaps, d_filters: Array, scratch: Scratch) -> None:
        self.seen, self.columns, matrix = _columns(x, scratch)
        pixels = d_out.flat_pixels()[: matrix.shape[1]]
        self.gemm = Gemm(matrix, pixels, d_filters.reshape(len(matrix), -1))

    def __call__(self) -> None:
        """Sum over all pixels."""
        np.copyto(self.columns, self.seen)
        self.gemm()


def _columns(x: FeatureMaps, scratch: Scratch) -> tuple[Array, Array, Array]:
    """What the weights meet, the array to copy it to, and that array as a matrix (9 C, pixel)."""
    seen = x.im2col_view()
    columns = scratch.array("columns", seen.shape, x.dtype)
    return seen, columns, columns.reshape(-1, seen.shape[-1])
