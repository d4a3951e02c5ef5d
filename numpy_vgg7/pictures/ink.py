"""The ink of a picture: which way it differs from its background, and by how much, under uneven light."""

import numpy as np
from scipy import ndimage

from numpy_vgg7.functional import Array

BACKGROUND = 0.3  # of the longer side: no stroke is as wide as this square
SMOOTHING = 1 / 400  # of the longer side: the deviation of the Gaussian that reduces noise


def normalised(grey: Array) -> Array:
    """Stretch grey values to 0..1. They must not all be the same."""
    low, high = grey.min(), grey.max()
    stretched: Array = ((grey - low) / (high - low)).astype(np.float32)
    return stretched


def is_dark_on_light(grey: Array) -> bool:
    """Whether the ink is darker than the background: the fewer pixels, with the larger differences.

    Light that falls off smoothly, a quadratic function of the place, is removed before. The sign is that of
    the third moment. If it is small, since half of the pixels are ink, the border is taken for background.
    """
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in grey.shape), indexing="ij")
    terms = (np.ones_like(rows), rows, columns, rows * columns, rows**2, columns**2)
    surface = np.stack([term.ravel() for term in terms], axis=1)
    residual = grey.ravel() - surface @ np.linalg.lstsq(surface, grey.ravel(), rcond=None)[0]
    skewness = np.mean(residual**3) / np.mean(residual**2) ** 1.5
    if abs(skewness) > 0.5:
        return bool(skewness < 0)
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return bool(np.median(border) > (grey.min() + grey.max()) / 2)


def absorption(light: Array) -> Array:
    """Dark ink on a light background -> the share of the light that each pixel absorbs, 0 for the background.

    The background is the morphological closing: what remains of the picture where everything narrower than a
    square is filled with the light around it. Dividing by it, and not subtracting, gives ink the same value
    in light and shade.
    """
    smooth = ndimage.gaussian_filter(light, max(light.shape) * SMOOTHING)
    side = max(3, round(max(light.shape) * BACKGROUND))
    background = ndimage.grey_closing(smooth, size=(side, side))
    absorbed: Array = 1 - smooth / np.maximum(background, 1e-3)
    return absorbed - np.median(absorbed)  # the closing follows the brightest noise


def noise(absorbed: Array) -> float:
    """The standard deviation of the background, by the median, which little ink does not change."""
    return float(1.4826 * np.median(np.abs(absorbed)))
