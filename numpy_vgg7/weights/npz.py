"""Weights as npz files: a zip archive with one npy file per array."""

import io
from pathlib import Path

import numpy as np

from numpy_vgg7 import files, reading
from numpy_vgg7.errors import WeightsError
from numpy_vgg7.weights.record import KEY
from numpy_vgg7.weights.tensors import Tensors, plain


def read_npz(path: Path) -> tuple[Tensors, str | None]:
    """Arrays and metadata of an npz file; pickled objects are refused. Raises WeightsError."""
    tensors: Tensors = reading.read_npz(path, WeightsError, reading.COPY)
    metadata = tensors.pop(KEY, None)
    return tensors, None if metadata is None else str(metadata)


def write_npz(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write an npz file. The metadata becomes one more array, a string."""
    files.write_bytes(path, npz_bytes({KEY: np.array(metadata)} | tensors))


def npz_bytes(arrays: Tensors) -> bytes:
    """The content of an npz file."""
    archive = io.BytesIO()
    np.savez(archive, **{name: plain(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return archive.getvalue()
