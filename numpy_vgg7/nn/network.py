"""A network is a list of layers: run forward over a tape, and backward over it reversed.

images -> conv1 act1 conv2 act2 pool2 -> conv3 act3 conv4 act4 pool4 -> flatten
       -> fc5 act5 fc6 act6 fc7 logits -> softmax -> loss
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from numpy_vgg7.nn.arrays import Array, Arrays, Gradients
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.workspace import FRESH, Workspace


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


def forward(layers: Sequence[Layer], params: Arrays, x: Array, workspace: Workspace = FRESH) -> list[Step]:
    """Run `x` through the layers; the tape holds every activation, the logits last."""
    tape = []
    for layer in layers:
        x, cache = layer.forward(own_params(layer, params), x, workspace)
        tape.append(Step(layer, cache, x))
    return tape


def backward(
    tape: Sequence[Step], params: Arrays, d_out: Array, workspace: Workspace = FRESH, to_input: bool = True
) -> tuple[Arrays, Gradients]:
    """Walk the tape back from `d_out`, the gradient of the loss by the last output.

    Returns the gradients of the activations, keyed by layer name plus "input", and those of the
    parameters, keyed as `params` is. Without `to_input` the walk ends at the first layer's parameters.
    """
    d_activations: Arrays = {}
    gradients: Gradients = {}
    for layer, cache, _ in reversed(tape):
        d_activations[layer.name] = d_out
        own = own_params(layer, params)
        for key, gradient in layer.gradients(own, cache, d_out, workspace).items():
            gradients[f"{layer.name}.{key}"] = gradient
        if to_input or layer is not tape[0].layer:
            d_out = layer.d_x(own, cache, d_out, workspace)
    if to_input:
        d_activations["input"] = d_out
    return d_activations, gradients
