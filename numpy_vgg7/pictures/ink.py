"""The ink of a picture: which way it differs from its background, and by how much, under uneven light."""

import numpy as np
from scipy import ndimage

from numpy_vgg7.functional import Array

BACKGROUND = 0.3  # of the side: no stroke is as wide as this square
DARKEST = 0.02  # of white: paper in the deepest shade
FITS = 6  # of the light
LARGEST_ERROR = 0.1  # of the range of the light, in fitting it
FULL_CONTRAST = 0.95  # of 0..1
CLEAR_SKEWNESS = 1.0
SMOOTHING = 1 / 400  # of the side: the deviation of the Gaussian that reduces noise


def normalised(grey: Array) -> Array:
    """Stretch grey values to 0..1, unless they nearly fill it. They must not all be the same."""
    low, high = float(grey.min()), float(grey.max())
    if low >= 0 and high <= 1 and high - low > FULL_CONTRAST:
        return grey.astype(np.float32)
    stretched = (grey.astype(np.float64) - low) / (high - low)
    return np.clip(stretched, 0, 1).astype(np.float32)


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


def smooth_light(light: Array) -> Array | float:
    """The light on the paper as a quadratic function of the place, (H, W), fitted where there is no ink.

    Dark pixels are left out of the next fit until the rest has little spread. If no such function
    describes the light, as with a shadow, it is 1.
    """
    step = max(1, max(light.shape) // 64)
    rows, columns = np.meshgrid(*(np.linspace(-1, 1, n) for n in light.shape), indexing="ij")
    terms = np.stack([np.ones_like(rows), rows, columns, rows * columns, rows**2, columns**2], axis=-1)
    sample = terms[::step, ::step].reshape(-1, 6)
    values = ndimage.gaussian_filter(light, step)[::step, ::step].ravel()
    paper = np.ones(len(values), dtype=bool)
    for _ in range(FITS):
        coefficients = np.linalg.lstsq(sample[paper], values[paper], rcond=None)[0]
        residual = values - sample @ coefficients
        spread = np.median(np.abs(residual[paper]))
        paper = residual > -3 * spread - 1e-3
    fitted: Array = terms @ coefficients
    error = np.percentile(np.abs(residual[paper]), 90)
    return np.maximum(fitted, DARKEST) if error < LARGEST_ERROR * np.ptp(fitted) else 1.0


def absorption(light: Array) -> Array:
    """Dark ink on a light background -> the share of the light that each pixel absorbs, (H, W).

    The light is a smooth function, and on top of it the morphological closing, for shadows: what remains of
    the picture where everything narrower than a square is filled with the light around it. Dividing by it,
    and not subtracting, gives ink the same value in light and shade.
    """
    size = np.sqrt(light.size)
    even = ndimage.gaussian_filter(light, size * SMOOTHING) / smooth_light(light)
    side = max(3, round(size * BACKGROUND))
    background = ndimage.grey_closing(even, size=(side, side))
    absorbed: Array = 1 - even / np.maximum(background, DARKEST)
    return absorbed


def paper_and_noise(absorbed: Array) -> tuple[float, float]:
    """Mean and standard deviation of what paper absorbs. The mean is not quite 0: the closing follows noise.

    They are those of the normal distribution with the same lowest percentiles; ink has higher ones.
    """
    low, high = np.percentile(absorbed, (2, 10))
    deviation = float(high - low) / 0.772
    return float(high) + 1.282 * deviation, deviation
