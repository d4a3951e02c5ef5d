"""Bugs of the optimizer: of the definition, of the learning rates that both share, and of the engine."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from numpy_vgg7.engine import executor, update
from numpy_vgg7.engine.gemm import FactoredGradient
from numpy_vgg7.engine.update import BlockUpdate, FusedSGD
from numpy_vgg7.functional import Array
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.mutants.mutant import Make, Mutant, bug


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


def without_schedule(group: str) -> Make:
    """The learning rates of one parameter group without the schedule's factor."""

    def make(original: Any) -> Any:
        def set_rates(self: FusedSGD, lr_scale: float) -> None:
            original(self, lr_scale)
            for name in self.groups[group]:
                self.rates[name][0] /= lr_scale

        return set_rates

    return make


def no_schedule_with_threads(original: Any) -> Any:
    """No schedule where several tasks share the step."""

    def set_rates(self: FusedSGD, lr_scale: float) -> None:
        original(self, 1.0 if len(self.fc_tasks()) > 1 else lr_scale)

    return set_rates


def settings(name: str, applies: Callable[[BlockUpdate], bool], **changes: Any) -> Mutant:
    """A step of some blocks with other settings."""

    def make(original: Any) -> Any:
        def make_step(self: BlockUpdate) -> None:
            right = self.sgd, self.decay
            if applies(self):
                self.sgd = replace(self.sgd, **changes)
                self.decay = self.sgd.decay(self.parameter)
            original(self)
            self.sgd, self.decay = right

        return make_step

    return bug(name, "optimiser", BlockUpdate, "make_step", make)


def fc_without_momentum(block: BlockUpdate) -> bool:
    """Whether a block belongs to a weight of a linear layer, and there is no momentum."""
    return isinstance(block.gradient, FactoredGradient) and not block.sgd.momentum


def velocity_not_transposed(original: Any) -> Any:
    """Where a weight lies column by column, its velocity is read row by row."""

    def row_blocks(parameter: Array, gradient: Any, velocity: Array, share: int, shares: int) -> Any:
        if parameter.flags.f_contiguous and not parameter.flags.c_contiguous:
            velocity = velocity.T.reshape(velocity.shape)
        return original(parameter, gradient, velocity, share, shares)

    return row_blocks


def whole_blocks_only(original: Any) -> Any:
    """Blocks of rows without the last one, if it is smaller than the others."""

    def row_blocks(*given: Any) -> Any:
        blocks = original(*given)
        smaller = len(blocks) > 1 and len(blocks[-1][0]) < len(blocks[0][0])
        return blocks[:-1] if smaller else blocks

    return row_blocks


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
    bug("no schedule for the linear layers (engine)", "optimiser", FusedSGD, "set_rates", without_schedule("fc")),
    bug("no schedule for the convolutions (engine)", "optimiser", FusedSGD, "set_rates", without_schedule("conv")),
    bug("no schedule where there are threads (engine)", "optimiser", FusedSGD, "set_rates", no_schedule_with_threads),
    settings("weight decay ignored for linear layers without momentum (engine)", fc_without_momentum, weight_decay=0),
    settings("weight decay ignored for convolutions (engine)", lambda block: block.parameter.ndim == 4, weight_decay=0),
    settings("weight decay ignored for biases (engine)", lambda block: block.parameter.ndim == 1, weight_decay=0),
    settings("momentum ignored for convolutions (engine)", lambda block: block.parameter.ndim == 4, momentum=0),
    settings("Nesterov's momentum as plain momentum (engine)", lambda block: True, nesterov=False),
    bug("velocity not transposed with its weight (engine)", "optimiser", update, "row_blocks", velocity_not_transposed),
    bug("rows of a step that do not fill a block left out (engine)", "optimiser", update, "row_blocks",
        whole_blocks_only),
    bug("gradients scaled in place by the optimiser (engine)", "engine", BlockUpdate, "__call__", scales_gradient),
)  # fmt: skip
