"""Random rotation, scaling, translation and elastic distortion of training images."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.functional import Array

KNOTS = 4  # per side: elastic displacements are drawn on a 4 x 4 grid and interpolated smoothly


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
    centre = (size - 1) / 2
    i, j = (np.mgrid[:size, :size] - centre)[:, None] * scale
    row = np.cos(angle) * i - np.sin(angle) * j + centre + offset[0]
    column = np.sin(angle) * i + np.cos(angle) * j + centre + offset[1]
    if augmentation.elastic:
        interpolation, limit = _knot_weights(size), augmentation.elastic * size
        distortion = interpolation @ rng.uniform(-limit, limit, (2, n, KNOTS, KNOTS)) @ interpolation.T
        row, column = row + distortion[0], column + distortion[1]
    padded = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))  # black outside the image
    row, column = np.clip(row, -1, size) + 1, np.clip(column, -1, size) + 1
    top, left = np.minimum(row.astype(int), size), np.minimum(column.astype(int), size)
    down, right = row - top, column - left
    batch = np.arange(n)[:, None, None]
    warped: Array = (
        padded[batch, top, left] * (1 - down) * (1 - right)
        + padded[batch, top, left + 1] * (1 - down) * right
        + padded[batch, top + 1, left] * down * (1 - right)
        + padded[batch, top + 1, left + 1] * down * right
    )
    pixels: Array = np.clip(warped, 0, 1).astype(images.dtype)
    return pixels[:, None]


def _knot_weights(size: int) -> Array:
    """The weight of each knot at each pixel of a side, (size, KNOTS): 1 on the knot, 0 on its neighbours."""
    distance = np.abs(np.linspace(0, KNOTS - 1, size)[:, None] - np.arange(KNOTS))
    linear = np.maximum(1 - distance, 0)
    smooth: Array = linear * linear * (3 - 2 * linear)
    return smooth
