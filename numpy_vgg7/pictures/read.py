"""Files for `predict`: pictures of digits, and arrays of images."""

from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array
from numpy_vgg7.inputs import PLAIN, Encoding, as_images
from numpy_vgg7.pictures.decode import contrasting_grey, read_grey, reduced_colours
from numpy_vgg7.pictures.prepare import prepare
from numpy_vgg7.reading import read_npy

LONGEST = 512  # pixels per side: larger pictures are reduced
SAME_COLOUR = 0.98  # correlation of the channels of one picture; those of different digits have less


class ImageFile(NamedTuple):
    """The images of one file, (N, 1, H, W) float32 in 0..1; what was assumed in reading it; and warnings."""

    images: Array
    assumed: str
    warnings: tuple[str, ...] = ()


def read_images(path: Path, image_size: int, encoding: Encoding = PLAIN) -> ImageFile:
    """Read a picture of one digit, of any size, in any format of FORMATS; or an npy array.

    An npy file contains one image (H, W) or several (N, H, W) of the model's size, bright on black, as
    `as_images` accepts them, or a colour picture (H, W, 3) or (3, H, W); `encoding` is for it. Raises
    DataError.
    """
    if path.suffix.lower() != ".npy":
        return _picture(path, read_grey(path, longest=LONGEST), image_size)
    array, notes = read_npy(path), list[str]()
    colours = _colours(array)
    if colours is not None:
        file = _picture(path, contrasting_grey(reduced_colours(colours, LONGEST)), image_size)
        return file._replace(assumed=f"{array.shape} taken as one colour image, {file.assumed}")
    images = array[None] if array.shape == (image_size, image_size) else array
    pixels = as_images(images, image_size, "float32", str(path), encoding, notes.append)
    said = [note.removeprefix(f"{path}: ") for note in notes]
    return ImageFile(pixels, ", ".join(said) or "used unchanged")


def _picture(path: Path, grey: Array, image_size: int) -> ImageFile:
    """The digit in the grey values of a picture. Raises DataError if there is none."""
    prepared = prepare(grey, image_size)
    if prepared is None:
        found = "the same grey everywhere" if grey.min() == grey.max() else "nothing but background"
        raise DataError(str(path), "an image of a digit", found, "draw a digit on it")
    return ImageFile(prepared.image[None, None], *prepared[1:])


def _colours(array: Array) -> Array | None:
    """The pixels (H, W, 3) in 0..1 if an array is one colour picture, else None.

    Three grey images have the shape of a picture (3, H, W); its channels are recognized since they show the
    same.
    """
    if array.ndim != 3 or array.dtype.kind not in "fiu" or not np.isfinite(array).all() or not array.any():
        return None
    if array.shape[2] in (3, 4) and min(array.shape[:2]) > 4:
        array = array[..., :3]
    elif len(array) == 3 and _same_picture(array):
        array = array.transpose(1, 2, 0)
    else:
        return None
    colours: Array = (array / np.abs(array).max()).astype(np.float32)
    return colours


def _same_picture(channels: Array) -> bool:
    """Whether the channels (3, H, W) are the same up to brightness and contrast."""
    varied = [channel.ravel() for channel in channels if np.ptp(channel)]
    return all(abs(np.corrcoef(a, b)[0, 1]) >= SAME_COLOUR for a, b in combinations(varied, 2))
