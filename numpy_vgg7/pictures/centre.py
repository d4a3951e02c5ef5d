"""The size and place of a digit in the images that the network was trained on, as MNIST has them."""

from math import isqrt

import numpy as np
from PIL import Image
from scipy import ndimage

from numpy_vgg7.functional import Array
from numpy_vgg7.pictures.shapes import Mask

# By image size, the longer side of a digit: MNIST's have 20 pixels of 28, and the 8x8 digits fill the image.
BOXES = {8: 8, 28: 20}
OTHER_BOX = 0.75  # of the image, where the size has no entry
THINNEST = 1.6  # pixels: thinner strokes would become faint in an image of this size
EDGE = 0.1  # of the largest value: what belongs to the digit in an image that is already small


def box_size(image_size: int) -> int:
    """The longer side of a digit in pixels."""
    return BOXES.get(image_size, round(OTHER_BOX * image_size))


def is_centred(image: Array) -> bool:
    """Whether a bright digit on black, (S, S) in 0..1, has the size and the place of the training images."""
    size, box = len(image), box_size(len(image))
    margin = (size - box) // 2
    if margin and max(image[0].max(), image[-1].max(), image[:, 0].max(), image[:, -1].max()) > EDGE:
        return False
    rows, columns = (np.flatnonzero((image > EDGE).any(axis=axis)) for axis in (1, 0))
    longest = max(np.ptp(rows), np.ptp(columns)) + 1
    offset = np.abs(np.array(ndimage.center_of_mass(image)) - (size - 1) / 2).max()
    return bool(abs(longest - box) <= size / 20 and offset <= size / 20 + 0.5)


def thickened(digit: Array, scale: float) -> Array:
    """Widen strokes that would be thinner than THINNEST after a reduction by `scale`."""
    # The mean distance of the pixels of a stroke from its edge is a quarter of its width.
    mask = digit > digit.max() / 2
    width = 4 * float(ndimage.distance_transform_edt(mask)[mask].mean())
    radius = round((THINNEST / scale - width) / 2)
    if radius < 1:
        return digit
    return dilated(np.pad(digit, radius), radius)


def dilated(image: Array, radius: int) -> Array:
    """The largest value within a radius of each pixel, (H, W), of values >= 0; outside the image they are 0.

    Row by row of the disc: with a footprint, SciPy takes memory for the fourth power of the radius.
    """
    wider = np.zeros_like(image)
    for row in range(min(radius + 1, len(image))):
        size = 2 * isqrt(radius**2 - row**2) + 1
        across = ndimage.maximum_filter1d(image, size, axis=1, mode="constant")
        below, above = wider[row:], wider[: len(image) - row]
        np.maximum(below, across[: len(image) - row], out=below)
        np.maximum(above, across[row:], out=above)
    return wider


def centred(digit: Array, mask: Mask, image_size: int) -> Array:
    """Crop a bright digit on black to its mask and resize it to the box of the training images.

    The centre of mass comes to the centre of the image, (S, S) in 0..1, as far as the box stays inside. The
    largest value is 1.
    """
    box = box_size(image_size)
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    cropped = digit[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cropped = thickened(cropped, box / max(cropped.shape))
    height, width = (max(1, round(box * side / max(cropped.shape))) for side in cropped.shape)
    resized = Image.fromarray(cropped).resize((width, height), Image.Resampling.BILINEAR)
    small = np.clip(np.asarray(resized), 0, None)
    small = np.minimum(small / small.max(), 1)
    image = np.zeros((image_size, image_size), dtype=np.float32)
    centre = np.array(ndimage.center_of_mass(small))
    corner = np.rint((image_size - 1) / 2 - centre).astype(int)
    top, left = np.clip(corner, 0, np.array(image.shape) - small.shape)
    image[top : top + height, left : left + width] = small
    return image
