"""Weights as npz files: a zip archive with one npy file per array."""

import io
from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from numpy_vgg7 import files
from numpy_vgg7.errors import WeightsError
from numpy_vgg7.weights.archive import Archive
from numpy_vgg7.weights.record import KEY
from numpy_vgg7.weights.tensors import Tensors, damaged, plain

# What a damaged header raises: it is a Python literal.
_HEADER_ERRORS = (
    ValueError, TypeError, KeyError, SyntaxError, OverflowError, RecursionError, MemoryError, TokenError,
)  # fmt: skip


def read_npz(path: Path) -> tuple[Tensors, str | None]:
    """Arrays and metadata of an npz file; pickled objects are refused. Raises WeightsError."""
    files.require_file(path, WeightsError)
    archive = Archive(path, "npz file of plain numeric arrays")
    tensors = {name.removesuffix(".npy"): _array(archive, name) for name in archive.entries}
    metadata = tensors.pop(KEY, None)
    return tensors, None if metadata is None else str(metadata)


def _array(archive: Archive, name: str) -> NDArray[Any]:
    content = archive.read(name)
    stream = io.BytesIO(content)
    try:
        version = npy.read_magic(stream)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = header(stream)
        if dtype.hasobject:
            raise ValueError("objects, which are never loaded: allow_pickle is off")
        if prod(shape) * dtype.itemsize != len(content) - stream.tell():
            raise ValueError(f"shape {shape} does not fit its {len(content):,} bytes")
        flat = np.frombuffer(content, dtype, offset=stream.tell())
        return flat.reshape(shape, order="F" if fortran else "C")
    except _HEADER_ERRORS as error:
        raise damaged(archive.path, "npz file of plain numeric arrays", f"{name}: {error}") from error


def write_npz(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write an npz file. The metadata becomes one more array, a string."""
    files.write_bytes(path, npz_bytes({KEY: np.array(metadata)} | tensors))


def npz_bytes(arrays: Tensors) -> bytes:
    """The content of an npz file."""
    archive = io.BytesIO()
    np.savez(archive, **{name: plain(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return archive.getvalue()
