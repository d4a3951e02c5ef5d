"""The border: what may enter the network as images and labels."""

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array, Labels


def as_images(images: Array, image_size: int | None, dtype: str, source: str = "images") -> Array:
    """Return (N, 1, H, W) pixels of `dtype` in 0..1, from (N, H, W) or (N, 1, H, W).

    8-bit pixels (uint8) are divided by 255; anything else must lie in 0..1 already.
    Where `image_size` is None, any size is right.
    Raises DataError on a wrong shape, an empty set, NaN, or pixels out of range.
    """
    images = np.asarray(images)
    found = f"shape {images.shape}"
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] != 1 or images.shape[2] != images.shape[3]:
        raise DataError(
            source,
            expected="square grey images of shape (N, H, W) or (N, 1, H, W)",
            found=found,
            fix="reshape them, or average the colours",
        )
    if not images.size:
        raise DataError(source, expected="at least one image", found=found, fix="add images")
    if image_size is not None and images.shape[2] != image_size:
        raise DataError(
            source,
            expected=f"{image_size}x{image_size} pixels, as the model has",
            found=f"{images.shape[2]}x{images.shape[3]}",
            fix="resize them, or use a model of their size",
        )
    if images.dtype == np.uint8:
        scaled: Array = images.astype(dtype) / np.dtype(dtype).type(255)
        return scaled
    if images.dtype.kind not in "fiub":
        raise DataError(
            source, expected="numbers", found=f"dtype {images.dtype}", fix="save pixels as floats"
        )
    if not np.isfinite(images).all():
        bad = int(np.argmax(~np.isfinite(images).all(axis=(1, 2, 3))))
        raise DataError(
            source,
            expected="finite pixels",
            found=f"NaN or infinity in image {bad}",
            fix="repair or drop that image",
        )
    low, high = images.min(), images.max()
    if low < 0 or high > 1:
        raise DataError(
            source,
            expected="pixels in 0..1",
            found=f"{low:.6g}..{high:.6g}",
            fix="divide by the largest possible pixel (255 for 8-bit images), or save as uint8",
        )
    return images.astype(dtype)


def as_labels(labels: Array, count: int, classes: int, source: str = "labels") -> Labels:
    """Return (N,) integer labels in 0..classes-1, one an image. Raises DataError otherwise."""
    labels = np.asarray(labels)
    if labels.shape != (count,):
        raise DataError(
            source,
            expected=f"one label for each of {count} images, shape ({count},)",
            found=f"shape {labels.shape}",
            fix="give class numbers, not one-hot rows, in the order of the images",
        )
    if labels.dtype.kind not in "iu":
        raise DataError(source, expected="integers", found=f"dtype {labels.dtype}", fix="convert the labels")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        index = int(np.argmax(outside))
        raise DataError(
            source,
            expected=f"labels 0..{classes - 1}",
            found=f"label {labels[index]} at index {index}",
            fix="renumber the classes from 0, or drop that image",
        )
    return labels.astype(np.int64)
