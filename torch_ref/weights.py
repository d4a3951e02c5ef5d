"""Lossless conversion of weights between the two implementations, and PyTorch's .pt files."""

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.files import require_file, write_bytes
from numpy_vgg7.model import VGG7
from numpy_vgg7.weights import check_tensors
from torch_ref.model import TorchVGG7

Tensors = dict[str, NDArray[Any]]

_STATE_DICT = "a state_dict: names and tensors"
_FIX = "save model.state_dict(), not the model or a checkpoint that contains it"


def to_torch(model: VGG7) -> TorchVGG7:
    """A PyTorch copy of a NumPy model, with the same dtype. Raises WeightsError on invalid parameters."""
    check_tensors(model.params, model.config, "model")  # load_state_dict would accept NaN
    module = TorchVGG7(model.config, getattr(torch, model.dtype))
    module.load_state_dict(_tensors(model.params))
    return module


def from_torch(module: TorchVGG7) -> VGG7:
    """A NumPy copy of a PyTorch model, with the same dtype. Raises WeightsError on invalid parameters."""
    arrays = {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}
    return VGG7.from_params(module.config, arrays)


def write_pt(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write a plain state_dict, which any PyTorch module can load. It cannot contain the metadata."""
    buffer = io.BytesIO()
    torch.save(_tensors(tensors), buffer)
    write_bytes(path, buffer.getvalue())


def read_pt(path: Path) -> tuple[Tensors, None]:
    """Read a state_dict without running any code in the file. Raises WeightsError."""
    require_file(path, WeightsError)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the pickle; errors are reported below
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many types for other files
        found = f"something else ({type(error).__name__})"
        raise WeightsError(str(path), "a state_dict saved by torch.save", found, _FIX) from error
    if not isinstance(state, dict):
        raise WeightsError(str(path), _STATE_DICT, type(state).__name__, _FIX)
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise WeightsError(f"{path}: {name}", _STATE_DICT, type(tensor).__name__, _FIX)
        plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not plain or tensor.dtype not in (torch.float32, torch.float64):  # bfloat16: not in NumPy
            found = f"{str(tensor.dtype).removeprefix('torch.')}, {tensor.layout}, {tensor.device}"
            raise WeightsError(f"{path}: {name}", "a plain tensor, float32 or float64", found, _FIX)
    return {name: tensor.detach().resolve_neg().numpy() for name, tensor in state.items()}, None


def _tensors(arrays: Tensors) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(array, order="C")) for name, array in arrays.items()}
