"""The network: a list of layers, run forward while recording a tape, and backward over it in reverse.

    images -> conv1 act1 conv2 act2 pool2 -> conv3 act3 conv4 act4 pool4 -> flatten
           -> fc5 act5 fc6 act6 fc7 logits -> softmax -> loss

A layer and its output have the same name; the last activation is called "logits". Parameters are named as in
PyTorch: "conv1.weight", "fc7.bias".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod, sqrt
from typing import NamedTuple

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array, Arrays, Labels


class Function(NamedTuple):
    """An activation: out = forward(x), d_x = backward(x, out, d_out).

    `gain` is the factor on the weights before it that keeps the variance of a signal (He et al. 2015 for
    ReLU; the others are close to the identity near 0, Glorot and Bengio 2010).
    """

    forward: Callable[[Array], Array]
    backward: Callable[[Array, Array, Array], Array]
    gain: float


ACTIVATIONS = {
    "relu": Function(F.relu, F.relu_backward, sqrt(2.0)),
    "tanh": Function(F.tanh, F.tanh_backward, 1.0),
    "arctan": Function(F.arctan, F.arctan_backward, 1.0),
    "identity": Function(F.identity, F.identity_backward, 1.0),
}


@dataclass(frozen=True)
class Layer:
    """A name and hyperparameters. Parameters are passed in by key: "weight", not "conv1.weight"."""

    name: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the parameters by key; empty for a layer without any."""
        return {}

    def forward(self, params: Arrays, x: Array) -> Array:
        """The output."""
        raise NotImplementedError

    def backward(self, params: Arrays, x: Array, out: Array, d_out: Array) -> tuple[Array, Arrays]:
        """The gradients with respect to the input and, by key, the parameters; other keys are ignored."""
        raise NotImplementedError


@dataclass(frozen=True)
class Conv2d(Layer):
    """3x3 convolution with zero padding 1: (N, in, H, W) -> (N, out, H, W)."""

    in_channels: int
    out_channels: int
    groups: int = 1
    bias: bool = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return _weight_and_bias((self.out_channels, self.in_channels // self.groups, 3, 3), self.bias)

    def forward(self, params: Arrays, x: Array) -> Array:
        return F.conv2d(x, params["weight"], params.get("bias"), self.groups)

    def backward(self, params: Arrays, x: Array, out: Array, d_out: Array) -> tuple[Array, Arrays]:
        d_x, d_weight, d_bias = F.conv2d_backward(x, params["weight"], d_out, self.groups)
        return d_x, {"weight": d_weight, "bias": d_bias}


@dataclass(frozen=True)
class Linear(Layer):
    """Fully connected: (N, in) -> (N, out)."""

    in_features: int
    out_features: int
    bias: bool = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return _weight_and_bias((self.out_features, self.in_features), self.bias)

    def forward(self, params: Arrays, x: Array) -> Array:
        return F.linear(x, params["weight"], params.get("bias"))

    def backward(self, params: Arrays, x: Array, out: Array, d_out: Array) -> tuple[Array, Arrays]:
        d_x, d_weight, d_bias = F.linear_backward(x, params["weight"], d_out)
        return d_x, {"weight": d_weight, "bias": d_bias}


def _weight_and_bias(weight: tuple[int, ...], bias: bool) -> dict[str, tuple[int, ...]]:
    return {"weight": weight, "bias": weight[:1]} if bias else {"weight": weight}


class AvgPool2d(Layer):
    """2x2 average pooling: (N, C, H, W) -> (N, C, H/2, W/2)."""

    def forward(self, params: Arrays, x: Array) -> Array:
        return F.avg_pool2d(x)

    def backward(self, params: Arrays, x: Array, out: Array, d_out: Array) -> tuple[Array, Arrays]:
        return F.avg_pool2d_backward(d_out), {}


class Flatten(Layer):
    """(N, C, H, W) -> (N, C*H*W), between the convolutions and the fully connected layers."""

    def forward(self, params: Arrays, x: Array) -> Array:
        return F.flatten(x)

    def backward(self, params: Arrays, x: Array, out: Array, d_out: Array) -> tuple[Array, Arrays]:
        return F.flatten_backward(d_out, x.shape), {}


@dataclass(frozen=True)
class Activation(Layer):
    """An elementwise function, by its name in `ACTIVATIONS`."""

    function: str

    def forward(self, params: Arrays, x: Array) -> Array:
        return ACTIVATIONS[self.function].forward(x)

    def backward(self, params: Arrays, x: Array, out: Array, d_out: Array) -> tuple[Array, Arrays]:
        return ACTIVATIONS[self.function].backward(x, out, d_out), {}


Layers = Sequence[Layer]


class TapeEntry(NamedTuple):
    """What `forward` keeps of one layer for `backward`: its input and its output."""

    layer: Layer
    x: Array
    out: Array


def vgg7(
    image_size: int = 28,
    classes: int = 10,
    channels: tuple[int, ...] = (16, 16, 32, 32),
    groups: tuple[int, ...] = (1, 1, 1, 1),
    hidden: tuple[int, ...] = (256, 128),
    activations: tuple[str, ...] = ("relu", "relu", "relu", "relu", "tanh", "tanh", "identity"),
    bias: bool = True,
) -> tuple[Layer, ...]:
    """The layers of a VGG7 for grey images of `image_size` pixels per side, a multiple of 4.

    `channels` and `groups` belong to conv1..conv4, `hidden` to fc5 and fc6, `activations` to all seven.
    """
    c, flat = (1, *channels), channels[3] * (image_size // 4) ** 2
    conv = [Conv2d(f"conv{i + 1}", c[i], c[i + 1], groups[i], bias) for i in range(4)]
    sizes = (flat, *hidden, classes)
    fc = [Linear(f"fc{i + 5}", sizes[i], sizes[i + 1], bias) for i in range(3)]
    names = ("act1", "act2", "act3", "act4", "act5", "act6", "logits")
    act = [Activation(name, function) for name, function in zip(names, activations, strict=True)]
    return (
        conv[0], act[0], conv[1], act[1], AvgPool2d("pool2"),
        conv[2], act[2], conv[3], act[3], AvgPool2d("pool4"),
        Flatten("flatten"),
        fc[0], act[4], fc[1], act[5], fc[2], act[6],
    )  # fmt: skip


def parameter_shapes(layers: Layers) -> dict[str, tuple[int, ...]]:
    """Shapes of all parameters by full name, in forward order."""
    return {f"{layer.name}.{key}": shape for layer in layers for key, shape in layer.shapes().items()}


def parameter_groups(layers: Layers) -> dict[str, list[str]]:
    """The names of the parameters of the convolutions ("conv") and of the fully connected layers ("fc")."""
    kinds = {"conv": Conv2d, "fc": Linear}
    return {
        group: list(parameter_shapes([layer for layer in layers if isinstance(layer, kind)]))
        for group, kind in kinds.items()
    }


def layer_params(layer: Layer, params: Arrays) -> Arrays:
    """The parameters of one layer by key: "conv1.weight" -> "weight"."""
    return {key: params[f"{layer.name}.{key}"] for key in layer.shapes()}


# A kernel with a negative sum maps bright pixels below 0, where ReLU is dead. With many channels others take
# over; with one or two output channels the network would not learn at all, so these kernels start positive.
FEW_CHANNELS = 2


def initial_params(layers: Layers, seed: int, dtype: str = "float32") -> Arrays:
    """Normal weights with standard deviation gain / sqrt(fan_in), zero biases.

    The gain is that of the activation after the layer. A convolution with at most FEW_CHANNELS outputs gets
    absolute values. Weights are drawn in float64 in forward order and then rounded, so that both dtypes start
    from the same numbers.
    """
    rng = np.random.default_rng(seed)
    params: Arrays = {}
    for layer, following in pairwise(layers):
        gain = ACTIVATIONS[following.function].gain if isinstance(following, Activation) else 1.0
        for key, shape in layer.shapes().items():
            values = np.zeros(shape)
            if key == "weight":
                values = rng.standard_normal(shape) * gain / sqrt(prod(shape[1:]))
                if len(shape) == 4 and shape[0] <= FEW_CHANNELS:
                    values = np.abs(values)
            params[f"{layer.name}.{key}"] = values.astype(dtype)
    return params


def forward(layers: Layers, params: Arrays, x: Array) -> list[TapeEntry]:
    """Run `x` through the layers; the tape holds the input and output of each, the logits last."""
    tape = []
    for layer in layers:
        out = layer.forward(layer_params(layer, params), x)
        tape.append(TapeEntry(layer, x, out))
        x = out
    return tape


def backward(tape: Sequence[TapeEntry], params: Arrays, d_out: Array) -> tuple[Arrays, Arrays]:
    """Go back over the tape, starting with `d_out`, the gradient with respect to the last output.

    Returns two dictionaries of gradients: with respect to the output of every layer, by its name, and to the
    "input"; and with respect to every parameter.
    """
    d_outputs: Arrays = {}
    gradients: Arrays = {}
    for layer, x, out in reversed(tape):
        d_outputs[layer.name] = d_out
        d_out, d_params = layer.backward(layer_params(layer, params), x, out, d_out)
        gradients |= {f"{layer.name}.{key}": d_params[key] for key in layer.shapes()}
    return d_outputs | {"input": d_out}, gradients


def loss_and_gradients(
    layers: Layers, params: Arrays, images: Array, labels: Labels, label_smoothing: float = 0.0
) -> tuple[float, Arrays]:
    """The mean cross-entropy of a batch and its gradient with respect to each parameter.

    Images are (N, 1, H, W) with pixels in 0..1, labels (N,) integers from 0.
    """
    tape = forward(layers, params, images)
    logits = tape[-1].out
    d_logits = F.cross_entropy_backward(F.softmax(logits), labels, smoothing=label_smoothing)
    _, gradients = backward(tape, params, d_logits)
    return float(F.cross_entropy(logits, labels, label_smoothing)), gradients


def trace(layers: Layers, params: Arrays, images: Array, labels: Labels) -> Arrays:
    """Everything that one batch computes, by the names and in the order of `trace_names`."""
    tape = forward(layers, params, images)
    values = params | {"input": images} | {entry.layer.name: entry.out for entry in tape}
    values["probs"], values["loss"] = F.softmax(values["logits"]), F.cross_entropy(values["logits"], labels)
    d_outputs, gradients = backward(tape, params, F.cross_entropy_backward(values["probs"], labels))
    found = values | {f"{name}.grad": d for name, d in (d_outputs | gradients).items()}
    return {name: found[name].copy() for name in trace_names(layers)}


def trace_names(layers: Layers) -> list[str]:
    """The values "input", "conv1.weight", "conv1.bias", "conv1", "act1", ..., "logits", "probs", "loss", then
    the gradients of the loss "logits.grad", "fc7.grad", "fc7.weight.grad", ..., "input.grad".

    Softmax and cross-entropy are one step backward, so there is no "probs.grad".
    """
    own = {layer.name: [f"{layer.name}.{key}" for key in layer.shapes()] for layer in layers}
    values = [name for layer in own for name in (*own[layer], layer)]
    gradients = [f"{name}.grad" for layer in reversed(own) for name in (layer, *own[layer])]
    return ["input", *values, "probs", "loss", *gradients, "input.grad"]
