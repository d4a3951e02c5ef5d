"""NumPy's files: arrays of plain numbers or text only, which take no more memory than the file contains."""

from io import BytesIO
from math import prod
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from numpy_vgg7.errors import DataError, VGG7Error
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.reading.border import FileKind, without_warnings
from numpy_vgg7.reading.zips import Archive

PLAIN = "biufUS"  # kinds of dtypes: whole and real numbers, and text
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
WRITE = "write it with numpy.savez or numpy.save"


def read_npz(path: Path, error: type[VGG7Error] = DataError, fix: str = WRITE) -> Arrays:
    """All arrays of an npz file. Raises `error`; pickled objects and structures are refused."""
    kind = FileKind("npz file of plain numeric arrays", error, fix)
    archive = Archive(path, kind, "write it without compression: numpy.savez")
    arrays = {}
    for name in archive.entries:
        with kind.parsing(path):
            try:
                arrays[name.removesuffix(".npy")] = _array(archive.read(name))
            except ValueError as found:
                raise kind.damaged(path, f"{name}: {found}") from found
    return arrays


def read_npy(path: Path) -> Array:
    """The array of an npy file. Raises DataError; pickled objects and structures are refused."""
    kind = FileKind("npy file of one plain numeric array", DataError, WRITE)
    content = kind.read(path)
    if content.startswith(b"PK"):
        raise kind.damaged(path, "an archive of several arrays")
    with kind.parsing(path):
        return _array(content)


def _array(content: bytes) -> Array:
    """The array in the content of an npy file, which it shares. Raises ValueError, and what NumPy raises."""
    stream = BytesIO(content)
    version = npy.read_magic(stream)
    if version not in HEADERS:
        raise ValueError(f"version {version[0]}.{version[1]} of the format, which only structures need")
    with without_warnings():
        shape, fortran, dtype = HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("objects, which are never loaded: allow_pickle is off")
    if dtype.kind not in PLAIN or dtype.subdtype:
        raise ValueError(f"dtype {dtype}, not plain numbers or text")
    claimed, found = prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if claimed != found:
        raise ValueError(f"shape {shape} and dtype {dtype} do not fit its {found:,} bytes")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape, order="F" if fortran else "C")
