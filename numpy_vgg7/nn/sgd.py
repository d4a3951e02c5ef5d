"""Stochastic gradient descent with a rate for the convolutions and one for the linear layers."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays, Product
from numpy_vgg7.nn.products import multiply
from numpy_vgg7.nn.workspace import FRESH, Do, Workspace

SHARES = 64  # of every parameter, for threads to take
BLOCK = 65536  # numbers updated at a time: what is computed for them stays in the cache
PIECE = 8  # rows at least, and a multiple: `multiply` cuts a product into equal pieces


@dataclass(frozen=True)
class SGD:
    """The update rule; its memory, the velocity, belongs to the caller.

    Rates are per step. `weight_decay` adds weight_decay * parameter to every gradient, biases
    included, as PyTorch does (Sutskever et al. 2013 for momentum and Nesterov's variant).
    """

    lr_conv: float
    lr_fc: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def init(self, params: Arrays) -> Arrays:
        """A velocity of zeros for every parameter."""
        return {name: np.zeros_like(parameter) for name, parameter in params.items()}

    def rate(self, name: str) -> float:
        """The learning rate of a parameter, by its name: "conv..." or else fully connected."""
        return self.lr_conv if name.startswith("conv") else self.lr_fc

    def step(
        self,
        params: Arrays,
        gradients: Mapping[str, Array | Product],
        velocity: Arrays,
        scale: float = 1.0,
        workspace: Workspace = FRESH,
    ) -> None:
        """Update `params` and `velocity` in place; `scale` multiplies both rates (a schedule)."""
        dtype = next(iter(params.values())).dtype
        rates = workspace.array("rates", (len(params),), dtype)
        rates[:] = [scale * self.rate(name) for name in params]
        key = "sgd", self, *params
        arrays = dict(params), dict(gradients), dict(velocity)  # as they are now
        workspace.replay(key, self._step, *arrays, rates, workspace)

    def _step(
        self,
        params: Arrays,
        gradients: Mapping[str, Array | Product],
        velocity: Arrays,
        rates: Array,
        workspace: Workspace,
    ) -> None:
        plain = not (self.momentum or self.weight_decay)

        def update(shares: slice) -> None:
            for index, (name, whole) in enumerate(params.items()):
                gradient, rate, speed = gradients[name], rates[index : index + 1], velocity[name]
                if whole.flags.f_contiguous and isinstance(gradient, Product):  # by the rows in memory
                    whole, speed, gradient = whole.T, speed.T, Product(gradient.right, gradient.left)
                scaled = plain and isinstance(gradient, Product)
                if scaled:  # a small factor instead of the large gradient
                    left = workspace.like(f"sgd.{name}.{shares.start}", gradient[0])
                    workspace.do(np.multiply, gradient[0], rate, out=left)
                    gradient = Product(left, gradient[1])
                for part in _blocks(whole, shares):
                    parameter = whole[part]
                    shape = (2, *parameter.shape)
                    step, product = workspace.array(f"sgd.{shares.start}", shape, parameter.dtype)
                    if isinstance(gradient, Product):
                        multiply(workspace.do, gradient.left[:, part].T, gradient.right, step)
                    else:
                        workspace.do(np.copyto, step, gradient[part])
                    if not scaled:
                        self.to_step(workspace.do, parameter, speed[part], rate, step, product)
                    workspace.do(np.subtract, parameter, step, out=parameter)

        workspace.split(SHARES, update, 1)

    def to_step(
        self, do: Do, parameter: Array, velocity: Array, rate: Array, step: Array, product: Array
    ) -> None:
        """Turn the gradient g of some numbers, in `step`, into what is to be subtracted from them.

        v <- momentum * v + g,   parameter <- parameter - rate * v            (plain)
                                 parameter <- parameter - rate * (g + momentum * v)  (Nesterov)
        """
        if self.weight_decay:
            do(np.multiply, parameter, self.weight_decay, out=product)
            do(np.add, step, product, out=step)
        if self.momentum:
            do(np.multiply, velocity, self.momentum, out=velocity)
            do(np.add, velocity, step, out=velocity)
            if self.nesterov:
                do(np.multiply, velocity, self.momentum, out=product)
                do(np.add, step, product, out=step)
            else:
                do(np.copyto, step, velocity)
        do(np.multiply, step, rate, out=step)


def _blocks(parameter: Array, shares: slice) -> list[slice]:
    """Its rows in some shares of all, in runs of about BLOCK numbers."""
    start, stop = (len(parameter) * share // SHARES for share in (shares.start, shares.stop))
    rows = max(PIECE, BLOCK * len(parameter) // parameter.size // PIECE * PIECE)
    return [slice(row, min(row + rows, stop)) for row in range(start, stop, rows)]
