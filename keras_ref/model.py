"""A Keras model with the weights of a NumPy one, and Keras' files."""

import json
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

# Before Keras is imported. A backend that the user has chosen stays.
os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import WeightsError
from numpy_vgg7.files import write_bytes
from numpy_vgg7.network import Activation, AvgPool2d, Conv2d, Flatten, Layer, Linear
from numpy_vgg7.weights.layouts import NAMES, from_pytorch
from numpy_vgg7.weights.tensors import Tensors

FUNCTIONS = {"relu": keras.ops.relu, "tanh": keras.ops.tanh, "arctan": keras.ops.arctan}


def to_keras(config: VGG7Config, params: Tensors) -> Any:
    """A `keras.Model` for images (N, H, W, 1), channels last, that gives the logits, with these weights.

    `params` have PyTorch's names and layout, as those of `VGG7`. The dtype is that of the weights.
    """
    dtype = next(iter(params.values())).dtype.name
    images = x = keras.Input((config.image_size, config.image_size, 1), dtype=dtype, name="images")
    layers = config.layers()
    made = {}
    for layer in layers:
        if isinstance(layer, Activation):
            x = FUNCTIONS[layer.function](x) if layer.function in FUNCTIONS else x
        else:
            made[layer.name] = _layer(layer, dtype)
            x = made[layer.name](x)
    converted, name = from_pytorch(params, "keras"), NAMES["keras"]
    for layer in layers:
        if layer.shapes():
            made[layer.name].set_weights([converted[name(layer.name, key)] for key in layer.shapes()])
    return keras.Model(images, x, name="vgg7")


def _layer(layer: Layer, dtype: str) -> Any:
    said = {"name": layer.name, "dtype": dtype}
    match layer:
        case Conv2d():
            said |= {"padding": "same", "groups": layer.groups, "use_bias": layer.bias}  # type: ignore[dict-item]
            return keras.layers.Conv2D(layer.out_channels, 3, **said)
        case Linear():
            return keras.layers.Dense(layer.out_features, use_bias=layer.bias, **said)
        case AvgPool2d():
            return keras.layers.AveragePooling2D(2, **said)
        case Flatten():
            return keras.layers.Flatten(**said)
    raise TypeError(f"no Keras layer for {layer}")


def write_keras(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write a .keras file, or the weights alone as .weights.h5. They cannot contain the metadata."""
    endings = (".keras", ".weights.h5")
    ending = next((ending for ending in endings if path.name.endswith(ending)), None)
    if ending is None:
        raise WeightsError(str(path), "a name ending in .weights.h5", path.name, "rename the file")
    config = VGG7Config.from_json(json.dumps(json.loads(metadata)["config"]))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        # NumPy's, about what Keras' own variables do on PyTorch.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        model = to_keras(config, tensors)
        written = Path(folder) / f"w{ending}"
        (model.save if ending == ".keras" else model.save_weights)(written)
        write_bytes(path, written.read_bytes())
