"""Images and labels, and their split into train, validation and test.

`digits.py` embedded digits, `arrays.py` any npz file, `image_files.py` single pictures to predict,
`augmentation.py` shifted and turned copies to train on.
"""

from pathlib import Path

from numpy_vgg7.data.arrays import load_npz
from numpy_vgg7.data.dataset import Dataset, Splits, split
from numpy_vgg7.data.digits import load_digits
from numpy_vgg7.errors import DataError

__all__ = ["Dataset", "Splits", "load", "split"]


def load(name: str, classes: int, image_size: int | None = None) -> Dataset:
    """Load `digits`, or an npz file by its path, with labels below `classes`.

    Where `image_size` is given, images of another size are refused. Raises DataError.
    """
    if name == "digits":
        return load_digits(classes, image_size)
    if name.endswith(".npz"):
        return load_npz(Path(name), classes, image_size)
    raise DataError(
        f"data set {name}",
        expected="`digits`, or a file ending in .npz",
        found="neither",
        fix="choose one; numpy.savez(FILE, images=..., labels=...) makes such a file",
    )
