"""A network is a list of layers: run forward over a tape, and backward over it reversed.

images -> conv1 act1 conv2 act2 pool2 -> conv3 act3 conv4 act4 pool4 -> flatten
       -> fc5 act5 fc6 act6 fc7 logits -> softmax -> loss
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from numpy_vgg7.nn.arrays import Array, Arrays


class Layer(Protocol):
    """Hyper-parameters and two functions. State is passed in, so calls are re-entrant."""

    @property
    def name(self) -> str:
        """The name of the layer, and of its output."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the layer's parameters by key; empty where it has none."""

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Any]:
        """Return the output, and what the backward pass needs of the way there."""

    def backward(self, params: Arrays, cache: Any, d_out: Array) -> tuple[Array, Arrays]:
        """Return d_x and the gradients by parameter key; d_out is left as it is."""


class Step(NamedTuple):
    """One layer's turn on the tape."""

    layer: Layer
    cache: Any
    out: Array


def parameter_shapes(layers: Sequence[Layer]) -> dict[str, tuple[int, ...]]:
    """Shapes of all parameters by full name, e.g. "conv1.weight", in forward order."""
    return {f"{layer.name}.{key}": shape for layer in layers for key, shape in layer.shapes().items()}


def own_params(layer: Layer, params: Arrays) -> Arrays:
    """The parameters of one layer: "conv1.weight" -> "weight"."""
    return {key: params[f"{layer.name}.{key}"] for key in layer.shapes()}


def forward(layers: Sequence[Layer], params: Arrays, x: Array) -> list[Step]:
    """Run `x` through the layers; the tape holds every activation, the logits last."""
    tape = []
    for layer in layers:
        x, cache = layer.forward(own_params(layer, params), x)
        tape.append(Step(layer, cache, x))
    return tape


def backward(tape: Sequence[Step], params: Arrays, d_out: Array) -> tuple[Arrays, Arrays]:
    """Walk the tape back from `d_out`, the gradient of the loss by the last output.

    Returns the gradients of the activations, keyed by layer name plus "input", and those of the
    parameters, keyed as `params` is.
    """
    d_activations: Arrays = {}
    gradients: Arrays = {}
    for layer, cache, _ in reversed(tape):
        d_activations[layer.name] = d_out
        d_out, own = layer.backward(own_params(layer, params), cache, d_out)
        gradients |= {f"{layer.name}.{key}": gradient for key, gradient in own.items()}
    d_activations["input"] = d_out
    return d_activations, gradients
