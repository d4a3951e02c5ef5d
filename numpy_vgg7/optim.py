"""Stochastic gradient descent and the schedules of its learning rates."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from numpy_vgg7.functional import Array, Arrays

CLIP_EPSILON = 1e-6  # added to the norm, as in PyTorch
WARM_UP = 0.1  # share of all steps


@dataclass(frozen=True)
class SGD:
    """The settings of the optimizer. Its memory, the velocity, belongs to the caller.

    There is one learning rate for each parameter group: `lr_conv` for the convolutions and `lr_fc` for
    the fully connected layers. `weight_decay` adds weight_decay * parameter to every gradient; without
    `decay_biases`, only to those of weights. `clip_norm` limits the norm of all gradients together (Pascanu
    et al. 2013). The rules are those of `torch.optim.SGD` (Sutskever et al. 2013 for momentum and Nesterov's
    variant) and `torch.nn.utils.clip_grad_norm_`.
    """

    lr_conv: float
    lr_fc: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    decay_biases: bool = True
    clip_norm: float | None = None

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
        clip = self.clip_factor(gradient_norm(gradients))
        for name, lr in self.learning_rates(groups).items():
            direction, new_velocity = self.direction(params[name], clip * gradients[name], velocity[name])
            velocity[name][...] = new_velocity
            params[name] -= lr_scale * lr * direction

    def direction(self, parameter: Array, gradient: Array, velocity: Array) -> tuple[Array, Array]:
        """What a step subtracts, before the factor of the learning rate, and the new velocity.

        g <- gradient + decay * parameter
        v <- momentum * v + g
        direction = v, or g + momentum * v with Nesterov's momentum
        """
        g = gradient + self.decay(parameter) * parameter
        v = self.momentum * velocity + g
        return (g + self.momentum * v if self.nesterov else v), v

    def decay(self, parameter: Array) -> float:
        """The weight decay of a parameter. Biases are those with one dimension."""
        return self.weight_decay if self.decay_biases or parameter.ndim > 1 else 0.0

    def clip_factor(self, norm: float) -> float:
        """The factor on all gradients, whose norm is given: min(1, clip_norm / norm)."""
        return 1.0 if self.clip_norm is None else min(1.0, self.clip_norm / (norm + CLIP_EPSILON))


def gradient_norm(gradients: Arrays) -> float:
    """The Euclidean norm of all gradients as one vector: sqrt of the sum of all squares."""
    return math.sqrt(sum(float(np.square(g, dtype=np.float64).sum()) for g in gradients.values()))


# Schedules: the factor on the learning rates at a step, counted from 0, of `steps`.


def constant(step: int, steps: int) -> float:
    """1"""
    return 1.0


def step_decay(step: int, steps: int) -> float:
    """1, after half of the steps 1/10, and after three quarters 1/100 (He et al. 2016, on CIFAR-10)."""
    drops = int(2 * step >= steps) + int(4 * step >= 3 * steps)
    return float(0.1**drops)


def cosine(step: int, steps: int) -> float:
    """From 1 towards 0 along half a cosine (Loshchilov and Hutter 2017, without restarts)."""
    return 0.5 * (1 + math.cos(math.pi * step / steps))


def one_cycle(step: int, steps: int) -> float:
    """The factor on the learning rates at a step (Smith and Topin 2018).

    It rises linearly to 1 over the first tenth of the steps and then falls towards 0 along a cosine.
    """
    warm_up = max(1, round(WARM_UP * steps))
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


SCHEDULES: dict[str, Callable[[int, int], float]] = {
    "constant": constant,
    "step": step_decay,
    "cosine": cosine,
    "one-cycle": one_cycle,
}
