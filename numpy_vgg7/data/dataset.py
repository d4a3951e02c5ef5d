"""Labelled images and their split into training, validation and test sets."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.functional import Array, Labels
from numpy_vgg7.inputs import unit_interval

VALIDATION_SHARE = 0.1
TEST_SHARE = 0.2
# Independent of a training's seed: an image in the test set of one training is in that of all others.
SPLIT_SEED = 0


@dataclass(frozen=True)
class Dataset:
    """Labelled images.

    pixels: (N, 1, H, W), floats in 0..1, or uint8 in 0..255, which take a quarter of the memory.
    labels: (N,), integers from 0.
    classes: their number, if it is known.
    class_names: of the classes in their order, where labels were text.
    test: an official test part. It is not among these images.
    notes: what was assumed in reading the images and labels.
    weights: (N,), how often each image is drawn in training, relative to the others; None if equally often.
    """

    name: str
    pixels: Array
    labels: Labels
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    test: "Dataset | None" = None
    notes: tuple[str, ...] = ()
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def images(self) -> Array:
        """All images, floats in 0..1. Bytes are converted on every access: use `batch` in a loop."""
        return self.batch(slice(None))

    @property
    def image_size(self) -> int:
        """Pixels per side."""
        return int(self.pixels.shape[2])

    def batch(self, indices: Labels | slice) -> Array:
        """The images at these indices, (n, 1, H, W), floats in 0..1."""
        pixels = self.pixels[indices]
        return unit_interval(pixels, "float32") if pixels.dtype == np.uint8 else pixels

    def whole(self) -> "Dataset":
        """These images and those of the test part."""
        if self.test is None:
            return self
        same = self.pixels.dtype == self.test.pixels.dtype  # else bytes would be mixed with floats
        of_both = (self.pixels, self.test.pixels) if same else (self.images, self.test.images)
        pixels = np.concatenate(of_both)
        labels = np.concatenate([self.labels, self.test.labels])
        return Dataset(self.name, pixels, labels, self.classes, self.class_names)

    def take(self, indices: Labels) -> "Dataset":
        """The images and labels at these indices, in this order."""
        pixels, labels = self.pixels[indices], self.labels[indices]
        weights = None if self.weights is None else self.weights[indices]
        return Dataset(self.name, pixels, labels, self.classes, self.class_names, weights=weights)


class Splits(NamedTuple):
    """Three disjoint parts of a data set."""

    train: Dataset
    validation: Dataset
    test: Dataset


def split(dataset: Dataset) -> Splits:
    """A stratified split, 70 : 10 : 20. The same data set is always split the same way.

    If the data set has a test part, that is the test set, and a tenth of the other images is for validation.
    Raises DataError if the set is too small for every part to contain every class.
    """
    present, counts = np.unique(dataset.labels, return_counts=True)
    if counts.min() < 3 or len(dataset) * VALIDATION_SHARE < len(present):
        expected = "at least 3 images of each class, and 10 times as many images as classes"
        found = f"{len(dataset)} images of {len(present)} classes, {counts.min()} in the rarest"
        raise DataError(dataset.name, expected, found, "add images, or train on another set")

    rest, test = dataset, dataset.test
    if test is None:
        rest, test = hold_out(dataset, round(TEST_SHARE * len(dataset)))
    train, validation = hold_out(rest, round(VALIDATION_SHARE * len(dataset)))
    return Splits(train, validation, test)


def hold_out(dataset: Dataset, size: int) -> tuple[Dataset, Dataset]:
    """The rest of a data set, and `size` of its images with the same shares of the classes, shuffled.

    Always the same for the same data set. Raises DataError if a part is too small for every class.
    """
    from sklearn.model_selection import train_test_split

    counts = np.unique(dataset.labels, return_counts=True)[1]
    if counts.min() < 2 or not len(counts) <= size <= len(dataset) - len(counts):
        expected = "an image of each class in both parts of a split"
        found = f"{size} of {len(dataset)} images in one, {len(counts)} classes, {counts.min()} in the rarest"
        raise DataError(dataset.name, expected, found, "add images, or hold out another share")
    every = np.arange(len(dataset))
    kept, taken = train_test_split(every, test_size=size, stratify=dataset.labels, random_state=SPLIT_SEED)
    return dataset.take(kept), dataset.take(taken)
