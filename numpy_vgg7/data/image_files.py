"""Single pictures for `predict`: any PNG becomes what the network was trained on."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array
from numpy_vgg7.inputs import as_images
from numpy_vgg7.numpy_files import read_npy

INK = 0.2  # of the picture's contrast: what is brighter belongs to the digit
# MNIST centres 20 pixels of digit in 28; the 8x8 digits fill their frame.
MARGINS = {8: 0.0, 28: 4 / 28}
USUAL_MARGIN = 1 / 8

_UNREADABLE = (
    UnidentifiedImageError, OSError, SyntaxError, ValueError, MemoryError,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


class Picture(NamedTuple):
    """Images (N, 1, H, W) float32 in 0..1 from one file, and what was assumed to make them."""

    images: Array
    assumed: str


def read_pictures(path: Path, image_size: int) -> Picture:
    """Read a PNG (any size, grey or colour, either polarity) or a .npy array of images.

    A .npy holds one (H, W) or several (N, H, W) images at the model's own size, bright on black, and
    is taken as it is. Raises DataError.
    """
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise _error(path, "a PNG or .npy file", found, "check the path")
    if path.suffix == ".npy":
        array = read_npy(path)
        images = array[None] if array.ndim == 2 else array
        return Picture(as_images(images, image_size, "float32", str(path)), "taken as it is")
    grey, assumed = _bright_on_black(_read_png(path))
    if grey.max() == grey.min():
        raise _error(path, "a picture of a digit", "the same grey everywhere", "draw a digit on it")
    if grey.shape != (image_size, image_size):
        grey = _fit(grey, image_size)
        assumed += f", digit cropped and resized to {image_size}x{image_size}"
    return Picture(as_images(grey[None], image_size, "float32", str(path)), assumed)


def _read_png(path: Path) -> NDArray[np.float64]:
    """Grey values in 0..1; transparent parts are the paper: black for bright ink, else white."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=["PNG"])
        with opened as image:
            if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
                return np.asarray(image, dtype=np.float64) / 65535
            coloured = image.convert("RGBA")
    except _UNREADABLE as error:
        fix = "convert the picture to PNG"
        raise _error(path, "a whole PNG picture", f"something else ({error})", fix) from error
    pixels = np.asarray(coloured, dtype=np.float64)
    ink = pixels[..., :3][pixels[..., 3] > 127]
    bright = (pixels[..., 3] < 128).any() and ink.size and ink.mean() > 127
    paper = Image.new("RGBA", coloured.size, "black" if bright else "white")
    return np.asarray(Image.alpha_composite(paper, coloured).convert("L"), dtype=np.float64) / 255


def _bright_on_black(grey: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Invert where the border, which is taken for background, is brighter than the middle grey."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    if np.median(border) > (grey.min() + grey.max()) / 2:
        return 1 - grey, "dark on light, inverted"
    return grey, "light on dark"


def _fit(grey: NDArray[np.float64], image_size: int) -> NDArray[np.float64]:
    """Crop to the ink, centre it in a square with the margin of the training images, and resize."""
    low, high = grey.min(), grey.max()
    contrast = (grey - low) / (high - low)
    rows, columns = (np.flatnonzero((contrast > INK).any(axis=axis)) for axis in (1, 0))
    digit = contrast[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = round(max(digit.shape) / (1 - 2 * MARGINS.get(image_size, USUAL_MARGIN)))
    square = np.zeros((side, side))
    top, left = (side - digit.shape[0]) // 2, (side - digit.shape[1]) // 2
    square[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    small = Image.fromarray(square.astype(np.float32)).resize((image_size, image_size), Image.Resampling.BOX)
    return np.clip(np.asarray(small, dtype=np.float64), 0, 1)


def _error(path: Path, expected: str, found: str, fix: str) -> DataError:
    return DataError(str(path), expected=expected, found=found, fix=fix)
