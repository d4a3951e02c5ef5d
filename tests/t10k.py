"""Data for the tests of the article: MNIST if NUMPY_VGG7_DATA names its folder, else a substitute."""

import os
from pathlib import Path

import numpy as np

from numpy_vgg7.data.digits import load_digits
from numpy_vgg7.data.mnist import IMAGES, LABELS

REAL = "NUMPY_VGG7_DATA" in os.environ


def idx(array):
    """The bytes of an IDX file of unsigned bytes."""
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def folder(make):
    """A folder with both files. Without MNIST, `make` gives an empty one for enlarged embedded digits."""
    if REAL:
        return Path(os.environ["NUMPY_VGG7_DATA"])
    digits, made = load_digits(10), make()
    large = np.kron(digits.images[:, 0], np.ones((1, 3, 3)))
    pixels = np.pad(np.rint(255 * large), ((0, 0), (2, 2), (2, 2)))
    (made / IMAGES).write_bytes(idx(pixels))
    (made / LABELS).write_bytes(idx(digits.labels))
    return made
