"""Images and labels, and their split into training, validation and test sets."""

import os
from dataclasses import replace
from pathlib import Path

from numpy_vgg7.data.arrays import from_arrays, load_npy, load_npz
from numpy_vgg7.data.csv_file import load_csv
from numpy_vgg7.data.dataset import Dataset, Splits, split
from numpy_vgg7.data.digits import load_digits
from numpy_vgg7.data.image_folder import load_folder
from numpy_vgg7.data.mnist import COLLECTIONS, FOLDER_VARIABLE, load_mnist
from numpy_vgg7.errors import DataError
from numpy_vgg7.inputs import PLAIN, Encoding
from numpy_vgg7.suggestions import instead

__all__ = ["Dataset", "Encoding", "Splits", "from_arrays", "load", "split"]

READERS = {".npz": load_npz, ".csv": load_csv}


def load(
    name: str,
    classes: int | None = None,
    image_size: int | None = None,
    encoding: Encoding = PLAIN,
    data_dir: Path | None = None,
    test: str | None = None,
    download: bool = False,
) -> Dataset:
    """Load a data set, given by its name or path, with labels below `classes`.

    `digits`, `mnist`, `fashion-mnist`, `emnist-letters` (and its other parts), FILE.npz, FILE.csv,
    IMAGES.npy,LABELS.npy, or a folder of class folders. `data_dir` is the folder of MNIST's files; with
    `download`, they are put there if they are missing. `test` is another data set that is the test part.

    If `image_size` is given, images must have that size. Without `classes`, their number is found from the
    labels. Raises DataError.
    """
    if (data_dir or download) and not {name, test} & set(COLLECTIONS):
        fix = "leave out --data-dir and --download"
        raise DataError("data set", f"one of {', '.join(COLLECTIONS)}", name, fix)
    if data_dir and test != name and {name, test} <= set(COLLECTIONS):
        fix = f"leave out --data-dir, and put the files into the folders of {FOLDER_VARIABLE}"
        raise DataError(f"data sets {name} and {test}", "a folder for each", str(data_dir), fix)
    if encoding != PLAIN and name == "digits" and test is None:
        expected = "no options for pixels and labels, which are fixed"
        raise DataError("data set digits", expected, "such options", "leave them out")
    dataset = _load(name, classes, image_size, encoding, data_dir, download)
    if test is None:
        return dataset
    encoding = replace(encoding, class_names=dataset.class_names or encoding.class_names)
    held_out = _load(test, dataset.classes, dataset.image_size, encoding, data_dir, download)
    notes = [*dataset.notes, *(note for note in held_out.notes if note not in dataset.notes)]
    if held_out.test:
        held_out = held_out.test
        notes.append(f"{test}: only its official test part, {len(held_out)} images, is the test set")
    return replace(dataset, test=held_out, notes=tuple(notes))


def _load(
    name: str,
    classes: int | None,
    image_size: int | None,
    encoding: Encoding,
    data_dir: Path | None,
    download: bool,
) -> Dataset:
    path = Path(name)
    if name == "digits":
        return load_digits(classes, image_size)
    if name in COLLECTIONS:
        return load_mnist(name, data_dir, classes, image_size, encoding, download)
    if path.suffix == ".npy":
        return load_npy(name, classes, image_size, encoding)
    if path.suffix in READERS:
        return READERS[path.suffix](path, classes, image_size, encoding)
    if os.path.isdir(path):
        return load_folder(path, classes, image_size, encoding)
    expected = (
        f"digits, {', '.join(COLLECTIONS)}, a file ending in .npz or .csv, IMAGES.npy,LABELS.npy, "
        + "or a folder of class folders"
    )
    otherwise = "choose one; numpy.savez(FILE, images=..., labels=...) writes such a file"
    fix = instead(name, ("digits", *COLLECTIONS), otherwise)
    raise DataError(f"data set {name}", expected, "none of these", fix)
