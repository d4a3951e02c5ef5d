"""Bugs of the optimizer: of the definition, of the learning rates that both share, and of the engine."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from numpy_vgg7.engine import executor
from numpy_vgg7.engine.gemm import FactoredGradient
from numpy_vgg7.engine.update import BlockUpdate, FusedSGD
from numpy_vgg7.functional import Array
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.mutants.mutant import Mutant, bug


def rates(name: str, factor: Callable[[str], float]) -> Mutant:
    """Learning rates times a factor that depends on the parameter's name."""
    return bug(name, "optimiser", SGD, "learning_rates",
               lambda original: lambda self, groups: {
                   name: rate * factor(name) for name, rate in original(self, groups).items()})  # fmt: skip


def groups_by(name: str, is_conv: Callable[[str], bool]) -> Mutant:
    """Learning rates by another rule than the parameter groups."""
    return bug(name, "optimiser", SGD, "learning_rates",
               lambda original: lambda self, groups: {
                   name: self.lr_conv if is_conv(name) else self.lr_fc for name in original(self, groups)})  # fmt: skip


def never_zeroed(original: Any) -> Any:
    """Every gradient is added to those before it."""

    def direction(self: SGD, parameter: Array, gradient: Array, velocity: Array) -> tuple[Array, Array]:
        g = gradient + self.weight_decay * parameter
        return velocity + g, velocity + g

    return direction


def second_kernel_from_first(original: Any) -> Any:
    """The article's typo, w2 = w1 - lr * d_w2, where the two kernels have one shape."""

    def step(blocks: Sequence[BlockUpdate]) -> None:
        first, second = [block for block in blocks if block.parameter.ndim == 4][:2]
        for block in blocks:
            if block is second and first.parameter.shape == second.parameter.shape:
                np.copyto(second.parameter, first.parameter)
            block()

    return step


def fc_without_schedule(original: Any) -> Any:
    """The learning rates of the linear layers without the schedule's factor."""

    def set_rates(self: FusedSGD, lr_scale: float) -> None:
        original(self, lr_scale)
        for name in self.groups["fc"]:
            self.rates[name][0] /= lr_scale

    return set_rates


def fc_without_decay(original: Any) -> Any:
    """Weights of the linear layers without weight decay, unless there is momentum."""

    def make_step(self: BlockUpdate) -> None:
        if isinstance(self.gradient, FactoredGradient) and not (self.scaled_factor or self.sgd.momentum):
            np.multiply(self.step, self.rate, self.step)
        else:
            original(self)

    return make_step


def plain_momentum(original: Any) -> Any:
    """Steps in the direction of the velocity."""

    def make_step(self: BlockUpdate) -> None:
        original(self)
        if self.sgd.nesterov:
            np.multiply(self.velocity, self.rate, self.step)

    return make_step


def scales_gradient(original: Any) -> Any:
    """Multiplies the gradient itself by the learning rate."""

    def call(self: BlockUpdate) -> None:
        original(self)
        if not isinstance(self.gradient, FactoredGradient):
            np.multiply(self.gradient, self.rate, self.gradient)

    return call


UPDATE = (
    bug("gradients never zeroed", "optimiser", SGD, "direction", never_zeroed),
    groups_by("conv and FC rates swapped", lambda name: not name.startswith("conv")),
    groups_by("fc5 in the conv group", lambda name: name.startswith(("conv", "fc5"))),
    rates("rate divided by N", lambda name: 1 / 5),
    rates("rate times 0.99", lambda name: 0.99),
    rates("biases frozen", lambda name: float(not name.endswith("bias"))),
    rates("conv3 frozen", lambda name: float(not name.startswith("conv3"))),
    rates("bias sign flipped", lambda name: -1.0 if name.endswith("bias") else 1.0),
    # The article trains with the engine. There, `executor.step` updates the convolutions.
    bug("second kernel updated from the first (the article's typo)", "optimiser",
        executor, "step", second_kernel_from_first),
    bug("rate times 0.99 (engine)", "optimiser", FusedSGD, "set_rates",
        lambda original: lambda self, lr_scale: original(self, 0.99 * lr_scale)),
    bug("no schedule for the linear layers (engine)", "optimiser", FusedSGD, "set_rates", fc_without_schedule),
    bug("weight decay ignored for linear layers without momentum (engine)", "optimiser",
        BlockUpdate, "make_step", fc_without_decay),
    bug("Nesterov's momentum as plain momentum (engine)", "optimiser", BlockUpdate, "make_step", plain_momentum),
    bug("gradients scaled in place by the optimiser (engine)", "engine", BlockUpdate, "__call__", scales_gradient),
)  # fmt: skip
