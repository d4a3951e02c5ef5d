"""Bugs of the engine: of its kernels, of the algorithms under them, and of shards, threads and memory."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_vgg7.engine import kernels
from numpy_vgg7.engine.winograd import Winograd, WinogradWeightGradient
from numpy_vgg7.parity.mutants.mutant import Mutant, Replacement, bug

Make = Callable[[Any], Any]


def after(then: Callable[[Any], object]) -> Make:
    """A method that does something more, in the end, with its object."""

    def make(original: Any) -> Any:
        def method(self: Any) -> None:
            original(self)
            then(self)

        return method

    return make


def instead(other: Callable[[Any], object]) -> Make:
    """Another method."""
    return lambda original: other


def d_out_to_every_corner(pool: kernels.AvgPool2d) -> None:
    """d_x = d_out in all four pixels."""
    for corner in pool.corners:
        np.copyto(corner, pool.d_out.pixels[:, :, :-1])


def rotate_d_x(conv: kernels.Conv2d) -> None:
    """d_x rotated by 180 degrees in space."""
    np.copyto(conv.d_x.nchw, conv.d_x.nchw[..., ::-1, ::-1])


def half_precision(conv: kernels.Conv2d) -> None:
    """The weight gradient through float16, in float32 only."""
    d_weight = conv.gradients["weight"]
    if d_weight.dtype == np.float32:
        np.copyto(d_weight, d_weight.astype(np.float16))


def last_sign(winograd: Winograd) -> None:
    """y1 = m1 - m2 + m3"""
    np.add(winograd.y[1], 2 * winograd.m, winograd.y[1])


def last_gradient_sign(winograd: WinogradWeightGradient) -> None:
    """d_m3 = d_y1"""
    np.negative(winograd.parts[3], winograd.parts[3])
    np.add.reduce(winograd.parts, axis=1, out=winograd.d_g)
    np.matmul(winograd.matrix, winograd.d_g, out=winograd.d_filters)


POOL_OMITS_QUARTER = Replacement(kernels.AvgPool2d, "backward_input", instead(d_out_to_every_corner))
D_X_ROTATED = Replacement(kernels.Conv2d, "backward_input", after(rotate_d_x))

ARTICLE = (
    Mutant("pool omits 1/(k*k) (the article's)", "pool? backward", (POOL_OMITS_QUARTER,)),
    Mutant("dX rotated by 180 degrees (the article's)", "conv? backward", (D_X_ROTATED,)),
    Mutant("the article's corrected gradient (1/4 and rotation)", "pool? backward", (POOL_OMITS_QUARTER, D_X_ROTATED)),
)  # fmt: skip

ALGORITHMS = (
    bug("Winograd's last product with the wrong sign", "conv? forward", Winograd, "__call__", after(last_sign)),
    bug("dW by Winograd's products with the wrong sign", "conv? backward", WinogradWeightGradient, "__call__",
        after(last_gradient_sign)),
    bug("dW through float16 where the network is float32", "conv? backward", kernels.Conv2d, "backward_params",
        after(half_precision)),
)  # fmt: skip

ENGINE = (*ARTICLE, *ALGORITHMS)
