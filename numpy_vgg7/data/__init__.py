"""Images and labels, and their split into training, validation and test sets."""

from pathlib import Path

from numpy_vgg7.data.arrays import load_npz
from numpy_vgg7.data.dataset import Dataset, Splits, split
from numpy_vgg7.data.digits import load_digits
from numpy_vgg7.errors import DataError

__all__ = ["Dataset", "Splits", "load", "split"]


def load(name: str, classes: int, image_size: int | None = None) -> Dataset:
    """Load the data set `digits`, or an npz file given by its path, with labels below `classes`.

    If `image_size` is given, images must have that size. Raises DataError.
    """
    if name == "digits":
        return load_digits(classes, image_size)
    if name.endswith(".npz"):
        return load_npz(Path(name), classes, image_size)
    fix = "choose one; numpy.savez(FILE, images=..., labels=...) writes such a file"
    raise DataError(f"data set {name}", "`digits`, or a file ending in .npz", "neither", fix)
