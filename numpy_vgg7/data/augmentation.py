"""Random rotation, scaling, translation and elastic distortion of training images."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.functional import Array

KNOTS = 4  # per side: elastic displacements are drawn on a 4 x 4 grid and interpolated smoothly
IMAGES = 16  # warped at a time, so that their arrays stay in the cache


@dataclass(frozen=True)
class Augmentation:
    """The ranges of the random changes; each is drawn uniformly from -value to +value.

    rotation: radians. scale: fraction of each side. translation: fraction of the side. elastic: displacement
    of a knot, a fraction of the side.
    """

    rotation: float
    scale: float
    translation: float
    elastic: float = 0.0


AUGMENTATIONS = {
    "gentle": Augmentation(np.deg2rad(10.0), 0.1, 1 / 8),  # one pixel of 8
    "strong": Augmentation(np.deg2rad(15.0), 0.15, 1 / 14, 1 / 18),  # two pixels of 28; one and a half
}


def augment(
    images: Array, rng: np.random.Generator, augmentation: Augmentation = AUGMENTATIONS["gentle"]
) -> Array:
    """Rotate, scale, translate and distort each image at random: (N, 1, H, W) -> the same shape and dtype.

    Interpolation is bilinear, with black outside the image, so pixels stay in 0..1. The elastic distortion is
    that of Simard, Steinkraus and Platt (2003), on a coarse grid.
    """
    n, _, size, _ = images.shape
    angle = rng.uniform(-augmentation.rotation, augmentation.rotation, (n, 1, 1))
    scale = rng.uniform(1 - augmentation.scale, 1 + augmentation.scale, (2, n, 1, 1))
    offset = rng.uniform(-augmentation.translation * size, augmentation.translation * size, (2, n, 1, 1))
    knots = np.zeros((2, n, 0, 0))
    if augmentation.elastic:
        limit = augmentation.elastic * size
        knots = rng.uniform(-limit, limit, (2, n, KNOTS, KNOTS))
    warped = np.empty_like(images)
    for start in range(0, n, IMAGES):
        some = slice(start, start + IMAGES)
        row, column = _sources(size, angle[some], scale[:, some], offset[:, some], knots[:, some])
        np.clip(_interpolate(images[some, 0], row, column), 0, 1, out=warped[some, 0], casting="same_kind")
    return warped


def _sources(size: int, angle: Array, scale: Array, offset: Array, knots: Array) -> tuple[Array, Array]:
    """Row and column of the original at which each pixel of the result is found, (n, size, size) both.

    angle (n, 1, 1) in radians; scale (2, n, 1, 1) of rows and of columns; offset (2, n, 1, 1) and knots
    (2, n, KNOTS, KNOTS), or of size 0, in pixels. Rotation and scaling keep the centre.
    """
    centre = (size - 1) / 2
    along = np.arange(size) - centre
    i, j = along[:, None] * scale[0], along * scale[1]  # (n, size, 1), (n, 1, size)
    row = np.cos(angle) * i - np.sin(angle) * j
    row += centre
    row += offset[0]
    column = np.sin(angle) * i + np.cos(angle) * j
    column += centre
    column += offset[1]
    if knots.size:
        interpolation = _knot_weights(size)
        distortion = interpolation @ knots @ interpolation.T
        row += distortion[0]
        column += distortion[1]
    return row, column


def _interpolate(images: Array, row: Array, column: Array) -> Array:
    """Bilinear interpolation of images (n, size, size), black outside, at rows and columns of pixels."""
    n, size, _ = images.shape
    side = size + 2  # with a black border
    padded = np.zeros((n, side, side))
    padded[:, 1:-1, 1:-1] = images
    corners, weights = [], []
    for position in (row, column):
        np.clip(position, -1, size, out=position)
        position += 1
        corner = np.minimum(position.astype(np.intp), size)
        position -= corner
        corners.append(corner)
        weights.append((1 - position, position))
    top, left = corners
    index = (top + (np.arange(n) * side)[:, None, None]) * side + left
    total = np.zeros_like(row)
    for below, row_weight in enumerate(weights[0]):
        for right, column_weight in enumerate(weights[1]):
            pixels = padded.reshape(-1)[below * side + right :].take(index)
            pixels *= row_weight
            pixels *= column_weight
            total += pixels
    return total


def _knot_weights(size: int) -> Array:
    """The weight of each knot at each pixel of a side, (size, KNOTS): 1 on the knot, 0 on its neighbours."""
    distance = np.abs(np.linspace(0, KNOTS - 1, size)[:, None] - np.arange(KNOTS))
    linear = np.maximum(1 - distance, 0)
    smooth: Array = linear * linear * (3 - 2 * linear)
    return smooth
