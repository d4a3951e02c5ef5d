"""The training loop: shuffle, step, validate, tell."""

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
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import one_cycle
from numpy_vgg7.training.config import TrainingConfig

SMOOTHING = 5
SHUFFLE, AUGMENT = 0, 1  # random streams of an epoch, apart from each other


class Score(NamedTuple):
    """A model on a data set: mean cross-entropy in nats, and the share and number that it gets right."""

    loss: float
    accuracy: float
    errors: int
    n: int


class Epoch(NamedTuple):
    """A row of metrics.csv. Training loss and accuracy are means over the epoch's batches."""

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    images_per_second: float


@dataclass
class State:
    """All that a training carries from one epoch to the next; enough to go on after a break."""

    params: Arrays
    velocity: Arrays
    history: list[Epoch] = field(default_factory=list)

    def is_best(self) -> bool:
        """Whether the last epoch has the lowest validation loss so far, as a mean over SMOOTHING epochs.

        The loss, since accuracy on a few hundred images is soon perfect and then tells nothing apart; a
        mean, since one epoch among many is low by luck.
        """
        losses = [row.validation_loss for row in self.history]
        means = [fmean(losses[max(0, end - SMOOTHING) : end]) for end in range(1, len(losses) + 1)]
        return means.index(min(means)) == len(means) - 1


# Called after every batch with the images done so far in the epoch, running loss and accuracy, and
# images a second.
Progress = Callable[[int, float, float, float], None]


def score(model: VGG7, data: Dataset) -> Score:
    """Loss and accuracy of a model on a data set."""
    logits = model.logits(data.images)
    right = int((logits.argmax(axis=1) == data.labels).sum())
    n = len(data)
    return Score(float(cross_entropy(logits, data.labels)), right / n, n - right, n)


def start(model: VGG7, config: TrainingConfig) -> State:
    """The state before the first epoch."""
    return State(model.params, config.sgd().init(model.params))


def train(model: VGG7, splits: Splits, config: TrainingConfig, state: State, progress: Progress) -> Iterator[State]:
    """Train `model` in place from `state` on, yielding the state after each epoch.

    An epoch's random numbers depend on the seed and its number only, so a training that was
    interrupted goes on to the same bytes. Raises TrainingError when the loss stops being finite.
    """
    sgd = config.sgd()
    model.params = state.params
    batches = -(-len(splits.train) // config.batch_size)
    for epoch in range(len(state.history), config.epochs):
        order = np.random.default_rng([config.seed, epoch, SHUFFLE]).permutation(len(splits.train))
        noise = np.random.default_rng([config.seed, epoch, AUGMENT])
        began, done, loss, right = time.perf_counter(), 0, 0.0, 0
        for batch in range(batches):
            chosen = order[batch * config.batch_size : (batch + 1) * config.batch_size]
            x, labels = splits.train.images[chosen], splits.train.labels[chosen]
            if config.augment:
                x = augment(x, noise, AUGMENTATIONS[config.augmentation])
            with np.errstate(over="ignore", invalid="ignore"):  # the loss tells, in one line
                lr_scale = one_cycle(epoch * batches + batch, config.epochs * batches)
                x = x.astype(model.dtype, copy=False)
                result = model.train_step(x, labels, sgd, state.velocity, lr_scale)
                _check_finite(result.loss, f"epoch {epoch + 1}, batch {batch + 1}")
            done += len(labels)
            loss += float(result.loss) * len(labels)
            right += int((result.probs.argmax(axis=1) == labels).sum())
            speed = done / (time.perf_counter() - began)
            progress(done, loss / done, right / done, speed)
        with np.errstate(over="ignore", invalid="ignore"):
            validation = score(model, splits.validation)
        _check_finite(validation.loss, f"epoch {epoch + 1}, validation")
        state.history.append(
            Epoch(epoch + 1, loss / done, right / done, validation.loss, validation.accuracy, speed)
        )
        yield state


def _check_finite(loss: Array | float, where: str) -> None:
    if not np.isfinite(loss):
        raise TrainingError(
            where, expected="a finite loss", found=str(loss), fix="lower --lr-conv and --lr-fc"
        )
