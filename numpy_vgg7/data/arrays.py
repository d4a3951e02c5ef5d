"""Data sets from arrays: in memory, in npz files, and in pairs of npy files."""

from pathlib import Path

import numpy as np

from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.inputs import PLAIN, Encoding, as_labels, as_pixels, plain_array, unit_interval
from numpy_vgg7.reading import read_npy, read_npz

# The names of images and labels in npz files: this package's, Keras', and variants of it.
TRAINING_NAMES = (
    ("images", "labels"), ("x_train", "y_train"), ("train_images", "train_labels"), ("X_train", "y_train"),
)  # fmt: skip
TEST_NAMES = (("x_test", "y_test"), ("test_images", "test_labels"), ("X_test", "y_test"))
PAIR = ","  # between the names of the files of images and labels
BRIGHT_BORDER, BORDERS = 0.5, 10_000  # of white; images whose borders are looked at


def from_arrays(
    name: str,
    images: Array,
    labels: Array,
    classes: int | None = None,
    image_size: int | None = None,
    encoding: Encoding = PLAIN,
    test: tuple[Array, Array] | None = None,
    names: tuple[str, str] = ("images", "labels"),
) -> Dataset:
    """A data set from images and labels of any accepted form, and optionally a test part of the same form.

    `name` and `names` identify the arrays in errors. The assumptions that were made are the `notes` of the
    data set. Raises DataError.
    """
    notes: list[str] = []
    image_source, label_source = (f"{name}: {part}" for part in names)
    images, labels = plain_array(images, image_source), plain_array(labels, label_source)
    count = len(images) if images.ndim else 0
    held_out = None
    if test:
        test_images, test_labels = (plain_array(array, f"{name}, test part") for array in test)
        if not images.ndim or test_images.dtype != images.dtype or test_images.shape[1:] != images.shape[1:]:
            expected = f"test images like the others, {images.dtype} of shape {images.shape[1:]} each"
            found = f"{test_images.dtype} of shape {test_images.shape[1:]}"
            raise DataError(name, expected, found, "convert them in the same way")
        images = np.concatenate([images, test_images])  # one scale for both
    pixels = as_pixels(images, image_size, "float32", image_source, encoding, notes.append)
    if classes is None and encoding.classes is None and labels.ndim == 2 and labels.shape[1] > 1:
        classes = labels.shape[1]  # one-hot
    numbers = as_labels(labels, count, classes, label_source, encoding, notes.append)
    classes = classes or encoding.classes or int(numbers.max()) + 1
    if _border(pixels) > BRIGHT_BORDER and not encoding.invert:
        notes.append(f"{image_source}: the border is bright; if the images are dark on light, give --invert")
    if test:
        held_out_numbers = as_labels(
            test_labels, len(test_images), classes, f"{label_source}, test part", encoding, notes.append
        )
        # A copy, since a view would keep the training images, too.
        held_out = Dataset(f"{name}, test part", pixels[count:].copy(), held_out_numbers, classes)
    return Dataset(name, pixels[:count], numbers, classes, encoding.class_names, held_out, tuple(notes))


def _border(pixels: Array) -> float:
    """The median of the pixels at the edges of images, in 0..1; of every n-th one, if there are many."""
    pixels = pixels[:: -(-len(pixels) // BORDERS)]
    edges = [pixels[:, 0, 0], pixels[:, 0, -1], pixels[:, 0, :, 0], pixels[:, 0, :, -1]]
    return float(np.median(unit_interval(np.concatenate(edges), "float32")))


def load_npz(path: Path, classes: int | None, image_size: int | None, encoding: Encoding) -> Dataset:
    """Load an npz file with `images` and `labels`, or with Keras' x_train, y_train, x_test and y_test.

    Pickled objects are refused. Raises DataError.
    """
    arrays = read_npz(path)
    names = next((pair for pair in TRAINING_NAMES if pair[0] in arrays), TRAINING_NAMES[0])
    test = next((pair for pair in TEST_NAMES if pair[0] in arrays), None)
    images, labels = _pair(arrays, names, path)
    held_out = _pair(arrays, test, path) if test else None
    return from_arrays(str(path), images, labels, classes, image_size, encoding, held_out, names)


def _pair(arrays: Arrays, names: tuple[str, str], path: Path) -> tuple[Array, Array]:
    for name in names:
        if name not in arrays:
            found = ", ".join(arrays) or "an empty file"
            fix = "write it with numpy.savez(FILE, images=..., labels=...)"
            raise DataError(f"{path}: {name}", "an array of that name", found, fix)
    return arrays[names[0]], arrays[names[1]]


def load_npy(name: str, classes: int | None, image_size: int | None, encoding: Encoding) -> Dataset:
    """Load IMAGES.npy,LABELS.npy. Raises DataError."""
    files = [Path(part) for part in name.split(PAIR)]
    if len(files) != 2:
        fix = f"give both, as IMAGES.npy{PAIR}LABELS.npy"
        raise DataError(
            f"data set {name}", "a file of images and a file of labels", f"{len(files)} files", fix
        )
    images, labels = (read_npy(path) for path in files)
    return from_arrays(
        name, images, labels, classes, image_size, encoding, names=(files[0].name, files[1].name)
    )
