"""Data sets from npz files."""

from pathlib import Path

from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.errors import DataError
from numpy_vgg7.files import read_npz
from numpy_vgg7.inputs import as_images, as_labels


def load_npz(path: Path, classes: int, image_size: int | None = None) -> Dataset:
    """Load `images` and `labels` from an npz file; pickled objects are refused.

    Images are (N, H, W) or (N, 1, H, W), uint8 or floats in 0..1. Raises DataError.
    """
    arrays = read_npz(path)
    for key in ("images", "labels"):
        if key not in arrays:
            found = ", ".join(arrays) or "an empty file"
            fix = "write it with numpy.savez(FILE, images=..., labels=...)"
            raise DataError(f"{path}: {key}", "an array of that name", found, fix)
    images = as_images(arrays["images"], image_size, "float32", f"{path}: images")
    labels = as_labels(arrays["labels"], len(images), classes, f"{path}: labels")
    return Dataset(str(path), images, labels)
