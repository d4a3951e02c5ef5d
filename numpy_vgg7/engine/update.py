"""`optim.SGD.step` in blocks of rows, fused with the product that makes a large gradient."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from numpy_vgg7.engine.gemm import FactoredGradient, Gradients, OuterProduct
from numpy_vgg7.engine.layout import Scratch
from numpy_vgg7.engine.memory import Arena
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.optim import SGD

BLOCK_SIZE = 131_072  # numbers updated at a time: what is computed for them stays in the cache
ROWS = 8  # a block has a multiple of these rows, mostly, so that its product can be cut into equal blocks


class BlockUpdate:
    """Some rows of one parameter, bound to the gradient and the velocity of these rows."""

    def __init__(
        self,
        sgd: SGD,
        parameter: Array,
        gradient: Array | FactoredGradient,
        velocity: Array,
        rate: Array,
        clip: Array,
        scratch: Scratch,
    ) -> None:
        self.sgd, self.parameter, self.gradient = sgd, parameter, gradient
        self.velocity, self.rate, self.clip = velocity, rate, clip
        self.decay = sgd.decay(parameter)
        self.step, self.term = scratch.array("step", (2, *parameter.shape), parameter.dtype)
        self.scaled_factor = False
        if isinstance(gradient, FactoredGradient):
            # A plain step scales the small factor instead of the large gradient.
            self.scaled_factor = not (sgd.momentum or self.decay)
            self.left = gradient.left
            if self.scaled_factor:
                self.left = scratch.array("left", gradient.left.shape[::-1], parameter.dtype).T
            self.product = OuterProduct(self.left, gradient.right, self.step)

    def __call__(self) -> None:
        """Take the step."""
        self.make_gradient()
        self.make_step()
        np.subtract(self.parameter, self.step, self.parameter)

    def make_gradient(self) -> None:
        """step = gradient, or lr * gradient with a scaled factor; both clipped"""
        if isinstance(self.gradient, FactoredGradient):
            if self.scaled_factor:
                np.multiply(self.gradient.left, self.rate, self.left)
            self.product()
        else:
            np.copyto(self.step, self.gradient)
        if self.sgd.clip_norm is not None:
            np.multiply(self.step, self.clip, self.step)

    def make_step(self) -> None:
        """step = lr * direction, see `optim.SGD.direction`; updates the velocity"""
        sgd, step, term, velocity = self.sgd, self.step, self.term, self.velocity
        if self.scaled_factor:
            return
        if self.decay:
            np.multiply(self.parameter, self.decay, term)
            np.add(step, term, step)
        if sgd.momentum:
            np.multiply(velocity, sgd.momentum, velocity)
            np.add(velocity, step, velocity)
            if sgd.nesterov:
                np.multiply(velocity, sgd.momentum, term)
                np.add(step, term, step)
            else:
                np.copyto(step, velocity)
        np.multiply(step, self.rate, step)


class FusedSGD:
    """A step of `sgd`, bound to parameters, gradients and velocity."""

    def __init__(
        self,
        sgd: SGD,
        params: Arrays,
        gradients: Gradients,
        velocity: Arrays,
        groups: dict[str, list[str]],
        shares: int,
    ) -> None:
        self.sgd, self.groups, self.gradients = sgd, groups, gradients
        self.velocity = {name: velocity[name] for name in params}
        dtype = next(iter(params.values())).dtype
        rates, self.clip = np.empty(len(params), dtype), np.ones(1, dtype)
        self.rates = {name: rates[index : index + 1] for index, name in enumerate(params)}
        arena = Arena()
        scratch = [Scratch(arena) for _ in range(shares)]

        def blocks(names: Sequence[str], share: int, shares: int) -> list[BlockUpdate]:
            return [
                BlockUpdate(sgd, *block, self.rates[name], self.clip, scratch[share])
                for name in names
                for block in row_blocks(params[name], gradients[name], velocity[name], share, shares)
            ]

        self.conv = blocks(groups["conv"], 0, 1)
        self.fc = [blocks(groups["fc"], share, shares) for share in range(shares)]

    def fits(self, sgd: SGD, velocity: Arrays) -> bool:
        """Whether it was bound to these."""
        return sgd == self.sgd and all(velocity[name] is v for name, v in self.velocity.items())

    def set_rates(self, lr_scale: float) -> None:
        """Set the learning rates of the next step."""
        for name, lr in self.sgd.learning_rates(self.groups).items():
            self.rates[name][0] = lr_scale * lr

    def set_clip(self) -> None:
        """Set the factor that limits the norm of the gradients, all of which must be complete."""
        self.clip[0] = self.sgd.clip_factor(math.sqrt(sum(map(square_norm, self.gradients.values()))))

    def fc_tasks(self) -> list[Callable[[], None]]:
        """The fully connected layers' step in independent tasks, some rows of every large weight each."""
        return [lambda blocks=blocks: step(blocks) for blocks in self.fc]  # type: ignore[misc]


def square_norm(gradient: Array | FactoredGradient) -> float:
    """The sum of all squares, as in `optim.gradient_norm`.

    sum over i,j of (sum over n of left[n,i] * right[n,j])^2
        = sum over n,m of (sum over i of left[n,i] * left[m,i]) * (sum over j of right[n,j] * right[m,j])
    """
    if isinstance(gradient, FactoredGradient):
        left, right = gradient
        return float(np.multiply(left @ left.T, right @ right.T, dtype=np.float64).sum())
    return float(np.square(gradient, dtype=np.float64).sum())


def step(blocks: Sequence[BlockUpdate]) -> None:
    """Take the step, block by block."""
    for block in blocks:
        block()


def row_blocks(
    parameter: Array, gradient: Array | FactoredGradient, velocity: Array, share: int, shares: int
) -> list[tuple[Array, Array | FactoredGradient, Array]]:
    """The blocks of one share of the rows. Small parameters belong to the first share."""
    if parameter.flags.f_contiguous and isinstance(gradient, FactoredGradient):  # rows as they lie in memory
        parameter, velocity = parameter.T, velocity.T
        gradient = FactoredGradient(gradient.right, gradient.left)
    count = len(parameter)
    rows = max(ROWS, BLOCK_SIZE * count // parameter.size // ROWS * ROWS)
    if count <= rows:
        bounds = [(0, count)] if share == 0 else []
    else:
        first, last = count * share // shares, count * (share + 1) // shares
        bounds = [(row, min(row + rows, last)) for row in range(first, last, rows)]
    return [(parameter[a:b], gradient_rows(gradient, slice(a, b)), velocity[a:b]) for a, b in bounds]


def gradient_rows(gradient: Array | FactoredGradient, rows: slice) -> Array | FactoredGradient:
    """Some rows of a gradient."""
    if isinstance(gradient, FactoredGradient):
        return FactoredGradient(gradient.left[:, rows], gradient.right)
    return gradient[rows]
