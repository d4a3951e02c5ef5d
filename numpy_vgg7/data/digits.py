"""The 1,797 handwritten digits of 8x8 pixels that are part of scikit-learn: no download."""

from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.inputs import as_images, as_labels

MAX_PIXEL = 16  # a pixel counts the set dots in a 4x4 block of the scan (Alpaydin and Kaynak 1998)


def load_digits(classes: int, image_size: int | None = None) -> Dataset:
    """All digits, pixels scaled from 0..16 to 0..1, bright strokes on black."""
    from sklearn.datasets import load_digits as load

    digits = load()
    images = as_images(digits.images / MAX_PIXEL, image_size, "float32", "digits")
    return Dataset("digits", images, as_labels(digits.target, len(images), classes, "digits"))
