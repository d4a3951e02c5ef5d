"""IDX files, the format of MNIST (LeCun, Cortes and Burges 1998): unsigned bytes, gzipped or not."""

import gzip
from io import SEEK_END, BufferedIOBase
from math import prod
from pathlib import Path

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.files import write_bytes
from numpy_vgg7.functional import Array
from numpy_vgg7.reading import NUMBERS, WIDEST, FileKind, most_bytes

UNSIGNED_BYTES = 8  # the type code
GZIP = b"\x1f\x8b"
KIND = FileKind("IDX file", fix="download it again")


def read_idx(path: Path, dimensions: int) -> Array:
    """The bytes of an IDX file, gzipped or not, with as many dimensions. Raises DataError on anything else.

    The file holds two zeros, the type, the number of dimensions, the sizes as big-endian 32-bit numbers, and
    the data. Memory is allocated after the sizes are known to fit the file.
    """
    with KIND.opened(path) as raw:
        compressed = raw.read(2) == GZIP
        size = raw.seek(0, SEEK_END)
        raw.seek(0)
        if not compressed:
            return _read(raw, path, dimensions, size)
        with gzip.GzipFile(fileobj=raw) as file:
            return _read(file, path, dimensions, most_bytes(size, NUMBERS) // WIDEST)


def _read(file: BufferedIOBase, path: Path, dimensions: int, limit: int) -> Array:
    """Read an IDX file of at most `limit` bytes."""
    retry = "download it again"
    magic = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    start = len(magic) + 4 * dimensions
    header = file.read(start)
    if len(header) < start or header[:4] != magic:
        if header[:3] == magic[:3] and header[3] in (1, 3):
            retry = f"exchange images and labels if they are swapped, or {retry}"
        found = header[:4].hex(" ") or "an empty file"
        if header.lstrip()[:1] == b"<":
            found += ", a web page"
        raise DataError(str(path), f"an IDX file that starts with {magic.hex(' ')}", found, retry)
    shape = tuple(int(size) for size in np.frombuffer(header, ">u4", dimensions, 4))
    expected = f"{' x '.join(map(str, shape))} bytes of data"
    if start + prod(shape) > limit:
        raise DataError(str(path), expected, f"at most {limit - start}, by the size of the file", retry)
    data = np.empty(prod(shape), np.uint8)
    view, done = data.data, 0
    while done < len(view) and (count := file.readinto(view[done:])):
        done += count
    if done < len(view) or file.read(1):
        raise DataError(str(path), expected, "more" if done == len(view) else done, retry)
    return data.reshape(shape)


def write_idx(path: Path, array: Array) -> None:
    """Write unsigned bytes as an IDX file. Raises OutputError."""
    sizes = np.array(array.shape, ">u4").tobytes()
    header = bytes([0, 0, UNSIGNED_BYTES, array.ndim]) + sizes
    write_bytes(path, header + np.ascontiguousarray(array, np.uint8).tobytes())
