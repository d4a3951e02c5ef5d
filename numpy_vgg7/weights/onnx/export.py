"""The ONNX graph of a VGG7."""

from collections.abc import Sequence

import numpy as np

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.network import Activation, AvgPool2d, Conv2d, Flatten, Layer, Linear
from numpy_vgg7.weights.onnx.messages import Array, Attribute, Graph, Model, Node
from numpy_vgg7.weights.tensors import Tensors

# Of 2021: every ONNX Runtime since 1.10 reads them, and later ones read all that is older.
OPSET, IR_VERSION = 15, 8

ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "arctan": "Atan", "identity": "Identity"}


def onnx_model(
    config: VGG7Config, params: Tensors, outputs: Sequence[str] = ("logits",), metadata: str | None = None
) -> Model:
    """The graph with the input "images", (N, 1, H, W), N dynamic, and these outputs.

    Values and parameters have the names of `network.trace`: "conv1", "act1", ..., "logits", "probs".
    """
    layers = config.layers()
    nodes, before = [], "images"
    for layer in layers:
        op, attributes = _operator(layer)
        inputs = (before, *(f"{layer.name}.{key}" for key in layer.shapes()))
        nodes.append(Node(op, inputs, (layer.name,), attributes))
        before = layer.name
    if "probs" in outputs:
        nodes.append(Node("Softmax", (before,), ("probs",), {"axis": 1}))
    dtype = np.dtype(next(iter(params.values())).dtype).newbyteorder("<").str
    size = config.image_size
    images = Array("images", dtype, ("N", 1, size, size))
    shapes = _shapes(layers, (1, size, size)) | {"probs": (config.classes,)}
    results = tuple(Array(name, dtype, ("N", *shapes[name])) for name in outputs)
    graph = Graph(tuple(nodes), dict(params), (images,), results)
    record = {} if metadata is None else {"numpy_vgg7": metadata}
    return Model(graph, IR_VERSION, OPSET, "numpy-vgg7", record)


def _operator(layer: Layer) -> tuple[str, dict[str, Attribute]]:
    match layer:
        case Conv2d():
            return "Conv", {"kernel_shape": (3, 3), "pads": (1, 1, 1, 1), "group": layer.groups}
        case Linear():
            return "Gemm", {"transB": 1}
        case AvgPool2d():
            return "AveragePool", {"kernel_shape": (2, 2), "strides": (2, 2)}
        case Flatten():
            return "Flatten", {"axis": 1}
        case Activation():
            return ACTIVATIONS[layer.function], {}
    raise TypeError(f"no operator for {layer}")


def _shapes(layers: Sequence[Layer], shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The shape of each layer's output for one image."""
    found = {}
    for layer in layers:
        match layer:
            case Conv2d():
                shape = (layer.out_channels, *shape[1:])
            case AvgPool2d():
                shape = (shape[0], shape[1] // 2, shape[2] // 2)
            case Flatten():
                shape = (int(np.prod(shape)),)
            case Linear():
                shape = (layer.out_features,)
        found[layer.name] = shape
    return found
