"""Reading .npz and .npy files that others wrote."""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array, Arrays

# What NumPy raises for files that are not what they seem, among them one that claims more elements
# than there is memory.
_FOREIGN = (
    OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, NotImplementedError, RuntimeError,
    MemoryError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


def read_npz(path: Path) -> Arrays:
    """All arrays of an npz file; pickled objects are refused. Raises DataError."""
    _require_file(path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except _FOREIGN as error:
        raise _unreadable(path, "an npz file of plain numeric arrays", error) from error


def read_npy(path: Path) -> Array:
    """The array of an npy file; pickled objects are refused. Raises DataError."""
    _require_file(path)
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array.close()
            raise TypeError("an archive of several arrays")
    except _FOREIGN as error:
        raise _unreadable(path, "an npy file of one plain numeric array", error) from error
    return array


def _require_file(path: Path) -> None:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise DataError(str(path), expected="a file", found=found, fix="check the path")


def _unreadable(path: Path, expected: str, error: BaseException) -> DataError:
    found = str(error) or type(error).__name__
    return DataError(str(path), expected=expected, found=found, fix="write it with numpy.savez or numpy.save")
