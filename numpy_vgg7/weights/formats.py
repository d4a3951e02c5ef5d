"""A reader and a writer for each format, selected by the suffix.

Readers return the tensors and the metadata, a JSON text, or None if the file has none. Those of files that
contain layers return `Described` where there is no metadata.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.model import VGG7
from numpy_vgg7.reading import FileKind
from numpy_vgg7.weights.keras_files import read_h5, read_keras
from numpy_vgg7.weights.npz import read_npz, write_npz
from numpy_vgg7.weights.onnx.file import read_onnx, write_onnx
from numpy_vgg7.weights.pytorch import read_pt
from numpy_vgg7.weights.record import KEY, check_tensors, describe, verify
from numpy_vgg7.weights.safetensors_file import is_safetensors, read_safetensors, write_safetensors
from numpy_vgg7.weights.tensors import Tensors

__all__ = ["WRITERS", "by_suffix", "load", "read_safetensors", "reader", "save", "write_safetensors"]

Format = TypeVar("Format")
WEIGHTS = FileKind("weights file", WeightsError)
Reader = Callable[[Path], tuple[Any, str | None]]
Writer = Callable[[Path, Tensors, str], None]
READERS: dict[str, Reader] = {
    ".safetensors": read_safetensors, ".npz": read_npz, ".pt": read_pt, ".pth": read_pt, ".ckpt": read_pt,
    ".bin": read_pt, ".pkl": read_pt, ".onnx": read_onnx, ".keras": read_keras, ".h5": read_h5,
}  # fmt: skip
# torch_ref writes .pt and .pth, keras_ref .keras and .weights.h5.
WRITERS: dict[str, Writer] = {".safetensors": write_safetensors, ".npz": write_npz, ".onnx": write_onnx}


def save(path: Path, model: VGG7, writers: dict[str, Writer] = WRITERS) -> None:
    """Write a model in the format that the suffix selects.

    Raises WeightsError or OutputError, or MissingDependencyError where .onnx finds no package onnx.
    """
    write = by_suffix(path, writers)
    check_tensors(model.params, model.config, "model")
    write(path, dict(model.params), describe(model.config, model.params))


def load(path: Path) -> VGG7:
    """Read and verify a .safetensors, .npz or .onnx file that `save` wrote.

    Raises WeightsError, or MissingDependencyError where .onnx finds no package onnx.
    """
    tensors, metadata = reader(path)(path)
    if metadata is None:
        expected = f"the metadata key {KEY} with configuration, checksums and probe"
        fix = f"convert it first: numpy-vgg7 import {path} OUT.safetensors"
        raise WeightsError(str(path), expected, "none", fix)
    return VGG7.from_params(verify(metadata, tensors, str(path)), tensors)


def reader(path: Path) -> Reader:
    """The reader for the suffix of a file. A safetensors file may have any other suffix, too."""
    if path.suffix not in READERS and not os.path.lexists(path):
        raise WeightsError(str(path), "a run folder or a weights file", "nothing there", "check the path")
    return (
        read_safetensors if path.suffix not in READERS and is_safetensors(path) else by_suffix(path, READERS)
    )


def by_suffix(path: Path, table: dict[str, Format]) -> Format:
    """The entry of `table` for the end of a name. Raises WeightsError if there is none."""
    for suffix, entry in table.items():
        if path.suffix and path.name.endswith(suffix):
            return entry
    *most, last = table
    expected = f"a name ending in {', '.join(most)} or {last}"
    found = repr(path.suffix) if path.suffix else "no suffix"
    raise WeightsError(str(path), expected, found, "choose one of these formats")
