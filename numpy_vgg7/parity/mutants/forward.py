"""Bugs of the definition's forward passes and of the loss."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7 import network
from numpy_vgg7.engine import kernels
from numpy_vgg7.functional import Array
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.parity.mutants.mutant import Mutant, Replacement, bug

TWO_OVER_PI = 0.6366197723675814


def with_weight(change: Callable[[Array], Array]) -> Callable[[Any], Any]:
    """A convolution's forward pass with another weight."""
    return lambda original: (
        lambda self, params, x: original(self, params | {"weight": change(params["weight"])}, x)
    )


def with_input(change: Callable[[Any, Array], Array]) -> Callable[[Any], Any]:
    """A convolution's forward pass with another input."""
    return lambda original: lambda self, params, x: original(self, params, change(self, x))


def groups_reversed(layer: network.Conv2d, x: Array) -> Array:
    """The last group's input for the first one."""
    return np.concatenate(np.split(x, layer.groups, axis=1)[::-1], axis=1)


def without_bias_in_conv1(original: Any) -> Any:
    """A convolution without its bias, if it is the first."""

    def forward(self: network.Conv2d, params: Any, x: Array) -> Any:
        if self.name == "conv1":
            return F.conv2d(x, params["weight"], None, self.groups)
        return original(self, params, x)

    return forward


def forward_as(function: Callable[[Array], Array]) -> Callable[[Any], Any]:
    """An activation with another forward pass."""
    return lambda original: original._replace(forward=function)


def exponentials(logits: Array) -> Array:
    """exp of the logits, shifted as in `functional.softmax`."""
    shifted: Array = np.exp(logits - logits.real.max(axis=1, keepdims=True))
    return shifted


def softmax_without_shift(logits: Array) -> Array:
    """Overflows for large logits."""
    probs: Array = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return probs


ARCTAN_SCALED = Replacement(ACTIVATIONS, "arctan", forward_as(lambda x: np.arctan(x) * TWO_OVER_PI))

FORWARD = (
    bug("conv flips its kernel", "conv? forward", network.Conv2d, "forward", with_weight(lambda w: w[..., ::-1, ::-1])),
    bug("conv swaps its kernel's axes", "conv? forward", network.Conv2d, "forward",
        with_weight(lambda w: w.swapaxes(2, 3))),
    bug("padding on one side only", "conv? forward", network.Conv2d, "forward",
        with_input(lambda layer, x: np.pad(x, ((0, 0), (0, 0), (1, 0), (1, 0)))[..., :-1, :-1])),
    bug("groups in reversed order", "conv? forward", network.Conv2d, "forward", with_input(groups_reversed)),
    bug("first conv's bias dropped", "conv1 forward", network.Conv2d, "forward", without_bias_in_conv1),
    bug("pool divides by k", "pool? forward", F, "avg_pool2d", lambda original: lambda x: 2 * original(x)),
    bug("flatten in NHWC order", "flatten forward", F, "flatten",
        lambda original: lambda x: original(x.transpose(0, 2, 3, 1))),
    bug("leaky ReLU", "act? forward", ACTIVATIONS, "relu", forward_as(lambda x: np.where(x.real <= 0, 0.001 * x, x))),
    bug("ReLU turns NaN into 0", "act? forward", ACTIVATIONS, "relu", forward_as(lambda x: np.where(x.real > 0, x, 0))),
    bug("tanh cut off at 8", "act? forward", ACTIVATIONS, "tanh",
        forward_as(lambda x: np.where(np.abs(x.real) > 8, np.sign(x.real), np.tanh(x)))),
    Mutant("arctan scaled by 2/pi", "logits forward", (ARCTAN_SCALED,)),
    Mutant("arctan scaled by 2/pi, forward and backward", "logits forward", (
        ARCTAN_SCALED,
        Replacement(ACTIVATIONS, "arctan", lambda original: original._replace(
            backward=lambda x, out, d_out: original.backward(x, out, d_out * TWO_OVER_PI))),
        Replacement(kernels.Arctan, "forward", lambda original: lambda self: (
            original(self), np.multiply(self.arctan, TWO_OVER_PI, self.arctan))),
        Replacement(kernels.Arctan, "backward_input", lambda original: lambda self: (
            original(self), np.multiply(self.d, TWO_OVER_PI, self.d))),
    )),
    bug("softmax over the batch axis", "loss forward", F, "softmax",
        lambda original: lambda logits: exponentials(logits) / exponentials(logits).sum(axis=0, keepdims=True)),
    bug("softmax without max-subtraction", "loss forward", F, "softmax", lambda original: softmax_without_shift),
    bug("softmax of float32 logits in float64", "loss forward", F, "softmax",
        lambda original: lambda logits: original(logits.astype(np.result_type(logits, np.float64)))),
    bug("log(p + 1e-3)", "loss forward", F, "log_softmax",
        lambda original: lambda logits: np.log(np.exp(original(logits)) + 1e-3)),
    bug("loss summed, gradient averaged", "loss forward", F, "cross_entropy",
        lambda original: lambda logits, labels, smoothing=0.0: original(logits, labels, smoothing) * len(labels)),
)  # fmt: skip
