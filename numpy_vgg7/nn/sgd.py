"""Stochastic gradient descent with a rate for the convolutions and one for the linear layers."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.nn.arrays import Arrays


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

    def step(self, params: Arrays, gradients: Arrays, velocity: Arrays, scale: float = 1.0) -> None:
        """Update `params` and `velocity` in place; `scale` multiplies both rates (a schedule).

        v <- momentum * v + g,   parameter <- parameter - rate * v            (plain)
                                 parameter <- parameter - rate * (g + momentum * v)  (Nesterov)
        """
        for name, parameter in params.items():
            gradient = gradients[name] + self.weight_decay * parameter
            velocity[name] *= self.momentum
            velocity[name] += gradient
            ahead = gradient + self.momentum * velocity[name] if self.nesterov else velocity[name]
            parameter -= scale * self.rate(name) * ahead
