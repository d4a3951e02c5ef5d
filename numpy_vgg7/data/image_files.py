"""Image files for `predict`: PNG files are converted to the format of the training images."""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from numpy_vgg7.errors import DataError
from numpy_vgg7.files import read_npy, require_file
from numpy_vgg7.functional import Array
from numpy_vgg7.inputs import PLAIN, Encoding, as_images

INK = 0.2  # fraction of the contrast: brighter pixels belong to the digit
# Empty fraction on each side: MNIST centres digits of 20 pixels in 28; the 8x8 digits fill the image.
MARGINS = {8: 0.0, 28: 4 / 28}
DEFAULT_MARGIN = 1 / 8

_UNREADABLE = (
    UnidentifiedImageError, OSError, SyntaxError, ValueError, MemoryError,
    Image.DecompressionBombError, Image.DecompressionBombWarning,
)  # fmt: skip


class ImageFile(NamedTuple):
    """The images of one file, (N, 1, H, W) float32 in 0..1, and the assumptions made in reading it."""

    images: Array
    assumed: str


def read_images(path: Path, image_size: int, encoding: Encoding = PLAIN) -> ImageFile:
    """Read a PNG (any size, grey or colour, either polarity) or an npy array of images.

    An npy file contains one image (H, W) or several (N, H, W) of the model's size, bright on black, as
    `as_images` accepts them; `encoding` is for it. Raises DataError.
    """
    require_file(path, DataError, "a PNG or .npy file")
    if path.suffix == ".npy":
        array, notes = read_npy(path), list[str]()
        images = array[None] if array.shape == (image_size, image_size) else array
        pixels = as_images(images, image_size, "float32", str(path), encoding, notes.append)
        said = [note.removeprefix(f"{path}: ") for note in notes]
        return ImageFile(pixels, ", ".join(said) or "used unchanged")
    grey, assumed = _bright_on_black(read_grey(path))
    if grey.max() == grey.min():
        raise DataError(str(path), "an image of a digit", "the same grey everywhere", "draw a digit on it")
    if grey.shape != (image_size, image_size):
        grey = _fit(grey, image_size)
        assumed += f", digit cropped and resized to {image_size}x{image_size}"
    return ImageFile(as_images(grey[None], image_size, "float32", str(path), Encoding(pixel_max=1)), assumed)


def read_grey(path: Path, kind: str = "PNG") -> NDArray[np.float64]:
    """Grey values in 0..1 of an image file of the format `kind`, (H, W). Raises DataError.

    Transparent pixels become black if the opaque ones are bright, else white.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(path, formats=[kind])
        with opened as image:
            if image.mode.startswith("I"):  # 16-bit grey, which Pillow would clip at 255
                return np.asarray(image, dtype=np.float64) / 65535
            coloured = image.convert("RGBA")
    except _UNREADABLE as error:
        fix = "convert the image to PNG"
        raise DataError(str(path), f"a complete {kind} image", f"something else ({error})", fix) from error
    pixels = np.asarray(coloured, dtype=np.float64)
    ink = pixels[..., :3][pixels[..., 3] > 127]
    bright = (pixels[..., 3] < 128).any() and ink.size and ink.mean() > 127
    background = Image.new("RGBA", coloured.size, "black" if bright else "white")
    return np.asarray(Image.alpha_composite(background, coloured).convert("L"), dtype=np.float64) / 255


def _bright_on_black(grey: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    """Invert if the border of the image, assumed to be background, is brighter than the middle grey."""
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    if np.median(border) > (grey.min() + grey.max()) / 2:
        return 1 - grey, "dark on light, inverted"
    return grey, "light on dark"


def _fit(grey: NDArray[np.float64], image_size: int) -> NDArray[np.float64]:
    """Crop to the digit, centre it in a square with the margin of the training images, and resize."""
    low, high = grey.min(), grey.max()
    contrast = (grey - low) / (high - low)
    rows, columns = (np.flatnonzero((contrast > INK).any(axis=axis)) for axis in (1, 0))
    digit = contrast[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    side = round(max(digit.shape) / (1 - 2 * MARGINS.get(image_size, DEFAULT_MARGIN)))
    square = np.zeros((side, side))
    top, left = (side - digit.shape[0]) // 2, (side - digit.shape[1]) // 2
    square[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    small = Image.fromarray(square.astype(np.float32)).resize((image_size, image_size), Image.Resampling.BOX)
    return np.clip(np.asarray(small, dtype=np.float64), 0, 1)
