"""Stochastic gradient descent and its learning-rate schedule."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from numpy_vgg7.functional import Array, Arrays

WARM_UP = 0.1  # share of all steps


@dataclass(frozen=True)
class SGD:
    """The settings of the optimizer. Its memory, the velocity, belongs to the caller.

    There is one learning rate for each parameter group: `lr_conv` for the convolutions and `lr_fc` for
    the fully connected layers. `weight_decay` adds weight_decay * parameter to every gradient, biases
    included. The rules are those of `torch.optim.SGD` (Sutskever et al. 2013 for momentum and Nesterov's
    variant).
    """

    lr_conv: float
    lr_fc: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False

    def init(self, params: Arrays) -> Arrays:
        """A velocity of zero for every parameter."""
        return {name: np.zeros_like(parameter) for name, parameter in params.items()}

    def learning_rates(self, groups: Mapping[str, Sequence[str]]) -> dict[str, float]:
        """The learning rate of each parameter, in the order of the groups."""
        rates = {"conv": self.lr_conv, "fc": self.lr_fc}
        return {name: rates[group] for group, names in groups.items() for name in names}

    def step(
        self,
        params: Arrays,
        gradients: Arrays,
        velocity: Arrays,
        groups: Mapping[str, Sequence[str]],
        lr_scale: float = 1.0,
    ) -> None:
        """Update `params` and `velocity` in place. A schedule passes its factor as `lr_scale`.

        parameter <- parameter - lr_scale * lr * direction

        `groups` is `network.parameter_groups(layers)`: the names of the parameters with each learning rate.
        """
        for name, lr in self.learning_rates(groups).items():
            direction, velocity[name][...] = self.direction(params[name], gradients[name], velocity[name])
            params[name] -= lr_scale * lr * direction

    def direction(self, parameter: Array, gradient: Array, velocity: Array) -> tuple[Array, Array]:
        """What a step subtracts, before the factor of the learning rate, and the new velocity.

        g <- gradient + weight_decay * parameter
        v <- momentum * v + g
        direction = v, or g + momentum * v with Nesterov's momentum
        """
        g = gradient + self.weight_decay * parameter
        v = self.momentum * velocity + g
        return (g + self.momentum * v if self.nesterov else v), v


def one_cycle(step: int, steps: int) -> float:
    """The factor on the learning rates at a step (Smith and Topin 2018).

    It rises linearly to 1 over the first tenth of the steps and then falls towards 0 along a cosine.
    """
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))
