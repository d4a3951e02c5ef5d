"""Products of matrices, in blocks of a size at which the BLAS is fastest."""

from functools import cache
from math import ceil, inf
from typing import NamedTuple

import numpy as np

from numpy_vgg7 import blas
from numpy_vgg7.functional import Array

# With these kernels, OpenBLAS multiplies small matrices where they lie. Larger ones, and with other kernels
# all of them, it copies first, which takes a quarter to a half of the time if one of them is thin.
IN_PLACE_KERNELS = ("SkylakeX", "Cooperlake", "SapphireRapids")
SMALL = 950_000  # multiplications; the limit is 10^6
MIN_ROWS = 4  # of a block


@cache
def block_limit() -> float:
    """Multiplications in a block. Without an advantage of small products, a block is the whole product."""
    return SMALL if blas.kernel() in IN_PLACE_KERNELS else inf


class Gemm:
    """out = left @ right: (..., M, K) @ (..., K, N) -> (..., M, N), some of the M rows at a time."""

    def __init__(self, left: Array, right: Array, out: Array) -> None:
        rows, inner = left.shape[-2:]
        columns = right.shape[-1]
        # A matrix that lies column by column is better copied, unless it is narrow.
        in_place = right.strides[-1] == right.itemsize or columns < rows
        blocks = block_count(rows, inner * columns) if in_place else 1
        if blocks > 1:
            left, right, out = row_blocks(left, blocks), right[..., None, :, :], row_blocks(out, blocks)
        self.left, self.right, self.out = left, right, out

    def __call__(self) -> None:
        """Multiply."""
        np.matmul(self.left, self.right, out=self.out)


class OuterProduct:
    """out = left.T @ right: (N, M), (N, K) -> (M, K), for which a BLAS is slow where N is 1."""

    def __init__(self, left: Array, right: Array, out: Array) -> None:
        self.left, self.right, self.out = left.T, right, out
        self.gemm = Gemm(left.T, right, out) if len(left) > 1 else None

    def __call__(self) -> None:
        """Multiply."""
        if self.gemm:
            self.gemm()
        else:
            np.multiply(self.left, self.right, out=self.out)


def block_count(rows: int, work: int) -> int:
    """Into how many equal blocks to cut `rows` rows of `work` multiplications each; 1 means not at all.

    A block has at least MIN_ROWS rows and takes at most `block_limit` multiplications.
    """
    least = max(1, ceil(rows * work / block_limit()))
    for count in range(least, rows // MIN_ROWS + 1):
        if rows % count == 0:
            return count
    return 1


def row_blocks(matrices: Array, count: int) -> Array:
    """(..., M, K) -> (..., count, M / count, K), a view."""
    *others, rows, columns = matrices.shape
    return matrices.reshape(*others, count, rows // count, columns)


class FactoredGradient(NamedTuple):
    """left.T @ right, the gradient of a large weight matrix, of which only some rows are needed at a time."""

    left: Array  # (N, rows)
    right: Array  # (N, columns)

    def materialize(self) -> Array:
        """(rows, columns): sum over n of left[n,i] * right[n,j]."""
        product: Array = np.matmul(self.left.T, self.right)
        return product


Gradients = dict[str, Array | FactoredGradient]


def materialize(gradients: Gradients) -> dict[str, Array]:
    """The same gradients as plain arrays."""
    return {
        name: value.materialize() if isinstance(value, FactoredGradient) else value
        for name, value in gradients.items()
    }
