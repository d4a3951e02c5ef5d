"""Data sets from CSV files: a row per image, the label and the pixels, as Kaggle's MNIST has them."""

import csv
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import numpy as np

from numpy_vgg7.data.arrays import from_arrays
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array
from numpy_vgg7.inputs import BYTE, Encoding
from numpy_vgg7.reading import FileKind, without_warnings

LABEL_COLUMNS = ("label", "labels", "class", "target", "digit", "y")
LONGEST_LABEL = 64  # characters: NumPy takes memory for as many in each row
FIX = "write a header and one row per image: label,pixel0,pixel1,..."
KIND = FileKind("CSV file of labels and pixels", fix=FIX)


def load_csv(path: Path, classes: int | None, image_size: int | None, encoding: Encoding) -> Dataset:
    """Load a CSV file with a label and the pixels of a square image in each row.

    The label is the column of that name, or the first one where there is no header. Raises DataError.
    """
    with KIND.opened(path) as raw:
        file = TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        first = next(csv.reader(file), [])
        names = [word.strip().lower() for word in first]
        # The other columns may be named by numbers, as pandas does.
        header = not set(names).isdisjoint(LABEL_COLUMNS) or not all(map(_is_number, first[1:]))
        label = next((names.index(name) for name in LABEL_COLUMNS if name in names), None) if header else 0
        if label is None or len(first) < 2:
            raise ValueError("no column named label" if header else f"{len(first)} columns")
        columns = [index for index in range(len(first)) if index != label]
        pixels = _column_block(file, header, columns, np.float32)
        labels = _column_block(file, header, [label], f"U{LONGEST_LABEL + 1}")[:, 0]
    labels = np.char.strip(labels)
    if np.char.str_len(labels).max(initial=0) > LONGEST_LABEL:
        found = "a longer one"
        raise DataError(str(path), f"labels of at most {LONGEST_LABEL} characters", found, FIX)
    if all(_is_number(word) for word in np.unique(labels)):
        labels = labels.astype(np.float64)
    if pixels.size and pixels.min() >= 0 and pixels.max() <= BYTE and (pixels == np.floor(pixels)).all():
        pixels = pixels.astype(np.uint8)
    return from_arrays(
        str(path), pixels, labels, classes, image_size, encoding, names=("pixels", "column of labels")
    )


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _column_block(file: TextIOWrapper, header: bool, columns: list[int], dtype: Any) -> Array:
    file.seek(0)
    with without_warnings():  # about a file without rows, which is refused later
        block: Array = np.loadtxt(
            file, dtype, delimiter=",", skiprows=int(header), usecols=columns, ndmin=2, quotechar='"',
            comments=None,
        )  # fmt: skip
    return block
