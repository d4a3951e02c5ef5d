"""How much the engine's float32 kernels may round, from the theory of the algorithm that each of them uses.

A sum of n products, in any order, is the sum of a_i b_i (1 + e_i), where 1 + e_i is a product of at most n
factors 1 + delta, one per rounding, and |delta| <= u = 2^-24. Hence

    |computed - exact| <= growth(n) * sum |a_i b_i|

where growth(n) is the smaller of

- gamma_n = n u / (1 - n u), which always holds (Higham, Accuracy and Stability of Numerical Algorithms, 2nd
  edition 2002, chapter 3);
- exp(c sqrt(n) u + n u^2 / (1 - u)) - 1, about c sqrt(n) u, which holds with high probability if the deltas
  are independent with mean 0 (Higham and Mary, A new approach to probabilistic rounding error analysis, SIAM
  J. Sci. Comput. 41, 2019). To first order, a sum exceeds it with a probability of at most 2 exp(-c^2 / 2)
  (Ipsen and Zhou, Probabilistic error analysis for inner products, SIAM J. Matrix Anal. Appl. 41, 2020).

Winograd's algorithm adds up other products, y = A^T ((G g) * (B^T d)) for filters g and inputs d. They may be
much larger than the terms of the definition, and so may its rounding errors, which are bounded by

    growth(n + r) * |A^T| ((|G| |g|) * |B^T d|)

with n terms in each sum of products, and r other roundings (Barabasz, Anderson, Soodhalter and Gregg, Error
analysis and improving the accuracy of Winograd convolution for deep neural networks, ACM Trans. Math. Softw.
46, 2020; there with |B^T| |d|, but here each element of B^T d is a single addition, with an error relative to
its result).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.engine.winograd import applies as winograd_applies
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import Activation, AvgPool2d, Conv2d, Flatten, Layer, Linear
from numpy_vgg7.parity.tolerances import CONFIDENCE

UNIT = 2.0**-24  # u: half the distance from 1 to the next float32
TINY = 2.0**-149  # the smallest positive float32: a product that underflows is off by less

# Winograd's F(2, 3) along the columns, as in `engine.winograd`.
INPUT_TRANSFORM = np.array([[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])  # B^T
FILTER_TRANSFORM = np.array([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])  # G
OUTPUT_TRANSFORM = np.array([[1, 1, 1, 0], [0, 1, -1, -1]])  # A^T
# Other roundings: 1 for an input, 2 for a filter, 2 for an output, 1 for adding the bias. In the gradient of
# the weight they are fewer: 1 for an input, 1 for the gradient of an output, 2 for that of a filter.
OTHER_ROUNDINGS = 6


class Operands(NamedTuple):
    """What a layer's forward and backward pass are given."""

    params: Arrays  # by key
    x: Array
    d_out: Array

    def map(self, function: Callable[[Array], Array]) -> "Operands":
        """`function` of each array."""
        params = {key: function(value) for key, value in self.params.items()}
        return Operands(params, function(self.x), function(self.d_out))

    def astype(self, dtype: str) -> "Operands":
        """The same numbers in another dtype, float64 to float32 rounded."""
        return self.map(lambda array: array.astype(dtype))


def definition(layer: Layer, given: Operands) -> Arrays:
    """The results of a layer by suffix: "" is the output, then "d_x", ".weight.grad" and ".bias.grad"."""
    params, x, d_out = given
    out = layer.forward(params, x)
    d_x, gradients = layer.backward(params, x, out, d_out)
    return {"": out, "d_x": d_x} | {f".{key}.grad": gradients[key] for key in params}


def rounding_bounds(layer: Layer, given: Operands) -> Arrays | None:
    """Bounds of the error of each element of the results of `definition`. `given` is float64.

    None for tanh and arctan, whose accuracy no standard promises.
    """
    bounds = BOUNDS.get(layer.function if isinstance(layer, Activation) else type(layer))
    return bounds(layer, given) if bounds else None


def growth(roundings: Array | int) -> Array:
    """The largest relative change by so many roundings, each a factor between 1 - u and 1 + u."""
    n = np.asarray(roundings, np.float64)
    certain = n * UNIT / (1 - n * UNIT)
    probable = np.expm1(CONFIDENCE * np.sqrt(n) * UNIT + n * UNIT**2 / (1 - UNIT))
    return np.minimum(certain, probable)


def _bound(roundings: Array | int, size: Array) -> Array:
    """`size` is the sum of the absolute values of the terms."""
    bound: Array = growth(roundings) * size + TINY * roundings
    return bound


def sum_bounds(layer: Layer, given: Operands) -> Arrays:
    """growth(n) * sum |a_i b_i|, n the number of terms that are not 0, since adding 0 does not round."""
    sizes = definition(layer, given.map(np.abs))
    terms = definition(layer, given.map(_is_not_0))
    return {key: _bound(terms[key], sizes[key]) for key in sizes}


def conv2d_bounds(layer: Conv2d, given: Operands) -> Arrays:
    """Those of the algorithm that the engine chooses. The bias and its gradient are plain sums in both."""
    params, x, d_out = given
    filters = np.empty((3, 3, layer.in_channels, layer.out_channels))
    if not winograd_applies(filters, x.shape[2]):
        return sum_bounds(layer, given)
    weight, groups = params["weight"], layer.groups
    bounds = {
        "": winograd_bound(x, weight, groups),
        "d_x": winograd_bound(d_out, F.rotated_and_exchanged(weight, groups), groups),
        ".weight.grad": winograd_weight_gradient_bound(x, weight, d_out, groups),
    }
    if layer.bias:
        bounds[""] += growth(1) * np.abs(params["bias"])[:, None, None]
        terms = _is_not_0(d_out).sum(axis=(0, 2, 3))
        bounds[".bias.grad"] = _bound(terms, np.abs(d_out).sum(axis=(0, 2, 3)))
    return bounds


def winograd_bound(x: Array, weight: Array, groups: int) -> Array:
    """growth(n + r) * |A^T| ((|G| |g|) * |B^T d|): (N, C, H, W) and (O, C/groups, 3, 3) -> (N, O, H, W).

    Each of the four products is a convolution by a kernel of one row.
    """
    n, _, height, width = x.shape
    filters = np.zeros((4, *weight.shape))
    filters[:, :, :, 1] = np.einsum("iu,ocuv->iocv", np.abs(FILTER_TRANSFORM), np.abs(weight))
    out = np.zeros((n, len(weight), height, width))
    for d, g, to_rows in zip(_transformed_input(x), filters, np.abs(OUTPUT_TRANSFORM).T, strict=True):
        product = F.conv2d(d, g, groups=groups)
        for row in (0, 1):
            out[:, :, row::2] += to_rows[row] * product
    terms = 3 * weight.shape[1]
    return _bound(terms + OTHER_ROUNDINGS, out)


def winograd_weight_gradient_bound(x: Array, weight: Array, d_out: Array, groups: int) -> Array:
    """growth(n + r) * |G^T| (sum of |B^T d| * |A d_y|), (O, C/groups, 3, 3): the same read backwards."""
    d_y = np.stack([d_out[:, :, row::2] for row in (0, 1)])
    d_products = np.abs(np.tensordot(OUTPUT_TRANSFORM.T, d_y, axes=1))
    out = np.zeros_like(weight)
    for d, d_m, to_rows in zip(_transformed_input(x), d_products, np.abs(FILTER_TRANSFORM), strict=True):
        _, d_filter, _ = F.conv2d_backward(d, weight, d_m, groups)
        out += to_rows[:, None] * d_filter[:, :, 1:2]
    terms = d_products[0].size // len(weight)
    return _bound(terms + OTHER_ROUNDINGS, out)


def _transformed_input(x: Array) -> Array:
    """|B^T d| for the four rows d of each pair of output rows: (N, C, H, W) -> (4, N, C, H/2, W)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))
    d = np.stack([padded[:, :, row : row + x.shape[2] : 2] for row in range(4)])
    transformed: Array = np.abs(np.tensordot(INPUT_TRANSFORM, d, axes=1))
    return transformed


def _is_not_0(array: Array) -> Array:
    """1.0 where an array is not 0, else 0.0."""
    found: Array = (array != 0).astype(np.float64)
    return found


def avg_pool2d_bounds(layer: Layer, given: Operands) -> Arrays:
    """Three additions; multiplying by 1/4 is exact unless it underflows."""
    return {"": growth(3) * F.avg_pool2d(np.abs(given.x)) + TINY, "d_x": np.full_like(given.x, TINY)}


def no_rounding(layer: Layer, given: Operands) -> Arrays:
    """Copies."""
    return {"": np.zeros_like(given.d_out), "d_x": np.zeros_like(given.x)}


# By the type of a layer or the function of an activation, as `engine.kernels.KERNELS`.
BOUNDS: dict[type[Layer] | str, Callable[[Any, Operands], Arrays]] = {
    Conv2d: conv2d_bounds,
    AvgPool2d: avg_pool2d_bounds,
    Flatten: no_rounding,
    Linear: sum_bounds,
    "relu": no_rounding,
    "identity": no_rounding,
}
