"""Data sets from a folder with one folder of PNG or JPEG images for each class."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from numpy_vgg7.data.arrays import from_arrays
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.errors import DataError, remedy
from numpy_vgg7.functional import Array
from numpy_vgg7.inputs import BYTE, Encoding
from numpy_vgg7.pictures.decode import read_grey

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
# The names of folders that have the class folders of one part each.
TRAINING_FOLDERS, TEST_FOLDERS = ("train", "training"), ("test", "testing")


def load_folder(path: Path, classes: int | None, image_size: int | None, encoding: Encoding) -> Dataset:
    """Load PATH/CLASS/IMAGE.png, or PATH/train/CLASS/... with the official test part PATH/test/CLASS/...

    Images must be square and of one size; colours are averaged. Names of class folders are labels: numerals,
    the names in `encoding.class_names`, or else names numbered in alphabetical order. Raises DataError.
    """
    training, test = (_existing(path, names) for names in (TRAINING_FOLDERS, TEST_FOLDERS))
    folder = training or path
    notes: list[str] = []
    names = tuple(part.name for part in _class_folders(folder))
    numerals = all(name.isdecimal() for name in names)
    if not encoding.class_names and not numerals:
        if classes not in (None, len(names)):
            fix = "give all names in the order of the classes: --classes NAME,NAME,..."
            raise DataError(str(folder), f"{classes} class folders, as the model has", len(names), fix)
        encoding = replace(encoding, class_names=names)
        notes.append(f"{path}: classes in alphabetical order: {', '.join(names)}")
    images, labels, others = _read(folder)
    held_out = None
    if training and test:
        test_images, test_labels, more = _read(test)
        held_out, others = (test_images, test_labels), others + more
    if others:
        notes.append(f"{path}: {others} files that are not PNG or JPEG images were left out")
    dataset = from_arrays(
        str(path), images, labels, classes, image_size, encoding, held_out, ("images", "class folders")
    )
    return replace(dataset, notes=(*notes, *dataset.notes))


def _existing(path: Path, names: tuple[str, ...]) -> Path | None:
    return next((path / name for name in names if os.path.isdir(path / name)), None)


def _class_folders(folder: Path) -> list[Path]:
    found = [part for part in _entries(folder) if os.path.isdir(part) and part.name[0] not in "._"]
    if len(found) < 2:
        fix = "make a folder for each class, with its images inside"
        raise DataError(str(folder), "at least two class folders", len(found), fix)
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        fix = remedy(error, "check the path")
        raise DataError(str(folder), "a readable folder", error, fix) from error


def _read(folder: Path) -> tuple[Array, Array, int]:
    """The grey images (N, H, W) as bytes, the names of their folders, and the number of other files."""
    images: list[Array] = []
    labels: list[str] = []
    others = 0
    for part in _class_folders(folder):
        for path in _entries(part):
            kind = SUFFIXES.get(path.suffix.lower())
            if kind is None or path.name.startswith("."):
                others += not path.name.startswith(".")
                continue
            grey = read_grey(path, (kind,))
            if images and grey.shape != images[0].shape:
                expected = f"{_size(images[0])} pixels, as the images before it"
                raise DataError(str(path), expected, _size(grey), "resize all images to one square size")
            images.append(np.rint(grey * BYTE).astype(np.uint8))
            labels.append(part.name)
    if not images:
        raise DataError(str(folder), "PNG or JPEG images in its class folders", "none", "add images")
    return np.stack(images), np.array(labels), others


def _size(image: Array) -> str:
    height, width = image.shape
    return f"{height}x{width}"
