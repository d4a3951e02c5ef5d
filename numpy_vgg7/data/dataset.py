"""A set of labelled images, and its split."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array, Labels

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
# The split does not move with the seed of a training, so that no model is tested on an image that
# it met under another seed.
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
        """Pixels a side."""
        return int(self.images.shape[2])

    def take(self, indices: Labels) -> "Dataset":
        """The images and labels at these places, in this order."""
        return Dataset(self.name, self.images[indices], self.labels[indices])


class Splits(NamedTuple):
    """Three parts without a common image."""

    train: Dataset
    validation: Dataset
    test: Dataset


def split(dataset: Dataset) -> Splits:
    """Split 70 : 10 : 20, each class in these shares, the same way every time.

    Raises DataError if the set is too small to have every class in every part.
    """
    from sklearn.model_selection import train_test_split

    present, counts = np.unique(dataset.labels, return_counts=True)
    if counts.min() < 3 or len(dataset) * VALIDATION_SHARE < len(present):
        raise DataError(
            dataset.name,
            expected="at least 3 images of each class, and 10 times as many images as classes",
            found=f"{len(dataset)} images of {len(present)} classes, {counts.min()} in the rarest",
            fix="add images, or train on another set",
        )
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
