"""The ink of a picture: which way it differs from its background, and by how much, under uneven light."""

import numpy as np
from scipy import ndimage

from numpy_vgg7.functional import Array

BACKGROUND = 0.3  # of the longer side: no stroke is as wide as this square
FULL_CONTRAST = 0.95  # of 0..1
CLEAR_SKEWNESS = 1.0
SMOOTHING = 1 / 400  # of the longer side: the deviation of the Gaussian that reduces noise


def normalised(grey: Array) -> Array:
    """Stretch grey values to 0..1, unless they nearly fill it. They must not all be the same."""
    low, high = grey.min(), grey.max()
    if high - low > FULL_CONTRAST:
        return grey.astype(np.float32)
    stretched: Array = ((grey - low) / (high - low)).astype(np.float32)
    return stretched


def is_dark_on_light(grey: Array) -> bool:
    """Whether the ink is darker than the background: the fewer pixels, with the larger differences.

    That is the sign of the third moment. If it is not clear, as where half of the pixels are ink, the border
    is taken for background. Light that falls off evenly, a linear function of the place, is removed before.
    """
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in grey.shape), indexing="ij")
    residual = grey - grey.mean()
    for slope in (rows, columns):  # orthogonal to each other and to a constant
        residual = residual - slope * (residual * slope).sum() / max(np.square(slope).sum(), 1e-12)
    skewness = np.mean(residual**3) / max(np.mean(residual**2), 1e-12) ** 1.5
    if abs(skewness) > CLEAR_SKEWNESS:
        return bool(skewness < 0)
    border = np.concatenate([residual[0], residual[-1], residual[:, 0], residual[:, -1]])
    return bool(np.median(border) > (residual.min() + residual.max()) / 2)


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
    absorbed -= np.median(absorbed)  # the closing follows the brightest noise
    return absorbed


def noise(absorbed: Array) -> float:
    """The standard deviation of the background, by the median, which little ink does not change."""
    return float(1.4826 * np.median(np.abs(absorbed)))
