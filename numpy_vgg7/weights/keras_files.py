"""Keras' files: .keras, a zip archive with the layers and the weights, and the weights alone, .weights.h5.

HDF5 needs h5py, which comes with Keras; Keras itself is not needed, and nothing in a file is executed.
"""

import io
import json
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.errors import MissingDependencyError, WeightsError
from numpy_vgg7.reading import LONGEST_TEXT, Archive, FileKind
from numpy_vgg7.weights.chain import Described
from numpy_vgg7.weights.keras_layers import read_layers
from numpy_vgg7.weights.tensors import Tensors

EXPECTED = "file of Keras 3"
FIX = "save it in Keras 3: model.save('FILE.keras'), or model.save_weights('FILE.weights.h5')"
_KEYS = ("kernel", "bias")
_MOST_LAYERS = 1000
KERAS = FileKind(EXPECTED, WeightsError)


def read_keras(path: Path) -> tuple[Described, None]:
    """The network in a .keras file. Raises WeightsError, or MissingDependencyError without h5py."""
    archive = Archive(path, KERAS)
    for name in ("config.json", "model.weights.h5"):
        if name not in archive.entries:
            raise WeightsError(str(path), f"a {EXPECTED}", f"an archive without {name}", FIX)
    if archive.entries["config.json"].file_size > LONGEST_TEXT:
        raise KERAS.damaged(path, f"a config.json of {archive.entries['config.json'].file_size:,} bytes")
    weights = dict(_layers(archive.read("model.weights.h5"), path))
    with KERAS.parsing(path):
        return read_layers(json.loads(archive.read("config.json")), weights, str(path)), None


def read_h5(path: Path) -> tuple[Tensors, None]:
    """The weights in a .weights.h5 file, named "conv2d/kernel", "conv2d/bias", "conv2d_1/kernel", ...

    Raises WeightsError, or MissingDependencyError without h5py.
    """
    layers = _layers(KERAS.read(path), path)
    named = {f"{name}/{_key(i)}": array for name, arrays in layers for i, array in enumerate(arrays)}
    if not named:
        raise WeightsError(str(path), f"a {EXPECTED}", "HDF5 without layers", FIX)
    return named, None


def _key(index: int) -> str:
    return _KEYS[index] if index < len(_KEYS) else str(index)


def _layers(content: bytes, path: Path) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """The layers that have weights, and their arrays, in Keras' layout."""
    try:
        import h5py
    except ModuleNotFoundError as error:
        if error.name != "h5py":
            raise
        fix = "install it: pip install 'numpy-vgg7[keras]'"
        raise MissingDependencyError(str(path), "h5py", "no package h5py", fix) from error
    with KERAS.parsing(path), h5py.File(io.BytesIO(content), "r") as file:
        group = _member(file, "layers") if "layers" in file else {}
        if len(group) > _MOST_LAYERS:
            raise ValueError(f"{len(group)} layers")
        left = len(content)  # bytes: several names may lead to the same numbers
        for name in group:
            layer = _member(group, name)
            stored = _member(layer, "vars") if "vars" in layer else {}
            arrays = []
            for i in range(len(stored)):
                arrays.append(_array(_member(stored, str(i)), left))
                left -= arrays[-1].nbytes
            if arrays:
                yield name, arrays


def _member(group: Any, name: str) -> Any:
    """An entry of a group that is in this place: links lead anywhere, even into other files."""
    if type(group.get(name, getlink=True)).__name__ != "HardLink":
        raise ValueError(f"{name} is a link")
    return group[name]


def _array(dataset: Any, most: int) -> NDArray[Any]:
    """The numbers of a dataset; what it claims, at most `most` bytes, is checked first."""
    plain = dataset.chunks is None and not dataset.external and not dataset.is_virtual
    if dataset.dtype.kind not in "fiu" or not plain:
        raise ValueError(f"a dataset of {dataset.dtype} that Keras does not write")
    claimed = prod(dataset.shape) * dataset.dtype.itemsize
    if claimed > most or claimed != dataset.id.get_storage_size():
        raise ValueError(f"shape {dataset.shape} does not fit {dataset.id.get_storage_size():,} bytes")
    return np.asarray(dataset[()])
