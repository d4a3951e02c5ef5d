"""Labelled images and their split into training, validation and test sets."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array, Labels

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
# Independent of a training's seed: an image in the test set of one training is in that of all others.
SPLIT_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """images (N, 1, H, W), float32 in 0..1; labels (N,), integers from 0."""

    name: str
    images: Array
    labels: Labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def image_size(self) -> int:
        """Pixels per side."""
        return int(self.images.shape[2])

    def take(self, indices: Labels) -> "Dataset":
        """The images and labels at these indices, in this order."""
        return Dataset(self.name, self.images[indices], self.labels[indices])


class Splits(NamedTuple):
    """Three disjoint parts of a data set."""

    train: Dataset
    validation: Dataset
    test: Dataset


def split(dataset: Dataset) -> Splits:
    """A stratified split, 70 : 10 : 20. The same data set is always split the same way.

    Raises DataError if the set is too small for every part to contain every class.
    """
    from sklearn.model_selection import train_test_split

    present, counts = np.unique(dataset.labels, return_counts=True)
    if counts.min() < 3 or len(dataset) * VALIDATION_SHARE < len(present):
        expected = "at least 3 images of each class, and 10 times as many images as classes"
        found = f"{len(dataset)} images of {len(present)} classes, {counts.min()} in the rarest"
        raise DataError(dataset.name, expected, found, "add images, or train on another set")
    indices = np.arange(len(dataset))

    def part(of: Labels, share: float) -> tuple[Labels, Labels]:
        size = round(share * len(dataset))
        kept, taken = train_test_split(
            of, test_size=size, stratify=dataset.labels[of], random_state=SPLIT_SEED
        )
        return kept, taken

    rest, test = part(indices, TEST_SHARE)
    train, validation = part(rest, VALIDATION_SHARE)
    return Splits(dataset.take(train), dataset.take(validation), dataset.take(test))
