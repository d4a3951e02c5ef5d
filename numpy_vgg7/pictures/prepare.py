"""From the grey values of a picture to the image that the network sees."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from numpy_vgg7.functional import Array
from numpy_vgg7.pictures import ink, shapes
from numpy_vgg7.pictures.centre import centred, is_centred

PAPER = 0.1  # of the ink's absorption: what absorbs less is background
SOFT_EDGE = 1 / 40  # of the digit's size: how far its outline fades


class Prepared(NamedTuple):
    """An image (S, S) in 0..1, bright on black; how it was made; and what may be wrong with it."""

    image: Array
    assumed: str
    warnings: tuple[str, ...]


def prepare(grey: Array, image_size: int) -> Prepared | None:
    """Find the digit in the grey values of a picture, (H, W), at any scale. None if there is no ink.

    An image of the model's size is used as it is, with the contrast stretched, if its digit already has the
    size and the place of the training images.
    """
    if grey.max() == grey.min():
        return None
    stretched = ink.normalised(grey)
    dark = ink.is_dark_on_light(stretched)
    assumed = "dark on light, inverted" if dark else "light on dark"
    bright = 1 - stretched if dark else stretched
    if bright.shape == (image_size, image_size) and is_centred(bright):
        return Prepared(bright, assumed, ())
    absorbed = ink.absorption(1 - bright)
    paper, noise = ink.paper_and_noise(absorbed)
    absorbed -= paper
    digit = shapes.find_digit(absorbed, noise)
    if digit is None:
        return None
    image = centred(_isolated(absorbed, digit, noise), digit.mask, image_size)
    assumed += f", digit cropped and resized to {image_size}x{image_size}"
    if digit.specks:
        assumed += f", {digit.specks} speck{'s' * (digit.specks > 1)} left out"
    return Prepared(image, assumed, digit.warnings)


def _isolated(absorbed: Array, digit: shapes.Digit, noise: float) -> Array:
    """The digit alone, (H, W) in 0..1: 0 on paper, 1 in ink."""
    paper = max(PAPER * digit.ink, 2 * noise)
    values = np.clip((absorbed - paper) / max(digit.ink - paper, 1e-6), 0, 1)
    size = max(np.ptp(np.argwhere(digit.mask), axis=0)) + 1
    around = ndimage.binary_dilation(digit.mask, iterations=max(1, round(size * SOFT_EDGE)))
    isolated: Array = np.where(around, values, 0).astype(np.float32)
    return isolated
