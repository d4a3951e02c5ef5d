"""MNIST's test file (LeCun, Cortes and Burges 1998): 10,000 images, which are all that the article uses."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array, Labels
from numpy_vgg7.inputs import as_images, as_labels

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
IMAGE_SIZE = 28  # pixels per side
UNSIGNED_BYTES = 8  # the type code of an IDX file
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"


def read_t10k(folder: Path) -> Dataset:
    """The images (N, 1, 28, 28), pixels divided by 255, and the labels (N,) of the t10k files in a folder.

    Raises DataError as `read_pixels` does.
    """
    pixels, labels = read_pixels(folder)
    return Dataset("t10k", as_images(pixels, IMAGE_SIZE, "float32"), labels)


def read_pixels(folder: Path) -> tuple[Array, Labels]:
    """The 8-bit pixels (N, 28, 28) and the labels (N,) of the t10k files in a folder, gzipped or not.

    Raises DataError if a file is missing or damaged, if images have another size, or if labels do not fit.
    """
    path = _find(folder, IMAGES)
    pixels, labels = read_idx(path, 3), read_idx(_find(folder, LABELS), 1)
    count, height, width = pixels.shape
    if not count or (height, width) != (IMAGE_SIZE, IMAGE_SIZE):
        expected = f"images of {IMAGE_SIZE}x{IMAGE_SIZE} pixels"
        raise DataError(str(path), expected, f"{count} of {height}x{width}", "use the t10k file of MNIST")
    return pixels, as_labels(labels, count, 10, str(folder / LABELS))


def read_idx(path: Path, dimensions: int) -> Array:
    """The unsigned bytes of an IDX file, gzipped if its name ends in .gz. Raises DataError on anything else.

    The file holds two zeros, the type, the number of dimensions, the sizes as big-endian 32-bit numbers, and
    the data.
    """
    retry = "download it again"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(str(path), "a readable file", error, retry) from error
    start = 4 + 4 * dimensions
    magic = bytes([0, 0, UNSIGNED_BYTES, dimensions])
    if len(content) < start or content[:4] != magic:
        expected = f"an IDX file that starts with {magic.hex(' ')}"
        raise DataError(str(path), expected, content[:4].hex(" ") or "an empty file", retry)
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", dimensions, 4))
    if len(content) - start != prod(shape):
        expected = f"{' x '.join(map(str, shape))} bytes of data"
        raise DataError(str(path), expected, len(content) - start, retry)
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    fix = f"download it from {MIRROR} or another mirror of MNIST, and name its folder with --data-dir"
    raise DataError(str(folder / name), "the test file of MNIST, with or without .gz", "no such file", fix)
