"""The training loop."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

import numpy as np

from numpy_vgg7.data import Dataset, Splits
from numpy_vgg7.data.augmentation import AUGMENTATIONS, augment
from numpy_vgg7.errors import TrainingError
from numpy_vgg7.functional import Array, Arrays, cross_entropy
from numpy_vgg7.model import INFERENCE_BATCH, VGG7
from numpy_vgg7.optim import one_cycle
from numpy_vgg7.training.config import TrainingConfig

SMOOTHING = 5  # epochs
SHUFFLE, AUGMENT = 0, 1  # independent random streams of an epoch


class Score(NamedTuple):
    """A model on a data set: mean cross-entropy in nats, accuracy in 0..1, misclassified images of n."""

    loss: float
    accuracy: float
    errors: int
    n: int


class Epoch(NamedTuple):
    """A row of metrics.csv. Training loss and accuracy are means over the batches of the epoch."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    images_per_second: float


@dataclass
class State:
    """The state of a training between two epochs: all that is needed to resume it."""

    params: Arrays
    velocity: Arrays
    history: list[Epoch] = field(default_factory=list)

    def is_best(self) -> bool:
        """Whether the last epoch has the lowest validation loss so far, averaged over SMOOTHING epochs.

        The loss, because the accuracy on a few hundred images soon reaches 1 and no longer distinguishes
        epochs; averaged, because the loss of a single epoch is noisy.
        """
        losses = [row.validation_loss for row in self.history]
        means = [fmean(losses[max(0, end - SMOOTHING) : end]) for end in range(1, len(losses) + 1)]
        return means.index(min(means)) == len(means) - 1


# Called after every batch with the number of images so far in the epoch, their mean loss and accuracy, and
# images per second.
Progress = Callable[[int, float, float, float], None]


def score(model: VGG7, data: Dataset) -> Score:
    """Loss and accuracy of a model on a data set."""
    batches = (data.batch(slice(i, i + INFERENCE_BATCH)) for i in range(0, len(data), INFERENCE_BATCH))
    logits = np.concatenate([model.forward(batch.astype(model.dtype)) for batch in batches])
    n, correct = len(data), int((logits.argmax(axis=1) == data.labels).sum())
    return Score(float(cross_entropy(logits, data.labels)), correct / n, n - correct, n)


def start(model: VGG7, config: TrainingConfig) -> State:
    """The state before the first epoch."""
    return State(model.params, config.sgd().init(model.params))


def train(
    model: VGG7, splits: Splits, config: TrainingConfig, state: State, progress: Progress
) -> Iterator[State]:
    """Train `model` in place, starting from `state`, and yield the state after each epoch.

    The random numbers of an epoch depend on the seed and the epoch's number only, so a resumed training ends
    with the same bytes as an uninterrupted one. Raises TrainingError if the loss is no longer finite.
    """
    sgd = config.sgd()
    model.params = state.params
    batches = -(-len(splits.train) // config.batch_size)
    for epoch in range(len(state.history), config.epochs):
        order = np.random.default_rng([config.seed, epoch, SHUFFLE]).permutation(len(splits.train))
        augment_rng = np.random.default_rng([config.seed, epoch, AUGMENT])
        began, done, loss, correct = time.perf_counter(), 0, 0.0, 0
        for batch in range(batches):
            indices = order[batch * config.batch_size : (batch + 1) * config.batch_size]
            x, labels = splits.train.batch(indices), splits.train.labels[indices]
            if config.augment:
                x = augment(x, augment_rng, AUGMENTATIONS[config.augmentation])
            with np.errstate(over="ignore", invalid="ignore"):  # _check_finite reports it
                lr_scale = one_cycle(epoch * batches + batch, config.epochs * batches)
                x = x.astype(model.dtype, copy=False)
                result = model.train_step(x, labels, sgd, state.velocity, lr_scale)
                _check_finite(result.loss, f"epoch {epoch + 1}, batch {batch + 1}")
            done += len(labels)
            loss += float(result.loss) * len(labels)
            correct += int((result.probs.argmax(axis=1) == labels).sum())
            speed = done / (time.perf_counter() - began)
            progress(done, loss / done, correct / done, speed)
        with np.errstate(over="ignore", invalid="ignore"):
            validation = score(model, splits.validation)
        _check_finite(validation.loss, f"epoch {epoch + 1}, validation")
        metrics = (loss / done, correct / done, validation.loss, validation.accuracy, speed)
        state.history.append(Epoch(epoch + 1, *metrics))
        yield state


def _check_finite(loss: Array | float, where: str) -> None:
    if not np.isfinite(loss):
        raise TrainingError(where, "a finite loss", loss, "lower --lr-conv and --lr-fc")
