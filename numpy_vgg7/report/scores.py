"""What the best weights do with the test set: by class, by confidence, and where they are wrong."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from numpy_vgg7.data import Dataset
from numpy_vgg7.functional import Array, Labels, cross_entropy, softmax
from numpy_vgg7.model import VGG7, require_finite
from numpy_vgg7.training.loop import infer

BINS = 10  # of confidence


class ClassScore(NamedTuple):
    """A class of the test set; scores in 0..1, NaN where nothing is divided by nothing."""

    name: str
    images: int
    predicted: int
    precision: float
    recall: float
    f1: float


class Bin(NamedTuple):
    """The images whose confidence, the largest probability, is in low..high. Means are NaN without any."""

    low: float
    high: float
    images: int
    confidence: float
    accuracy: float


class Mistake(NamedTuple):
    """A misclassified image, at an index of the test set."""

    at: int
    true: str
    predicted: str
    confidence: float


@dataclass(frozen=True)
class Scores:
    """The scores of a model on a test set, from its logits (N, classes)."""

    data: Dataset
    logits: Array

    @classmethod
    def of(cls, model: VGG7, data: Dataset) -> "Scores":
        """The scores of a model on a test set. Raises WeightsError if its outputs are not finite."""
        logits = infer(model, data)
        require_finite(logits)
        return cls(data, logits)

    @property
    def n(self) -> int:
        """Images."""
        return len(self.data)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the classes."""
        return self.data.class_names or tuple(map(str, range(self.logits.shape[1])))

    @cached_property
    def probs(self) -> Array:
        """(N, classes)"""
        return softmax(self.logits)

    @cached_property
    def predicted(self) -> Labels:
        """The most probable classes, (N,)."""
        labels: Labels = self.logits.argmax(axis=1)
        return labels

    @cached_property
    def confidence(self) -> Array:
        """The probability of the predicted class, (N,)."""
        highest: Array = self.probs.max(axis=1).astype(np.float64)
        return highest

    @property
    def loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(cross_entropy(self.logits, self.data.labels))

    @property
    def errors(self) -> int:
        """Misclassified images."""
        return int((self.predicted != self.data.labels).sum())

    @property
    def accuracy(self) -> float:
        """In 0..1."""
        return (self.n - self.errors) / self.n

    @cached_property
    def confusion(self) -> "np.ndarray[tuple[int, int], np.dtype[np.int64]]":
        """The number of images of each class (row) predicted as each class (column)."""
        from sklearn.metrics import confusion_matrix

        classes = np.arange(len(self.names))
        counts: np.ndarray[tuple[int, int], np.dtype[np.int64]]
        counts = confusion_matrix(self.data.labels, self.predicted, labels=classes)
        return counts

    @property
    def most_confused(self) -> int:
        """The largest number of images of one class that are taken for another."""
        mistakes = self.confusion.copy()
        np.fill_diagonal(mistakes, 0)
        return int(mistakes.max())

    @cached_property
    def classes(self) -> list[ClassScore]:
        """The scores of each class."""
        from sklearn.metrics import precision_recall_fscore_support

        classes = np.arange(len(self.names))
        precision, recall, f1, images = precision_recall_fscore_support(
            self.data.labels, self.predicted, labels=classes, zero_division=np.nan
        )
        predicted = self.confusion.sum(axis=0)
        columns = (self.names, images, predicted, precision, recall, f1)
        return [
            ClassScore(name, int(count), int(found), *map(float, scores))
            for name, count, found, *scores in zip(*columns, strict=True)
        ]

    @cached_property
    def calibration(self) -> list[Bin]:
        """The images in BINS bins of equal width by confidence."""
        from scipy.stats import binned_statistic

        right = self.predicted == self.data.labels
        # Rounding can make a probability 1 + 1e-7.
        confidence = self.confidence.clip(0, 1)
        counts = binned_statistic(confidence, None, "count", BINS, (0, 1))
        means, edges, _ = binned_statistic(confidence, [confidence, right], "mean", BINS, (0, 1))
        rows = zip(edges[:-1], edges[1:], counts.statistic, *means, strict=True)
        return [Bin(float(a), float(b), int(n), float(mean), float(share)) for a, b, n, mean, share in rows]

    @property
    def calibration_error(self) -> float:
        """The expected calibration error: |accuracy - mean confidence| of the bins, weighted by images."""
        gaps = (row.images * abs(row.accuracy - row.confidence) for row in self.calibration if row.images)
        return sum(gaps) / self.n

    def worst(self, most: int) -> list[Mistake]:
        """The mistakes with the highest confidence, that first."""
        wrong = np.flatnonzero(self.predicted != self.data.labels)
        wrong = wrong[np.argsort(-self.confidence[wrong], kind="stable")][:most]
        return [
            Mistake(
                int(index),
                self.names[self.data.labels[index]],
                self.names[self.predicted[index]],
                float(self.confidence[index]),
            )
            for index in wrong
        ]
