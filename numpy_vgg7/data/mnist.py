"""MNIST (LeCun, Cortes and Burges 1998) and data sets in its format: four IDX files in a folder."""

import os
import sys
import zlib
from dataclasses import replace
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpy_vgg7.data.arrays import from_arrays
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.data.idx import read_idx, write_idx
from numpy_vgg7.errors import DataError
from numpy_vgg7.files import make_folder
from numpy_vgg7.functional import Array, Labels
from numpy_vgg7.inputs import PLAIN, Encoding, as_images, as_labels
from numpy_vgg7.reading import without_warnings

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
IMAGE_SIZE = 28  # pixels per side
MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FOLDER_VARIABLE = "NUMPY_VGG7_DATA"
KINDS = {"images": ("idx3", 3), "labels": ("idx1", 1)}  # the name of a file, its dimensions


class Collection(NamedTuple):
    """Where the files of a data set are below its folder, how their names begin, and its name at OpenML."""

    folders: tuple[str, ...]
    train: str = "train"
    test: str = "t10k"
    openml: str | None = None
    training_images: int = 60_000  # the first ones at OpenML
    transposed: bool = False
    labels_from: int = 0  # the label of the first class


def _emnist(part: str) -> Collection:
    folders = ("", "raw", "gzip", "EMNIST/raw")
    first = 1 if part == "letters" else 0
    return Collection(
        folders, f"emnist-{part}-train", f"emnist-{part}-test", transposed=True, labels_from=first
    )


EMNIST_PARTS = ("balanced", "byclass", "bymerge", "digits", "letters", "mnist")
COLLECTIONS = {
    "mnist": Collection(("", "raw", "MNIST/raw"), openml="mnist_784"),
    "fashion-mnist": Collection(("", "raw", "FashionMNIST/raw"), openml="Fashion-MNIST"),
} | {f"emnist-{part}": _emnist(part) for part in EMNIST_PARTS}


def read_t10k(folder: Path) -> Dataset:
    """The images (N, 1, 28, 28), pixels divided by 255, and the labels (N,) of the t10k files in a folder.

    Raises DataError as `read_pixels` does.
    """
    pixels, labels = read_pixels(folder)
    return Dataset("t10k", as_images(pixels, IMAGE_SIZE, "float32", encoding=Encoding(255)), labels)


def read_pixels(folder: Path) -> tuple[Array, Labels]:
    """The 8-bit pixels (N, 28, 28) and the labels (N,) of the t10k files in a folder, gzipped or not.

    Raises DataError if a file is missing or damaged, if images have another size, or if labels do not fit.
    """
    fix = f"download it from {MIRROR} or another mirror of MNIST, and name its folder with --data-dir"
    pixels, labels = _read_part(folder, "mnist", "t10k", fix)
    count, height, width = pixels.shape
    if not count or (height, width) != (IMAGE_SIZE, IMAGE_SIZE):
        expected = f"images of {IMAGE_SIZE}x{IMAGE_SIZE} pixels"
        path = str(folder / IMAGES)
        raise DataError(path, expected, f"{count} of {height}x{width}", "use the t10k file of MNIST")
    return pixels, as_labels(labels, count, 10, str(folder / LABELS))


def load_mnist(
    name: str,
    folder: Path | None,
    classes: int | None = None,
    image_size: int | None = None,
    encoding: Encoding = PLAIN,
    download: bool = False,
) -> Dataset:
    """Load one of COLLECTIONS with its official test part, as bytes.

    The files are in `folder`, else in the folder that NUMPY_VGG7_DATA names, else in the user's cache; with
    `download` they are put there if they are missing. Raises DataError.
    """
    collection, folder = COLLECTIONS[name], folder or default_folder(name)
    if download and _missing(folder, collection):
        download_openml(name, folder)
    fix = f"name the folder of the four files with --data-dir ({MIRROR} has MNIST's)"
    if collection.openml:
        fix += ", or give --download"
    images, labels = _read_part(folder, name, collection.train, fix)
    test = _read_part(folder, name, collection.test, fix)
    notes = []
    if collection.transposed:
        images, test = images.transpose(0, 2, 1), (test[0].transpose(0, 2, 1), test[1])
        notes.append(f"{name}: images transposed, as this collection stores them by columns")
    if collection.labels_from and not encoding.labels_from:
        encoding = replace(encoding, labels_from=collection.labels_from)
        notes.append(f"{name}: labels from {collection.labels_from}, as this collection has them")
    dataset = from_arrays(name, images, labels, classes, image_size, encoding, test)
    return replace(dataset, notes=(*dataset.notes, *notes))


def default_folder(name: str) -> Path:
    """Where the files of a collection are expected: $NUMPY_VGG7_DATA, or the user's cache."""
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named) if name == "mnist" else Path(named) / name
    return _cache() / "numpy-vgg7" / name


def _cache() -> Path:
    """The user's folder for files that can be downloaded again."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path(os.path.expanduser("~")) / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~")) / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~")) / ".cache")


def _read_part(folder: Path, name: str, part: str, fix: str) -> tuple[Array, Array]:
    """Images (N, H, W) and labels (N,) of the files whose names begin with `part`. Raises DataError."""
    arrays = []
    for kind, (idx, dimensions) in KINDS.items():
        path = _find(folder, COLLECTIONS[name], part, kind)
        if path is None:
            others = [
                other for other, files in COLLECTIONS.items()
                if part not in (files.train, files.test) and _find(folder, files, files.train, kind)
            ]  # fmt: skip
            if others:
                fix = (
                    f"this folder has the files of {', '.join(others)}: name that data set, or another folder"
                )
            expected = f"a file of {name}, with or without .gz"
            raise DataError(str(folder / f"{part}-{kind}-{idx}-ubyte"), expected, "no such file", fix)
        arrays.append(read_idx(path, dimensions))
    return arrays[0], arrays[1]


def _missing(folder: Path, collection: Collection) -> list[tuple[str, str]]:
    """Part and kind of the files that are not in a folder."""
    wanted = [(part, kind) for part in (collection.train, collection.test) for kind in KINDS]
    return [(part, kind) for part, kind in wanted if _find(folder, collection, part, kind) is None]


def _find(folder: Path, collection: Collection, part: str, kind: str) -> Path | None:
    """The file of images or labels, named with a dash or a dot, with or without .gz."""
    idx, _ = KINDS[kind]
    names = [f"{part}-{kind}{separator}{idx}-ubyte{gz}" for gz in ("", ".gz") for separator in "-."]
    paths = (folder / below / name for below in collection.folders for name in names)
    return next((path for path in paths if os.path.isfile(path)), None)


def download_openml(name: str, folder: Path) -> None:
    """Download a collection from OpenML and write the files that are missing.

    Raises DataError without a network.
    """
    from sklearn.datasets import fetch_openml

    collection = COLLECTIONS[name]
    manual = f"get the four files elsewhere ({MIRROR} has MNIST's) and name their folder with --data-dir"
    if collection.openml is None:
        raise DataError(
            f"--download {name}", "mnist or fashion-mnist", name, "name the folder with --data-dir"
        )
    try:
        with without_warnings():  # it says in several lines that it tries again
            found = fetch_openml(
                collection.openml, version=1, as_frame=False, parser="liac-arff", cache=False
            )
    except (OSError, EOFError, ValueError, HTTPException, zlib.error) as error:
        raise DataError(f"--download {name}", "an answer from openml.org", error, manual) from error
    pixels, labels = (np.asarray(getattr(found, key)) for key in ("data", "target"))
    if pixels.shape[0] <= collection.training_images or pixels.shape[1:] != (IMAGE_SIZE**2,):
        expected = f"more than {collection.training_images} rows of {IMAGE_SIZE**2} pixels"
        raise DataError(f"--download {name}", expected, f"shape {pixels.shape}", manual)
    images = pixels.reshape(-1, IMAGE_SIZE, IMAGE_SIZE).astype(np.uint8)
    make_folder(folder)
    arrays: dict[str, Array] = {"images": images, "labels": labels.astype(np.int64)}
    n = collection.training_images
    of_part = {collection.train: slice(None, n), collection.test: slice(n, None)}
    for part, kind in _missing(folder, collection):
        idx, _ = KINDS[kind]
        write_idx(folder / f"{part}-{kind}-{idx}-ubyte", arrays[kind][of_part[part]])
