"""Reading and writing the files that a user names.

Reading reports every problem as a VGG7Error with the path. Writing is atomic: the content goes to a temporary
file in the same folder, is synced to the disk and then renamed.
"""

import os
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from numpy_vgg7.errors import ConfigError, DataError, OutputError, VGG7Error
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.temporary import replacing

# What NumPy raises for damaged files and other formats; MemoryError for one that claims more elements than
# there is memory.
_NUMPY_ERRORS = (
    OSError, ValueError, TypeError, LookupError, AttributeError, EOFError, RuntimeError, ArithmeticError,
    MemoryError, SyntaxError, tokenize.TokenError, struct.error, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


# Compressed files that expand to more than both are not read: images compress to about a tenth.
EXPANSION, ALWAYS_ALLOWED = 100, 2**28


def require_file(path: Path, error: type[VGG7Error], expected: str = "a file") -> None:
    """Raise `error` unless `path` is a file."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise error(str(path), expected, found, "check the path")


def read_text(path: Path) -> str:
    """Read a UTF-8 file. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(str(path), "a text file", error, "check the path") from error


def read_npz(path: Path) -> Arrays:
    """Read all arrays of an npz file; pickled objects are refused. Raises DataError."""
    require_file(path, DataError)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            _check_expansion(path, archive)
            return {name: archive[name] for name in archive.files}
    except _NUMPY_ERRORS as error:
        raise _not_numpy(path, "an npz file of plain numeric arrays", error) from error


def _check_expansion(path: Path, archive: "np.lib.npyio.NpzFile[Any]") -> None:
    """Raise DataError if an archive would expand by far more than arrays of images or weights do."""
    entries = archive.zip.infolist() if archive.zip else []
    claimed: int = sum(entry.file_size for entry in entries)
    size = path.stat().st_size
    if claimed > max(ALWAYS_ALLOWED, EXPANSION * size):
        found = f"{claimed} bytes in a file of {size}"
        fix = "if the file can be trusted, write it with numpy.savez, which does not compress"
        raise DataError(str(path), f"at most {EXPANSION}-fold compression", found, fix)


def read_npy(path: Path) -> Array:
    """Read the array of an npy file; pickled objects are refused. Raises DataError."""
    require_file(path, DataError)
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray):
            array.close()
            raise TypeError("an archive of several arrays")
    except _NUMPY_ERRORS as error:
        raise _not_numpy(path, "an npy file of one plain numeric array", error) from error
    return array


def _not_numpy(path: Path, expected: str, error: BaseException) -> DataError:
    found = str(error) or type(error).__name__
    return DataError(str(path), expected, found, "write it with numpy.savez or numpy.save")


def make_folder(path: Path) -> None:
    """Create a folder and its parents where they are missing. Raises OutputError."""
    try:
        path.mkdir(exist_ok=True, parents=True)
    except OSError as error:
        raise OutputError(str(path), "a folder to write to", error, "choose another") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: until it is complete and on the disk, `path` keeps its old content.

    Raises OutputError where the folder cannot be written to or the disk is full.
    """
    try:
        with replacing(path) as number:
            left = memoryview(content)
            while left:
                left = left[os.write(number, left) :]
            os.fsync(number)
    except OSError as error:
        found = (error.strerror or str(error)).lower()
        raise OutputError(
            str(path), "a place to write to", found, "choose another path, or make room"
        ) from error


def move(path: Path, target: Path) -> None:
    """Rename a file, in place of `target` if that exists. Raises OutputError."""
    try:
        os.replace(path, target)
    except OSError as error:
        raise OutputError(str(target), "a place to write to", error, "check the folder's rights") from error


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically. Raises OutputError."""
    write_bytes(path, content.encode())
