"""Stochastic gradient descent with a rate for the convolutions and one for the linear layers."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays, Product
from numpy_vgg7.nn.products import outer_product
from numpy_vgg7.nn.threads import Task
from numpy_vgg7.nn.workspace import FRESH, Do, Workspace

BLOCK = 131_072  # numbers updated at a time: what is computed for them stays in the cache
PIECE = 8  # rows at least, and mostly a multiple of it: `multiply` cuts a product into equal pieces


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
        """Update in place what there are gradients of; `scale` multiplies both rates (a schedule)."""
        for task in self.tasks(params, gradients, velocity, scale, workspace):
            task()

    def tasks(
        self,
        params: Arrays,
        gradients: Mapping[str, Array | Product],
        velocity: Arrays,
        scale: float = 1.0,
        workspace: Workspace = FRESH,
        shares: int = 1,
    ) -> list[Task]:
        """A step in `shares` parts, to be done in any order: some rows of every large parameter each."""
        names = tuple(name for name in params if name in gradients)
        rates = workspace.array(f"rates {names[0]}", (len(names),), params[names[0]].dtype)
        rates[:] = [scale * self.rate(name) for name in names]
        arrays = dict(params), dict(gradients), dict(velocity)  # as they are now
        tasks: list[Task] = []
        for share in range(shares):
            own = workspace.part(("sgd", share))
            tasks.append(
                partial(own.replay, (self, names), self._step, *arrays, rates, slice(share, shares), own)
            )
        return tasks

    def _step(
        self,
        params: Arrays,
        gradients: Mapping[str, Array | Product],
        velocity: Arrays,
        rates: Array,
        share: slice,
        workspace: Workspace,
    ) -> None:
        plain = not (self.momentum or self.weight_decay)
        # In the order of the network, which the article's typo depends on.
        for index, name in enumerate(name for name in params if name in gradients):
            whole, gradient, rate = params[name], gradients[name], rates[index : index + 1]
            speed = velocity[name]
            if whole.flags.f_contiguous and isinstance(gradient, Product):  # by the rows in memory
                whole, speed, gradient = whole.T, speed.T, Product(gradient.right, gradient.left)
            for part in _blocks(whole, share):
                parameter = whole[part]
                step, product = workspace.array("step", (2, *parameter.shape), parameter.dtype)
                scaled = plain and isinstance(gradient, Product)
                if isinstance(gradient, Product):
                    left = gradient.left[:, part]
                    if scaled:  # a small factor instead of the large gradient
                        left = workspace.like("left", left)
                        workspace.do(np.multiply, gradient.left[:, part], rate, out=left)
                    outer_product(workspace.do, left, gradient.right, step)
                else:
                    workspace.do(np.copyto, step, gradient[part])
                if not scaled:
                    self.to_step(workspace.do, parameter, speed[part], rate, step, product)
                workspace.do(np.subtract, parameter, step, out=parameter)

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


def _blocks(parameter: Array, share: slice) -> list[slice]:
    """The rows of a share of all, in runs of about BLOCK numbers; small parameters are the first share's."""
    rows = max(PIECE, BLOCK * len(parameter) // parameter.size // PIECE * PIECE)
    if len(parameter) <= rows:
        return [slice(0, len(parameter))] if share.start == 0 else []
    start, stop = (len(parameter) * end // share.stop for end in (share.start, share.start + 1))
    return [slice(row, min(row + rows, stop)) for row in range(start, stop, rows)]
