"""Lossless conversion of weights between the two implementations, and PyTorch's .pt files."""

import io
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.files import write_bytes
from numpy_vgg7.model import VGG7
from numpy_vgg7.weights import check_tensors
from numpy_vgg7.weights.tensors import Tensors, plain
from torch_ref.model import TorchVGG7


def to_torch(model: VGG7) -> TorchVGG7:
    """A PyTorch copy of a NumPy model, with the same dtype. Raises WeightsError on invalid parameters."""
    check_tensors(model.params, model.config, "model")  # load_state_dict would accept NaN
    module = TorchVGG7(model.config, getattr(torch, model.dtype))
    module.load_state_dict(_tensors(model.params))
    return module


def from_torch(module: TorchVGG7) -> VGG7:
    """A NumPy copy of a PyTorch model, with the same dtype. Raises WeightsError on invalid parameters.

    Half precision is widened to float32. Other modules are imported from their state dict, see
    `numpy_vgg7.weights.import_weights`.
    """
    if not isinstance(module, TorchVGG7):
        fix = "save its state_dict with torch.save, and import the file"
        raise WeightsError("module", "a TorchVGG7", type(module).__name__, fix)
    arrays = {name: _array(tensor) for name, tensor in module.state_dict().items()}
    return VGG7.from_params(module.config, arrays)


def write_pt(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write a plain state_dict, which any PyTorch module can load. It cannot contain the metadata."""
    buffer = io.BytesIO()
    torch.save(_tensors(tensors), buffer)
    write_bytes(path, buffer.getvalue())


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    half = tensor.dtype in (torch.float16, torch.bfloat16)
    array: NDArray[Any] = (tensor.float() if half else tensor).detach().cpu().resolve_neg().numpy()
    return array


def _tensors(arrays: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(plain(array).copy()) for name, array in arrays.items()}
