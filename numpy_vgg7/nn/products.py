"""Products of matrices in pieces of a size that a BLAS is fastest at."""

import numpy as np

from numpy_vgg7.nn.arrays import Array
from numpy_vgg7.nn.workspace import Do

# OpenBLAS multiplies small matrices where they lie; larger ones it copies first, which costs a quarter to a
# half of the time where one of them is thin. Its limit is 10^6 multiplications.
SMALL = 950_000
THIN = 4  # rows of a piece, at least


def multiply(do: Do, left: Array, right: Array, out: Array) -> None:
    """out = left @ right: (..., M, K) @ (..., K, N) -> (..., M, N), some of the M rows at a time."""
    rows, inner = left.shape[-2:]
    columns = right.shape[-1]
    # A matrix that lies column by column is better copied, unless it is narrow.
    where_it_lies = right.strides[-1] == right.itemsize or columns < rows
    count = _pieces(rows, inner * columns) if where_it_lies else 1
    if count > 1:
        left, out = _cut(left, count), _cut(out, count)
        right = right[..., None, :, :]
    do(np.matmul, left, right, out=out)


def outer_product(do: Do, left: Array, right: Array, out: Array) -> None:
    """out = left.T @ right: (N, M), (N, K) -> (M, K), which a BLAS is slow at where N is 1."""
    if len(left) == 1:
        do(np.multiply, left.T, right, out=out)
    else:
        multiply(do, left.T, right, out)


def _pieces(rows: int, work: int) -> int:
    """Into how many equal pieces rows go, each row `work` multiplications; 1 where that cannot help."""
    for count in range(-(-rows * work // SMALL), rows // THIN + 1):
        if rows % count == 0:
            return count
    return 1


def _cut(matrices: Array, count: int) -> Array:
    """(..., M, K) -> (..., count, M / count, K), a view."""
    *others, rows, columns = matrices.shape
    return matrices.reshape(*others, count, rows // count, columns)
