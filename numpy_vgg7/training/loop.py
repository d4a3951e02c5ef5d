"""The training loop. `numpy-vgg7 train` and `VGG7.fit` both run it."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from statistics import fmean
from typing import NamedTuple

import numpy as np

from numpy_vgg7.data import Dataset, Splits
from numpy_vgg7.engine.executor import Result
from numpy_vgg7.errors import TrainingError
from numpy_vgg7.functional import Array, Arrays, Labels, cross_entropy
from numpy_vgg7.limits import require_memory
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import SCHEDULES
from numpy_vgg7.training import batches
from numpy_vgg7.training.config import TrainingConfig

SMOOTHING = 5  # epochs
MARGIN = 0.01  # of the entropy of the labels: a training whose loss ends closer to it has learned nothing


class Score(NamedTuple):
    """A model on a data set: mean cross-entropy in nats, accuracy in 0..1, misclassified images of n."""

    loss: float
    accuracy: float
    errors: int
    n: int


NO_SCORE = Score(math.nan, math.nan, 0, 0)  # of an empty set


class Epoch(NamedTuple):
    """A row of metrics.csv. Training loss and accuracy are means over the images of the epoch.

    Without validation images, the validation loss and accuracy are NaN.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    images_per_second: float


@dataclass
class State:
    """The state of a training between two epochs: all that is needed to resume it.

    `average` is the mean of the weights after the last epochs, empty before the first of these.
    """

    params: Arrays
    velocity: Arrays
    history: list[Epoch] = field(default_factory=list)
    average: Arrays = field(default_factory=dict)

    @property
    def weights(self) -> Arrays:
        """What the training has found so far: the average, if there is one."""
        return self.average or self.params

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss, averaged over SMOOTHING epochs; the last without any.

        The loss, because the accuracy on a few hundred images soon reaches 1 and no longer distinguishes
        epochs; averaged, because the loss of a single epoch is noisy.
        """
        losses = [row.validation_loss for row in self.history]
        means = [fmean(losses[max(0, end - SMOOTHING) : end]) for end in range(1, len(losses) + 1)]
        return len(means) if math.isnan(losses[-1]) else means.index(min(means)) + 1

    def is_best(self) -> bool:
        """Whether the last epoch is the best."""
        return self.best_epoch == len(self.history)

    def is_over(self, config: TrainingConfig) -> bool:
        """Whether there is no epoch left, or too many of them have not lowered the validation loss."""
        done = len(self.history)
        exhausted = config.patience and done and done - self.best_epoch >= config.patience
        return done >= config.epochs or bool(exhausted)

    def add_to_average(self, number: int) -> None:
        """Take the current parameters into the average, as the first, second, ... of them."""
        if number == 1:
            self.average = {name: np.zeros_like(parameter) for name, parameter in self.params.items()}
        for name, mean in self.average.items():
            mean += (self.params[name] - mean) / number


# Called after every batch with the number of images so far in the epoch, their mean loss and accuracy, and
# images per second.
Progress = Callable[[int, float, float, float], None]


def score(model: VGG7, data: Dataset, progress: Callable[[int], object] = lambda images: None) -> Score:
    """Loss and accuracy of a model on a data set. `progress` gets the number of images of every batch."""
    return score_of(infer(model, data, progress), data.labels)


def infer(model: VGG7, data: Dataset, progress: Callable[[int], object] = lambda images: None) -> Array:
    """The logits (N, classes) of a data set, which need not be finite."""
    logits = [np.empty((0, model.config.classes), model.dtype)]
    for some in model.inference_batches(len(data)):
        batch = data.batch(some)
        logits.append(model.forward(batch.astype(model.dtype, copy=False)))
        progress(len(batch))
    return np.concatenate(logits)


def score_of(logits: Array, labels: Labels) -> Score:
    """The score of these logits."""
    n, correct = len(labels), int((logits.argmax(axis=1) == labels).sum())
    return Score(float(cross_entropy(logits, labels)), correct / n, n - correct, n) if n else NO_SCORE


def start(model: VGG7, config: TrainingConfig) -> State:
    """The state before the first epoch."""
    return State(model.params, config.sgd().init(model.params))


def train(
    model: VGG7, splits: Splits, config: TrainingConfig, state: State, progress: Progress
) -> Iterator[State]:
    """Train `model` in place, starting from `state`, and yield the state after each epoch.

    At that time, the model has the weights that the training has found so far, `state.weights`. The random
    numbers of an epoch depend on the seed and the epoch's number only, so a resumed training ends with the
    same bytes as an uninterrupted one. The validation set may be empty. Raises TrainingError if the loss is
    no longer finite.
    """
    batch = min(config.batch_size, len(splits.train))
    values = 3 * model.config.parameter_count() + 2 * batch * model.config.values_per_image()
    fix = "use a smaller batch_size, or a smaller network"
    require_memory(f"training with batches of {batch:,}", values * np.dtype(model.dtype).itemsize, fix)
    while not state.is_over(config):
        model.params = state.params
        epoch = len(state.history)
        with np.errstate(over="ignore", invalid="ignore"):  # _check_finite reports it
            loss, accuracy, speed = _train_epoch(model, splits.train, config, state, progress)
            if epoch >= config.epochs - config.average:
                state.add_to_average(epoch - max(0, config.epochs - config.average) + 1)
            model.params = state.weights
            validation = score(model, splits.validation)
        if validation.n:
            _check_finite(validation.loss, f"epoch {epoch + 1}, validation", config)
        state.history.append(Epoch(epoch + 1, loss, accuracy, validation.loss, validation.accuracy, speed))
        yield state


class Means:
    """The mean loss and accuracy over the images of an epoch; a smaller last batch counts by its size."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.images, self.loss, self.correct = 0, 0.0, 0

    def add(self, result: Result, labels: Labels) -> None:
        """Count a batch."""
        self.images += len(labels)
        self.loss += float(result.loss) * len(labels)
        self.correct += int((result.probs.argmax(axis=1) == labels).sum())

    def of_images(self) -> tuple[float, float, float]:
        """Loss, accuracy and images per second."""
        seconds = time.perf_counter() - self.began
        return self.loss / self.images, self.correct / self.images, self.images / seconds


def _train_epoch(
    model: VGG7, data: Dataset, config: TrainingConfig, state: State, progress: Progress
) -> tuple[float, float, float]:
    """One pass over the data. Returns mean loss and accuracy over the images, and images per second."""
    sgd, schedule, epoch = config.sgd(), SCHEDULES[config.schedule], len(state.history)
    steps, means = batches.count(len(data), config), Means()
    with closing(batches.draw(data, config, epoch, model.dtype)) as prepared:
        for index, (x, labels) in enumerate(prepared):
            lr_scale = schedule(epoch * steps + index, config.epochs * steps)
            result = model.train_step(x, labels, sgd, state.velocity, lr_scale, config.label_smoothing)
            _check_finite(result.loss, f"epoch {epoch + 1}, batch {index + 1}", config)
            means.add(result, labels)
            progress(means.images, *means.of_images())
    return means.of_images()


def _check_finite(loss: Array | float, where: str, config: TrainingConfig) -> None:
    if not np.isfinite(loss):
        fix = (
            f"lower the learning rates ({config.lr_conv:g} for convolutions, {config.lr_fc:g} for the others)"
        )
        raise TrainingError(where, "a finite loss", f"{loss}: the training diverged", fix)


def chance_loss(labels: Labels, label_smoothing: float = 0.0) -> float:
    """The lowest mean loss of a constant prediction: the entropy of the labels, in nats."""
    frequencies = np.unique(labels, return_counts=True)[1] / len(labels)
    shares = (1 - label_smoothing) * frequencies + label_smoothing / len(frequencies)
    return float(-(shares * np.log(shares)).sum())


def nothing_learned(history: Sequence[Epoch], labels: Labels, config: TrainingConfig) -> str:
    """A line on a training that has not learned."""
    chance = chance_loss(labels, config.label_smoothing)
    return (
        f"nothing was learned: the training loss ended at {history[-1].train_loss:.4g}, no better than "
        f"guessing by label frequency ({chance:.4g}); try other learning rates or more epochs"
    )


def has_learned(history: Sequence[Epoch], labels: Labels, config: TrainingConfig) -> bool:
    """Whether the training loss ended below `chance_loss`, by more than MARGIN of it."""
    return history[-1].train_loss < (1 - MARGIN) * chance_loss(labels, config.label_smoothing)
