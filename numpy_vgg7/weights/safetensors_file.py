"""Weights as safetensors files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from numpy_vgg7 import files
from numpy_vgg7.errors import VGG7Error, WeightsError
from numpy_vgg7.reading import FileKind
from numpy_vgg7.weights.record import KEY
from numpy_vgg7.weights.tensors import BFLOAT16, Tensors, plain

DTYPES: dict[str, Any] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": BFLOAT16, "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?",
}  # fmt: skip
KIND = FileKind("safetensors file", WeightsError)


def read_safetensors(path: Path) -> tuple[Tensors, str | None]:
    """Tensors and metadata of a safetensors file. Raises WeightsError if it is not one."""
    tensors, metadata = read_all(path)
    return tensors, metadata.get(KEY)


def read_all(path: Path, kind: FileKind = KIND) -> tuple[Tensors, dict[str, str]]:
    """Tensors and all metadata of a safetensors file. Raises the error of its kind."""
    return parse(kind.read(path), path, kind)


def parse(content: bytes, path: Path, kind: FileKind) -> tuple[Tensors, dict[str, str]]:
    """Tensors and all metadata in the content of a safetensors file. Raises the error of its kind.

    The library compares the sizes in the header with the length of the file.
    """
    tensors: Tensors = {}
    with kind.parsing(path):
        entries = safetensors.deserialize(content)  # type: ignore[no-untyped-call]
        for name, entry in entries:
            if entry["dtype"] not in DTYPES:
                fix = "convert it before saving"
                raise kind.error(f"{path}: {name}", "F64, F32, F16 or BF16", entry["dtype"], fix)
            tensors[name] = np.frombuffer(entry["data"], DTYPES[entry["dtype"]]).reshape(entry["shape"])
        return tensors, _metadata(content)


def read_metadata(path: Path, kind: FileKind = KIND) -> dict[str, str]:
    """The metadata of a safetensors file, of which only the header is read. Raises the error of its kind."""
    with kind.opened(path) as file:
        start = file.read(8)
        return _metadata(start + file.read(int.from_bytes(start, "little")))


def _metadata(content: bytes) -> dict[str, str]:
    """The metadata in a header, which the library has verified or which is read alone."""
    length = int.from_bytes(content[:8], "little")
    return dict(json.loads(content[8 : 8 + length]).get("__metadata__") or {})


def is_safetensors(path: Path) -> bool:
    """Whether a file begins with a length of eight bytes and a JSON object."""
    try:
        with KIND.opened(path) as file:
            return file.read(9)[8:] == b"{"
    except VGG7Error:
        return False


def safetensors_bytes(tensors: Tensors, metadata: str) -> bytes:
    """A safetensors file with one metadata key."""
    # safetensors writes wrong values for arrays that are not C-contiguous.
    contiguous = {name: plain(tensor) for name, tensor in tensors.items()}
    return bytes(safetensors.numpy.save(contiguous, metadata={KEY: metadata}))


def write_safetensors(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write a safetensors file with one metadata key. Raises OutputError."""
    files.write_bytes(path, safetensors_bytes(tensors, metadata))
