"""The test file of MNIST (LeCun, Cortes and Burges 1998), 10,000 images: all that the article uses."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array
from numpy_vgg7.inputs import as_images, as_labels

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
UNSIGNED_BYTES = 8  # the type code of an IDX file


def read_t10k(folder: Path) -> Dataset:
    """The images (10000, 1, 28, 28) and labels in a folder, gzipped or not. Raises DataError."""
    pixels, labels = read_idx(_find(folder, IMAGES), 3), read_idx(_find(folder, LABELS), 1)
    images = as_images(pixels, None, "float32", f"{folder / IMAGES}")
    return Dataset("t10k", images, as_labels(labels, len(images), 10, f"{folder / LABELS}"))


def read_idx(path: Path, dimensions: int) -> Array:
    """The unsigned bytes of an IDX file: two zeros, type, number of dimensions, sizes, then the data.

    Sizes are big-endian 32-bit numbers. Raises DataError on anything else.
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise _error(path, "a readable file", str(error), "download it again") from error
    start = 4 + 4 * dimensions
    expected = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    if len(content) < start or content[:4] != expected:
        what = f"an IDX file that starts with {expected.hex(' ')}"
        raise _error(path, what, content[:4].hex(" ") or "an empty file", "download it again")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    if len(content) - start != prod(shape):
        what = f"{' x '.join(map(str, shape))} bytes of data"
        raise _error(path, what, f"{len(content) - start}", "download it again")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    raise _error(
        folder / name,
        "the test file of MNIST, with or without .gz",
        "no such file",
        "get it from https://ossci-datasets.s3.amazonaws.com/mnist/ or another mirror of MNIST,"
        " and name its folder with --data-dir",
    )


def _error(path: Path, expected: str, found: str, fix: str) -> DataError:
    return DataError(str(path), expected=expected, found=found, fix=fix)
