"""Validation of images and labels."""

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array, Labels


def as_images(images: Array, image_size: int | None, dtype: str, source: str = "images") -> Array:
    """Return pixels (N, 1, H, W) of `dtype` in 0..1, from (N, H, W) or (N, 1, H, W).

    8-bit pixels (uint8) are divided by 255; all others must be in 0..1 already. Any size is accepted where
    `image_size` is None. `source` names the images in errors.

    Raises DataError on a wrong shape, an empty set, NaN, or pixels out of range.
    """
    images = np.asarray(images)
    found = f"shape {images.shape}"
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] != 1 or images.shape[2] != images.shape[3]:
        expected = "square grey images of shape (N, H, W) or (N, 1, H, W)"
        raise DataError(source, expected, found, "reshape them, or average the colours")
    if not images.size:
        raise DataError(source, "at least one image", found, "add images")
    height, width = images.shape[2:]
    if image_size is not None and height != image_size:
        expected = f"{image_size}x{image_size} pixels, as the model requires"
        raise DataError(source, expected, f"{height}x{width}", "resize them, or use a model of their size")
    if images.dtype == np.uint8:
        scaled: Array = images.astype(dtype) / np.dtype(dtype).type(255)
        return scaled
    if images.dtype.kind not in "fiub":
        raise DataError(source, "numbers", f"dtype {images.dtype}", "save pixels as floats")
    if not np.isfinite(images).all():
        bad = int(np.argmax(~np.isfinite(images).all(axis=(1, 2, 3))))
        raise DataError(
            source, "finite pixels", f"NaN or infinity in image {bad}", "fix or remove that image"
        )
    low, high = images.min(), images.max()
    if low < 0 or high > 1:
        fix = "divide by the largest possible pixel (255 for 8-bit images), or save as uint8"
        raise DataError(source, "pixels in 0..1", f"{low:.6g}..{high:.6g}", fix)
    return images.astype(dtype)


def as_labels(labels: Array, count: int, classes: int, source: str = "labels") -> Labels:
    """Return `count` integer labels in 0..classes-1, shape (count,). Raises DataError on anything else."""
    labels = np.asarray(labels)
    if labels.shape != (count,):
        expected = f"one label for each of {count} images, shape ({count},)"
        fix = "give class numbers, not one-hot rows, in the order of the images"
        raise DataError(source, expected, f"shape {labels.shape}", fix)
    if labels.dtype.kind not in "iu":
        raise DataError(source, "integers", f"dtype {labels.dtype}", "convert the labels")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        index = int(np.argmax(outside))
        found = f"label {labels[index]} at index {index}"
        fix = "number the classes from 0, or remove that image"
        raise DataError(source, f"labels 0..{classes - 1}", found, fix)
    return labels.astype(np.int64)
