"""The 1,797 handwritten digits of 8x8 pixels that are part of scikit-learn: no download."""

from numpy_vgg7.data.arrays import from_arrays
from numpy_vgg7.data.dataset import Dataset

MAX_PIXEL = 16  # a pixel counts the set dots in a 4x4 block of the scan (Alpaydin and Kaynak 1998)
CLASSES = 10


def load_digits(classes: int | None = CLASSES, image_size: int | None = None) -> Dataset:
    """All digits, pixels scaled from 0..16 to 0..1, bright strokes on black."""
    from sklearn.datasets import load_digits as load

    digits = load()
    return from_arrays("digits", digits.images / MAX_PIXEL, digits.target, classes or CLASSES, image_size)
