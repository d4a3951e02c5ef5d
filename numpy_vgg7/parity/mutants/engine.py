"""Bugs of the engine's kernels and of the algorithms under them."""

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np

from numpy_vgg7.engine import gemm, kernels
from numpy_vgg7.engine.gemm import FactoredGradient
from numpy_vgg7.engine.winograd import Winograd, WinogradWeightGradient
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.mutants.mutant import Make, Mutant, Replacement, after, bug, instead


def d_out_to_every_corner(pool: kernels.AvgPool2d) -> None:
    """d_x = d_out in all four pixels."""
    np.take(pool.d_out.pixels.reshape(pool.quarters.shape), pool.window_of, 0, pool.d_x.pixels, "clip")


def other_corners_zero(pool: kernels.AvgPool2d) -> None:
    """Nothing but the top left pixel of each window."""
    np.copyto(pool.d_x.pixels[1::2], 0)
    np.copyto(pool.d_x.pixels[:, :, 1::2], 0)


def rotate_d_x(conv: kernels.Conv2d) -> None:
    """d_x rotated by 180 degrees in space."""
    np.copyto(conv.d_x.nchw, conv.d_x.nchw[..., ::-1, ::-1])


def half_precision(conv: kernels.Conv2d) -> None:
    """The weight gradient through float16, in float32 only."""
    d_weight = conv.gradients["weight"]
    if d_weight.dtype == np.float32:
        np.copyto(d_weight, d_weight.astype(np.float16))


def sixteen_bits(conv: kernels.Conv2d) -> None:
    """The weight gradient with 16 bits behind the point instead of 23, in float32 only."""
    d_weight = conv.gradients["weight"]
    if d_weight.dtype == np.float32:
        np.copyto(d_weight, (np.array(d_weight).view(np.uint32) & 0xFFFFFF80).view(np.float32))


def last_sign(winograd: Winograd) -> None:
    """y1 = m1 - m2 + m3"""
    np.add(winograd.y[1], 2 * winograd.m, winograd.y[1])


def last_gradient_sign(winograd: WinogradWeightGradient) -> None:
    """d_m3 = d_y1"""
    np.negative(winograd.parts[3], winograd.parts[3])
    np.add.reduce(winograd.parts, axis=1, out=winograd.d_transformed)
    np.matmul(winograd.matrix, winograd.d_transformed, out=winograd.d_filters)


def scaled(key: str, factor: Callable[[Any], float]) -> Make:
    """A kernel whose gradient of a parameter has a factor too many, which depends on the kernel."""
    return after(lambda kernel: np.multiply(kernel.gradients[key], factor(kernel), kernel.gradients[key]))


def flip_filters(params: kernels.ConvParams) -> None:
    """Filters of the forward pass rotated by 180 degrees."""
    np.copyto(params.filters, params.filters[::-1, ::-1].copy())
    params.transform()


def do_not_rotate(params: kernels.ConvParams) -> None:
    """Filters of the backward pass with their channels exchanged, but not rotated."""
    np.copyto(params.rotated, params.filters.swapaxes(2, 3))
    params.transform_rotated()


def convolve_without_clearing(conv: kernels.Conv2d) -> None:
    """Leaves in the padding what the convolution of the neighbouring images gave there."""
    conv.convolve()
    if conv.params.bias is not None:
        np.copyto(conv.bias_pixels, conv.params.bias)
        np.add(conv.rows, conv.bias_row, conv.rows)


def accumulate_bias(original: Any) -> Any:
    """The gradient of a bias added to what is there, instead of written over it."""

    def backward_params(self: kernels.Linear) -> None:
        before = {key: gradient.copy() for key, gradient in self.gradients.items()}
        original(self)
        for key, gradient in self.gradients.items():
            np.add(gradient, before[key], gradient)

    return backward_params


def flush_subnormals(relu: kernels.ReLU) -> None:
    """Subnormal numbers become 0."""
    relu.y[np.abs(relu.y) < np.finfo(relu.y.dtype).tiny] = 0


def count_that_need_not_divide(rows: int, work: int) -> int:
    """The number of blocks, whether or not it divides the rows."""
    count = max(1, ceil(rows * work / gemm.block_limit()))
    return count if count <= rows // gemm.MIN_ROWS else 1


def whole_blocks_only(matrices: Array, count: int) -> Array:
    """Blocks without the rows that are left over."""
    *others, rows, columns = matrices.shape
    return matrices[..., : rows // count * count, :].reshape(*others, count, rows // count, columns)


POOL_OMITS_QUARTER = Replacement(kernels.AvgPool2d, "backward_input", instead(d_out_to_every_corner))
D_X_ROTATED = Replacement(kernels.Conv2d, "backward_input", after(rotate_d_x))

# The article trains with the engine, so its faults are the engine's.
ARTICLE = (
    Mutant("pool omits 1/(k*k) (the article's)", "pool? backward", (POOL_OMITS_QUARTER,)),
    Mutant("dX rotated by 180 degrees (the article's)", "conv? backward", (D_X_ROTATED,)),
    Mutant("the article's corrected gradient (1/4 and rotation)", "pool? backward",
           (POOL_OMITS_QUARTER, D_X_ROTATED)),
)  # fmt: skip

ALGORITHMS = (
    bug("Winograd's last product with the wrong sign", "conv? forward", Winograd, "__call__", after(last_sign)),
    bug("dW by Winograd's products with the wrong sign", "conv? backward", WinogradWeightGradient, "__call__",
        after(last_gradient_sign)),
    bug("dW through float16 where the network is float32", "conv? backward", kernels.Conv2d, "backward_params",
        after(half_precision)),
    bug("dW with 16 bits behind the point where the network is float32", "conv? backward", kernels.Conv2d,
        "backward_params", after(sixteen_bits)),
)  # fmt: skip

KERNELS = (
    bug("conv flips its kernel (engine)", "conv? forward", kernels.ConvParams, "prepare", after(flip_filters)),
    bug("padding not cleared after a convolution (engine)", "engine", kernels.Conv2d, "forward",
        instead(convolve_without_clearing)),
    bug("dX with the kernel not rotated (engine)", "conv? backward", kernels.ConvParams, "prepare", after(do_not_rotate)),
    bug("dW times 1.05 (engine)", "conv? backward", kernels.Conv2d, "backward_params", scaled("weight", lambda conv: 1.05)),
    bug("dW with an extra 1/N (engine)", "conv? backward", kernels.Conv2d, "backward_params",
        scaled("weight", lambda conv: 1 / conv.x.shape[0])),
    bug("pool divides by k (engine)", "pool? forward", kernels.AvgPool2d, "forward",
        after(lambda pool: np.multiply(pool.inside, 2, pool.inside))),
    bug("pool's gradient to the top left pixel only (engine)", "pool? backward", kernels.AvgPool2d, "backward_input",
        after(other_corners_zero)),
    bug("flatten in NHWC order (engine)", "flatten forward", kernels.Flatten, "forward",
        instead(lambda flatten: np.copyto(
            flatten.out, flatten.x.nchw.transpose(0, 2, 3, 1).reshape(flatten.out.shape)))),
    bug("flatten back in the wrong order (engine)", "flatten backward", kernels.Flatten, "backward_input",
        instead(lambda flatten: np.copyto(
            flatten.d_x.nchw.transpose(0, 2, 3, 1), flatten.d_out.reshape(flatten.d_x.nchw.transpose(0, 2, 3, 1).shape)))),
    bug("leaky ReLU (engine)", "act? forward", kernels.ReLU, "forward",
        instead(lambda relu: np.maximum(relu.y, 0.001 * relu.y, out=relu.y))),
    bug("guided ReLU (engine)", "act? backward", kernels.ReLU, "backward_input",
        after(lambda relu: np.maximum(relu.d, 0, out=relu.d))),
    bug("ReLU' missing (engine)", "act? backward", kernels.ReLU, "backward_input", instead(lambda relu: None)),
    bug("ReLU turns NaN into 0 (engine)", "act? forward", kernels.ReLU, "forward",
        instead(lambda relu: np.fmax(relu.y, relu.zeros, out=relu.y))),
    bug("ReLU turns infinity into the largest number (engine)", "act? forward", kernels.ReLU, "forward",
        after(lambda relu: np.minimum(relu.y, np.finfo(relu.y.dtype).max, out=relu.y))),
    bug("ReLU flushes subnormal numbers to 0 (engine)", "act? forward", kernels.ReLU, "forward", after(flush_subnormals)),
    bug("tanh cut off at 8 (engine)", "act? forward", kernels.Tanh, "forward",
        instead(lambda tanh: np.tanh(tanh.y.clip(-8, 8), tanh.y))),
    bug("arctan cut off at 10 (engine)", "logits forward", kernels.Arctan, "forward",
        instead(lambda arctan: np.arctan(arctan.y.clip(-10, 10), arctan.arctan))),
    bug("tanh' missing (engine)", "act? backward", kernels.Tanh, "backward_input", instead(lambda tanh: None)),
    bug("arctan' from the output (engine)", "logits backward", kernels.Arctan, "backward_input",
        instead(lambda arctan: np.divide(arctan.d, 1 + arctan.arctan**2, arctan.d))),
    Mutant("rows of a product that do not fill a block left out (engine)", "conv? forward", (
        Replacement(gemm, "block_count", instead(count_that_need_not_divide)),
        Replacement(gemm, "row_blocks", instead(whole_blocks_only)),
    )),
    bug("FC dW transposed (engine)", "fc? backward", FactoredGradient, "materialize",
        lambda original: lambda self: original(self).T.reshape(original(self).shape)),
    bug("FC db averaged (engine)", "fc? backward", kernels.Linear, "backward_params",
        lambda original: lambda self: self.gradients and scaled("bias", lambda fc: 1 / len(fc.x))(original)(self)),
    bug("FC db added to that of the previous batch (engine)", "fc? backward", kernels.Linear, "backward_params",
        accumulate_bias),
    bug("FC dX with W not transposed (engine)", "fc? backward", kernels.Linear, "backward_input",
        instead(lambda fc: np.copyto(fc.d_x, fc.d_out @ fc.params.weight.T.reshape(fc.params.weight.shape)))),
)  # fmt: skip

ENGINE = (*ARTICLE, *ALGORITHMS, *KERNELS)
