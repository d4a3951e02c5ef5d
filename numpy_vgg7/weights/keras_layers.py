"""The layers of a Keras model, from the configuration that it is saved with."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.weights.chain import Described, Step, described, lacks

Weights = dict[str, list[NDArray[Any]]]

# Layers and operations without weights, and functions by name.
FUNCTIONS = {
    "relu": "relu", "ReLU": "relu", "Relu": "relu", "tanh": "tanh", "Tanh": "tanh", "arctan": "arctan",
    "Arctan": "arctan", "softmax": "softmax", "Softmax": "softmax", "log_softmax": "log-softmax",
}  # fmt: skip
INACTIVE = ("Dropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise", "Identity")  # outside training
FEATURES = {
    "MaxPooling2D": "max pooling", "GlobalAveragePooling2D": "global average pooling",
    "GlobalMaxPooling2D": "global max pooling", "BatchNormalization": "batch normalization",
    "LayerNormalization": "normalization", "GroupNormalization": "normalization",
    "DepthwiseConv2D": "depthwise convolutions", "SeparableConv2D": "separable convolutions",
    "Conv2DTranspose": "transposed convolutions", "Rescaling": "scaling of the images (Rescaling)",
    "Normalization": "normalization of the images", "Add": "skip connections", "Concatenate": "branches",
    "LSTM": "recurrent layers", "GRU": "recurrent layers", "MultiHeadAttention": "attention",
}  # fmt: skip
# What a layer must say of itself, where it says it: the key, the value, and what VGG7 lacks else.
SETTINGS: dict[str, tuple[tuple[str, tuple[Any, ...], str], ...]] = {
    "Conv2D": (
        ("kernel_size", ([3, 3],), "kernels of another size than 3x3"),
        ("strides", ([1, 1],), "convolutions with a stride"),
        ("dilation_rate", ([1, 1],), "dilated convolutions"),
        ("padding", ("same",), "convolutions without padding 1"),
        ("data_format", ("channels_last",), "channels-first layers in Keras"),
    ),
    "AveragePooling2D": (
        ("pool_size", ([2, 2],), "pooling of other windows than 2x2"),
        ("strides", ([2, 2], None), "pooling of other windows than 2x2"),
        ("data_format", ("channels_last",), "channels-first layers in Keras"),
    ),
    "Flatten": (("data_format", ("channels_last",), "channels-first layers in Keras"),),
    "ReLU": (
        ("max_value", (None,), "ReLU6 or clipping"),
        ("negative_slope", (0, None), "leaky ReLU"),
        ("threshold", (0, None), "ReLU with a threshold"),
    ),
}


def read_layers(model: Any, weights: Weights, source: str) -> Described:
    """The VGG7 that a Keras model is. `weights`: arrays by the names in Keras' HDF5 files.

    Raises WeightsError if it is another network; what a damaged configuration raises is not caught.
    """
    if model["class_name"] not in ("Sequential", "Functional"):
        found = f"a model of the class {str(model['class_name'])[:80]}"
        raise WeightsError(source, "a Sequential or Functional model", found, "save its weights: .weights.h5")
    chain: list[Step] = []
    counts: dict[str, int] = {}
    size: int | None = None
    before = ""
    for layer in model["config"]["layers"]:
        kind, config = str(layer["class_name"]), layer["config"]
        _require_chain(layer, before, source)
        before = config.get("name", layer.get("name", ""))
        for key, usual, feature in SETTINGS.get(kind, ()):
            if config[key] not in usual:
                raise lacks(source, feature, f"{kind} with {key} {config[key]}")
        if kind == "InputLayer":
            size = _image_size(config["batch_shape"], source)
        elif kind in ("Conv2D", "Dense"):
            number = counts[kind] = counts.get(kind, -1) + 1
            arrays = weights.get(f"{kind.lower()}_{number}" if number else kind.lower(), [])
            chain += _with_weights(kind, config, arrays, source)
        elif kind == "AveragePooling2D":
            chain.append(Step("pool"))
        elif kind == "Flatten":
            chain.append(Step("flatten", flatten="hwc"))
        elif kind == "Activation":
            chain += _function(config["activation"], source)
        elif kind in FUNCTIONS:
            chain.append(Step(FUNCTIONS[kind]))
        elif kind not in INACTIVE:
            raise lacks(source, FEATURES.get(kind, f"layer {kind[:80]}"), kind[:80])
    outputs = np.ravel(np.array(model["config"].get("output_layers", before), dtype=object))
    if before not in outputs or sum(isinstance(name, str) for name in outputs) != 1:
        raise lacks(source, "other outputs than the last layer's", f"outputs {outputs.tolist()}")
    return replace(described(chain, size, [], source), layout="keras")


def _with_weights(kind: str, config: dict[str, Any], arrays: list[NDArray[Any]], source: str) -> list[Step]:
    count = 2 if config["use_bias"] else 1
    dimensions = 4 if kind == "Conv2D" else 2
    if len(arrays) != count or arrays[0].ndim != dimensions:
        found = ", ".join(str(array.shape) for array in arrays) or "none"
        expected = f"{count} arrays of {kind}, the first with {dimensions} dimensions"
        raise WeightsError(f"{source}: {config['name']}", expected, found, "save the model again")
    axes, name = ((3, 2, 0, 1), "conv") if kind == "Conv2D" else ((1, 0), "fc")
    bias = arrays[1] if count == 2 else None
    step = Step(name, arrays[0].transpose(axes), bias, config.get("groups", 1))
    return [step, *_function(config["activation"], source)]


def _function(activation: Any, source: str) -> list[Step]:
    name = activation["config"] if isinstance(activation, dict) else activation
    if name in ("linear", None):
        return []
    if not isinstance(name, str) or name not in FUNCTIONS:
        raise lacks(source, f"activation {str(name)[:80]}", str(name)[:80])
    return [Step(FUNCTIONS[name])]


def _image_size(shape: list[Any], source: str) -> int | None:
    _batch, height, width, channels = shape
    if channels != 1:
        feature = "images with several channels (VGG7 takes grey ones)"
        raise lacks(source, feature, f"images of shape {shape}")
    if height != width:
        raise lacks(source, "images that are not square", f"images of shape {shape}")
    return int(height) if height else None


def _require_chain(layer: dict[str, Any], before: str, source: str) -> None:
    """Raise WeightsError unless a layer of a Functional model has the layer before it as its only input."""
    nodes = layer.get("inbound_nodes", [])
    if not nodes:
        return
    inputs = [value["config"]["keras_history"][0] for value in nodes[0]["args"] if isinstance(value, dict)]
    if len(nodes) != 1 or inputs != [before] or len(nodes[0]["args"]) != 1:
        raise lacks(source, "branches", f"a layer {str(layer['class_name'])[:80]} after {inputs}")
