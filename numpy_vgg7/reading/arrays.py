"""NumPy's files: arrays of plain numbers or text only, which take no more memory than the file contains."""

import os
from io import BytesIO
from math import prod
from pathlib import Path
from typing import IO

import numpy as np
from numpy.lib import format as npy

from numpy_vgg7.errors import DataError, VGG7Error
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.reading.border import NUMBERS, WIDEST, FileKind, without_warnings
from numpy_vgg7.reading.zips import Archive

PLAIN = "biufUS"  # kinds of dtypes: whole and real numbers, and text
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
LONGEST_HEADER = 12 + 10_000  # bytes, with what is before it: NumPy reads no longer ones
CHUNK = 1 << 20  # bytes that are expanded at a time
WRITE = "write it with numpy.savez or numpy.save"


def read_npz(path: Path, error: type[VGG7Error] = DataError, fix: str = WRITE) -> Arrays:
    """All arrays of an npz file. Raises `error`; pickled objects and structures are refused."""
    kind = FileKind("npz file of plain numeric arrays", error, fix)
    archive = Archive(path, kind, NUMBERS, "write it without compression: numpy.savez")
    arrays: Arrays = {}
    taken = 0
    for name, entry in archive.entries.items():
        with archive.opened(name) as stream:
            try:
                array = _Stored(stream, entry.file_size)
                taken += array.count * max(array.dtype.itemsize, WIDEST)
                if archive.compressed and taken > archive.most:
                    raise archive.too_large(f"{taken:,}, as float64")
                arrays[name.removesuffix(".npy")] = array.read()
            except ValueError as found:
                raise kind.damaged(path, f"{name}: {found}") from found
    return arrays


def read_npy(path: Path) -> Array:
    """The array of an npy file. Raises DataError; pickled objects and structures are refused."""
    kind = FileKind("npy file of one plain numeric array", DataError, WRITE)
    with kind.opened(path) as file:
        if file.peek(2).startswith(b"PK"):
            raise ValueError("an archive of several arrays")
        return _Stored(file, os.fstat(file.fileno()).st_size).read()


class _Stored:
    """An array in an npy file of `size` bytes, of which only the header was read, and the first numbers.

    Raises ValueError, and what NumPy raises.
    """

    def __init__(self, stream: IO[bytes], size: int) -> None:
        self._stream = stream
        start = BytesIO(stream.read(LONGEST_HEADER))
        version = npy.read_magic(start)
        if version not in HEADERS:
            raise ValueError(f"version {version[0]}.{version[1]} of the format, which only structures need")
        with without_warnings():
            self._shape, self._fortran, self.dtype = HEADERS[version](start)
        if self.dtype.hasobject:
            raise ValueError("objects, which are never loaded: allow_pickle is off")
        if self.dtype.kind not in PLAIN or self.dtype.subdtype:
            raise ValueError(f"dtype {self.dtype}, not plain numbers or text")
        self.count = prod(self._shape)
        claimed, found = self.count * self.dtype.itemsize, size - start.tell()
        if claimed != found:
            raise ValueError(f"shape {self._shape} and dtype {self.dtype} do not fit its {found:,} bytes")
        self._claimed, self._first = claimed, start.read()

    def read(self) -> Array:
        """The array; its memory is taken once, and filled as the file is expanded."""
        content = np.empty(self._claimed, np.uint8)
        done = len(self._first)
        content[:done] = np.frombuffer(self._first, np.uint8)
        while count := self._stream.readinto(content.data[done : done + CHUNK]):  # type: ignore[attr-defined]
            done += count
        if done != self._claimed or self._stream.read(1):  # at the end, checksums are verified
            raise ValueError(f"{done:,} bytes of {self._claimed:,}")
        return content.view(self.dtype).reshape(self._shape, order="F" if self._fortran else "C")
