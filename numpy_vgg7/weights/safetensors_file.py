"""Weights as safetensors files."""

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from numpy_vgg7 import files
from numpy_vgg7.errors import WeightsError
from numpy_vgg7.weights.record import KEY
from numpy_vgg7.weights.tensors import BFLOAT16, Tensors, damaged, plain

DTYPES: dict[str, Any] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "U8": "u1",
}  # fmt: skip


def read_safetensors(path: Path) -> tuple[Tensors, str | None]:
    """Tensors and metadata of a safetensors file. Raises WeightsError if it is not one.

    The library compares the sizes in the header with the length of the file.
    """
    files.require_file(path, WeightsError)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        entries = safetensors.deserialize(path.read_bytes())  # type: ignore[no-untyped-call]
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise damaged(path, "safetensors file", error) from error
    tensors: Tensors = {}
    for name, entry in entries:
        if entry["dtype"] not in DTYPES:
            expected = "F64, F32, F16 or BF16"
            raise WeightsError(f"{path}: {name}", expected, entry["dtype"], "convert it before saving")
        flat = np.frombuffer(entry["data"], DTYPES[entry["dtype"]])
        tensors[name] = flat.reshape(entry["shape"])
    return tensors, metadata.get(KEY)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins with a length of eight bytes and a JSON object."""
    try:
        with path.open("rb") if path.is_file() else BytesIO() as file:
            return file.read(9)[8:] == b"{"
    except OSError:
        return False


def safetensors_bytes(tensors: Tensors, metadata: str) -> bytes:
    """A safetensors file with one metadata key."""
    # safetensors writes wrong values for arrays that are not C-contiguous.
    contiguous = {name: plain(tensor) for name, tensor in tensors.items()}
    return bytes(safetensors.numpy.save(contiguous, metadata={KEY: metadata}))


def write_safetensors(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write a safetensors file with one metadata key. Raises OutputError."""
    files.write_bytes(path, safetensors_bytes(tensors, metadata))
