"""Elementwise activations: each function with its derivative under it.

Any shape goes in and comes out. All of them are 0 at 0, so the borders of a strip stay zero.
"""

from collections.abc import Callable
from math import sqrt
from typing import ClassVar

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.strip import memory
from numpy_vgg7.nn.workspace import FRESH, Do, Workspace


class Activation(Layer):
    """What all activations share: a name, no parameters, and the gain of the weights before them.

    The gain keeps the variance of a signal through weights and activation (He et al. 2015 for ReLU;
    the others are close to the identity near 0, Glorot and Bengio 2010).
    """

    gain: ClassVar[float] = 1.0
    needs_x: ClassVar[bool] = False  # on the way back

    def function(self, do: Do, x: Array, out: Array) -> None:
        """Write f(x) into `out`."""
        raise NotImplementedError

    def chain(self, workspace: Workspace, x: Array, out: Array, d_out: Array, d_x: Array) -> None:
        """Write d_out * f'(x) into `d_x`, given x and out = f(x)."""
        raise NotImplementedError

    def forward(
        self, params: Arrays, x: Array, workspace: Workspace = FRESH
    ) -> tuple[Array, tuple[Array, Array]]:
        """out = f(x); the cache is both."""
        x = workspace.lay(f"{self.name}.x", x)
        overwrite = workspace.reuse and not self.needs_x  # then nobody looks at x any more
        out = x if overwrite else workspace.like(self.name, x)
        self.function(workspace.do, memory(x), memory(out))
        return out, (x, out)

    def d_x(
        self, params: Arrays, cache: tuple[Array, Array], d_out: Array, workspace: Workspace = FRESH
    ) -> Array:
        """d_x = d_out * f'(x)"""
        x, out = cache
        d_out = workspace.lay(f"{self.name}.d_out", d_out)
        d_x = workspace.like(f"{self.name}.d_x", d_out)
        self.chain(workspace, memory(x), memory(out), memory(d_out), memory(d_x))
        return d_x


class ReLU(Activation):
    """max(x, 0)."""

    gain = sqrt(2.0)

    def function(self, do: Do, x: Array, out: Array) -> None:
        """x where x > 0, else 0. NaN stays NaN, and complex x goes by its real part."""
        if np.iscomplexobj(x):
            do(np.copyto, out, np.where(x.real <= 0, 0, x))
        else:  # two arrays are compared three times as fast as an array and a number
            do(np.maximum, x, np.zeros(x.shape[1:], x.dtype), out=out)

    def chain(self, workspace: Workspace, x: Array, out: Array, d_out: Array, d_x: Array) -> None:
        """d_out where x > 0, else 0; the derivative at the kink is 0, as in PyTorch."""
        mask = workspace.scratch.array("mask", out.shape, np.bool_)
        workspace.do(np.greater, out, 0, out=mask)
        workspace.do(np.multiply, d_out, mask, out=d_x)


class Tanh(Activation):
    """Hyperbolic tangent."""

    def function(self, do: Do, x: Array, out: Array) -> None:
        """tanh(x)"""
        do(np.tanh, x, out=out)

    def chain(self, workspace: Workspace, x: Array, out: Array, d_out: Array, d_x: Array) -> None:
        """d_out * (1 - tanh(x)^2)"""
        workspace.do(np.multiply, out, out, out=d_x)
        workspace.do(np.subtract, 1, d_x, out=d_x)
        workspace.do(np.multiply, d_out, d_x, out=d_x)


class Arctan(Activation):
    """Inverse tangent, in radians."""

    needs_x = True

    def function(self, do: Do, x: Array, out: Array) -> None:
        """arctan(x)"""
        do(np.arctan, x, out=out)

    def chain(self, workspace: Workspace, x: Array, out: Array, d_out: Array, d_x: Array) -> None:
        """d_out / (1 + x^2)"""
        workspace.do(np.multiply, x, x, out=d_x)
        workspace.do(np.add, 1, d_x, out=d_x)
        workspace.do(np.divide, d_out, d_x, out=d_x)


class Identity(Activation):
    """x itself: logits without a squashing function."""

    def function(self, do: Do, x: Array, out: Array) -> None:
        """x"""
        do(np.copyto, out, x)

    def chain(self, workspace: Workspace, x: Array, out: Array, d_out: Array, d_x: Array) -> None:
        """d_out"""
        workspace.do(np.copyto, d_x, d_out)


ACTIVATIONS: dict[str, Callable[[str], Activation]] = {
    "relu": ReLU,
    "tanh": Tanh,
    "arctan": Arctan,
    "identity": Identity,
}
