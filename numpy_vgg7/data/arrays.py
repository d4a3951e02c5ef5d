"""Data sets from npz files."""

import zipfile
from pathlib import Path

import numpy as np

from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.errors import DataError
from numpy_vgg7.inputs import as_images, as_labels


def load_npz(path: Path, classes: int, image_size: int | None = None) -> Dataset:
    """Load `images` and `labels` from an npz file; pickled objects are refused.

    Images are (N, H, W) or (N, 1, H, W), uint8 or floats in 0..1. Raises DataError.
    """
    arrays = {}
    for key in ("images", "labels"):
        what = f"{path}: {key}"
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays[key] = archive[key]
        except KeyError as error:
            raise DataError(
                what,
                expected="an array of that name",
                found=", ".join(archive.files) or "an empty file",
                fix="write it with numpy.savez(FILE, images=..., labels=...)",
            ) from error
        except (OSError, ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(
                what,
                expected="a plain numeric array in an npz file",
                found=str(error),
                fix="write it with numpy.savez(FILE, images=..., labels=...)",
            ) from error
    images = as_images(arrays["images"], image_size, "float32", f"{path}: images")
    labels = as_labels(arrays["labels"], len(images), classes, f"{path}: labels")
    return Dataset(str(path), images, labels)
