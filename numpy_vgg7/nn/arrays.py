"""The array types of every signature here.

Real arrays are float32 or float64 throughout a model; the forward pass also takes complex128, for the
complex-step check of its gradients.
"""

from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Labels = np.ndarray[tuple[Any, ...], np.dtype[np.integer[Any]]]
DType = str | type | np.dtype[Any]
Arrays = dict[str, Array]


class Product(NamedTuple):
    """left.T @ right, a matrix that is larger than its factors and often needed a few rows at a time."""

    left: Array  # (N, rows)
    right: Array  # (N, columns)

    def rows(self, part: slice, out: Array | None = None) -> Array:
        """Some of its rows: sum over n of left[n,i] * right[n,j]."""
        return np.matmul(self.left[:, part].T, self.right, out=out)


Gradients = dict[str, Array | Product]


def dense(gradients: Gradients) -> Arrays:
    """The same gradients, every product worked out."""
    return {
        name: value.rows(slice(None)) if isinstance(value, Product) else value
        for name, value in gradients.items()
    }
