"""Elementwise activations: each function with its derivative under it.

Any shape goes in and comes out. ReLU and tanh need only their own output on the way back.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import ClassVar

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays


@dataclass(frozen=True)
class Activation:
    """What all activations share: a name, no parameters, and the gain of the weights before them.

    The gain keeps the variance of a signal through weights and activation (He et al. 2015 for ReLU;
    the others are close to the identity near 0, Glorot and Bengio 2010).
    """

    name: str
    gain: ClassVar[float] = 1.0

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """No parameters."""
        return {}


class ReLU(Activation):
    """max(x, 0)."""

    gain = sqrt(2.0)

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Array]:
        """out = x where x > 0, else 0. Written so that NaN stays NaN and complex x goes by its real part."""
        out: Array = np.where(x.real <= 0, x.dtype.type(0), x)
        return out, out

    def backward(self, params: Arrays, out: Array, d_out: Array) -> tuple[Array, Arrays]:
        """d_x = d_out where x > 0, else 0; the derivative at the kink is 0, as in PyTorch."""
        return d_out * (out > 0), {}


class Tanh(Activation):
    """Hyperbolic tangent."""

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Array]:
        """out = tanh(x)"""
        out = np.tanh(x)
        return out, out

    def backward(self, params: Arrays, out: Array, d_out: Array) -> tuple[Array, Arrays]:
        """d_x = d_out * (1 - tanh(x)^2)"""
        return d_out * (1 - out * out), {}


class Arctan(Activation):
    """Inverse tangent, in radians."""

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Array]:
        """out = arctan(x)"""
        return np.arctan(x), x

    def backward(self, params: Arrays, x: Array, d_out: Array) -> tuple[Array, Arrays]:
        """d_x = d_out / (1 + x^2)"""
        return d_out / (1 + x * x), {}


class Identity(Activation):
    """x itself: logits without a squashing function."""

    def forward(self, params: Arrays, x: Array) -> tuple[Array, None]:
        """out = x"""
        return x, None

    def backward(self, params: Arrays, cache: None, d_out: Array) -> tuple[Array, Arrays]:
        """d_x = d_out"""
        return d_out, {}


ACTIVATIONS: dict[str, Callable[[str], ReLU | Tanh | Arctan | Identity]] = {
    "relu": ReLU,
    "tanh": Tanh,
    "arctan": Arctan,
    "identity": Identity,
}
