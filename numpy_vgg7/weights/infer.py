"""The configuration of tensors without metadata, as far as their shapes determine it."""

from math import isqrt
from typing import Any

from numpy.typing import NDArray

from numpy_vgg7.config import PRESETS, VGG7Config
from numpy_vgg7.errors import ConfigError, WeightsError


def infer_config(tensors: dict[str, NDArray[Any]], source: str) -> VGG7Config:
    """Infer a configuration from the shapes of tensors with PyTorch's names.

    Shapes determine everything except the activations, which are taken from the preset with these channels,
    hidden sizes and biases, or else from `vgg7`. Raises WeightsError if no VGG7 has these shapes.
    """
    convs = [_shape(tensors, f"conv{n}.weight", 4, source) for n in (1, 2, 3, 4)]
    linears = [_shape(tensors, f"fc{n}.weight", 2, source) for n in (5, 6, 7)]
    channels = tuple(shape[0] for shape in convs)
    pixels = linears[0][1] // max(1, channels[3])
    fields: dict[str, Any] = {
        "channels": channels,
        "groups": tuple(
            inputs // max(1, shape[1]) for inputs, shape in zip((1, *channels), convs, strict=False)
        ),
        "hidden": (linears[0][0], linears[1][0]),
        "bias": any(name.endswith(".bias") for name in tensors),
    }
    alike = (p for p in PRESETS.values() if all(getattr(p, k) == v for k, v in fields.items()))
    activations = next(alike, PRESETS["vgg7"]).activations
    size, classes = 4 * isqrt(pixels), linears[2][0]
    try:
        return VGG7Config(image_size=size, classes=classes, activations=activations, **fields)
    except ConfigError as error:
        raise WeightsError(f"{source}: {error.what}", error.expected, error.found, error.fix) from error


def _shape(tensors: dict[str, NDArray[Any]], name: str, dimensions: int, source: str) -> tuple[int, ...]:
    if name not in tensors:
        found = "no such tensor"
    elif tensors[name].ndim != dimensions:
        found = f"shape {tensors[name].shape}"
    else:
        return tensors[name].shape
    fix = "name the tensors conv1.weight ... conv4.weight, fc5.weight ... fc7.weight, or give --map OLD=NEW"
    raise WeightsError(f"{source}: {name}", f"a tensor with {dimensions} dimensions", found, fix)
