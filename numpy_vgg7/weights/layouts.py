"""Keras' and Flax' layout of the same weights, and the order in which they flatten."""

from collections.abc import Callable
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.weights.tensors import Tensors

# How a layout names the tensors "conv1" "weight".
NAMES: dict[str, Callable[[str, str], str]] = {
    "keras": lambda layer, key: f"{layer}/{'kernel' if key == 'weight' else key}",
    "flax": lambda layer, key: f"params/{layer}/{'kernel' if key == 'weight' else key}",
}
LAYOUTS = ("pytorch", *NAMES)
FLATTENS = ("chw", "hwc")

_AXES = {4: ((3, 2, 0, 1), (2, 3, 1, 0)), 2: ((1, 0), (1, 0))}  # to PyTorch's layout, and from it


def to_pytorch(tensors: Tensors, layout: str) -> tuple[Tensors, list[str]]:
    """Transpose the kernels (H, W, in, out) and matrices (in, out) of Keras and Flax; also return a line."""
    if layout == "pytorch":
        return tensors, []
    line = f"transposed weights from the layout of {layout}: kernels (H, W, in, out), matrices (in, out)"
    return _transposed(tensors, 0), [line]


def from_pytorch(tensors: Tensors, layout: str) -> Tensors:
    """Weights in the layout and with the names of Keras or Flax, whose flatten order is H, W, C."""
    channels = tensors["conv4.weight"].shape[0]
    hwc = tensors | {"fc5.weight": _from_chw(tensors["fc5.weight"], channels)}
    transposed = _transposed(hwc, 1)
    return {NAMES[layout](*name.split(".")): tensor for name, tensor in transposed.items()}


def _transposed(tensors: Tensors, way: int) -> Tensors:
    return {name: t.transpose(_AXES[t.ndim][way]) if t.ndim in _AXES else t for name, t in tensors.items()}


def to_chw(tensors: Tensors, flatten: str, source: str) -> tuple[Tensors, list[str]]:
    """Reorder the columns of fc5 if it follows a flatten in the order H, W, C. Raises WeightsError."""
    fc5, conv4 = tensors.get("fc5.weight"), tensors.get("conv4.weight")
    if flatten == "chw" or fc5 is None or conv4 is None:
        return tensors, []
    channels = conv4.shape[0]
    if (
        fc5.ndim != 2
        or fc5.shape[1] % channels
        or isqrt(fc5.shape[1] // channels) ** 2 * channels != fc5.shape[1]
    ):
        expected = f"a weight for {channels} channels of squares"
        fix = "check --layout and --flatten"
        raise WeightsError(f"{source}: fc5.weight", expected, f"shape {fc5.shape}", fix)
    line = "reordered the columns of fc5.weight from the flatten order H, W, C to C, H, W"
    return tensors | {"fc5.weight": hwc_to_chw(fc5, channels)}, [line]


def hwc_to_chw(fc5: NDArray[Any], channels: int) -> NDArray[Any]:
    """Columns for pixels flattened in the order H, W, C -> columns for C, H, W."""
    size = isqrt(fc5.shape[1] // channels)
    columns = fc5.reshape(len(fc5), size, size, channels).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(columns).reshape(fc5.shape)


def _from_chw(fc5: NDArray[Any], channels: int) -> NDArray[Any]:
    size = isqrt(fc5.shape[1] // channels)
    columns = fc5.reshape(len(fc5), channels, size, size).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(columns).reshape(fc5.shape)
