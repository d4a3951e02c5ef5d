"""Training and scoring from arrays: the implementation of `VGG7.fit` and `VGG7.evaluate`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from numpy_vgg7.data import Dataset, Splits, from_arrays
from numpy_vgg7.data.dataset import hold_out
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.functional import Array, Labels
from numpy_vgg7.inputs import warn
from numpy_vgg7.model import VGG7, require_finite
from numpy_vgg7.training import batches, loop
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.loop import Epoch, Score

Held = tuple[Array, Labels] | float | None
OnEpoch = Callable[[Epoch], object]


@dataclass(frozen=True)
class History:
    """What happened in a training.

    epochs: one row for each. best_epoch: the one whose weights the model has, from 1. learned: whether the
    training loss ended below the entropy of the labels. test: the score on the test set, if there was one.
    """

    epochs: tuple[Epoch, ...]
    best_epoch: int
    learned: bool
    test: Score | None = None

    @property
    def best(self) -> Epoch:
        """The row of the epoch whose weights the model has."""
        return self.epochs[self.best_epoch - 1]

    def __repr__(self) -> str:
        best = self.best
        words = f"{len(self.epochs)} epochs, best {best.epoch}: training accuracy {best.train_accuracy:.4f}"
        if best.validation_loss == best.validation_loss:
            words += f", validation {best.validation_accuracy:.4f}"
        if self.test:
            words += f", test {self.test.accuracy:.4f}"
        return f"<History: {words}{'' if self.learned else ', nothing was learned'}>"


def fit(
    model: VGG7,
    images: Array,
    labels: Labels,
    validation: Held,
    test: Held,
    on_epoch: OnEpoch | None,
    settings: str,
    changes: Mapping[str, Any],
) -> History:
    """`VGG7.fit`."""
    config = TrainingConfig.preset(settings, **{"seed": model.seed, **changes})
    data = _dataset(model, "images", images, labels)
    total = len(data)
    data, test_set = _part(model, "test", data, test, total)
    data, validation_set = _part(model, "validation", data, validation, total)
    history = run(model, Splits(data, validation_set, test_set), config, on_epoch)
    if not history.learned:
        warn(loop.nothing_learned(history.epochs, data.labels, config))
    return history


def run(model: VGG7, splits: Splits, config: TrainingConfig, on_epoch: OnEpoch | None = None) -> History:
    """Train `model` on prepared data; it ends with the weights of the best epoch."""
    state, best = loop.start(model, config), model.params
    for _ in loop.train(model, splits, config, state, lambda *batch: None):
        if state.is_best():
            best = {name: parameter.copy() for name, parameter in state.weights.items()}
        if on_epoch:
            on_epoch(state.history[-1])
    model.params = best
    drawn = batches.order(len(splits.train), config, len(state.history) - 1, splits.train.weights)
    learned = loop.has_learned(state.history, splits.train.labels[drawn], config)
    score = loop.score(model, splits.test) if len(splits.test) else None
    return History(tuple(state.history), state.best_epoch, learned, score)


def evaluate(model: VGG7, images: Array, labels: Labels) -> Score:
    """`VGG7.evaluate`."""
    found = loop.score(model, _dataset(model, "images", images, labels))
    require_finite(np.array(found.loss))
    return found


def _dataset(model: VGG7, name: str, images: Array, labels: Labels) -> Dataset:
    """A data set for the model. What was assumed about the arrays is a warning."""
    data = from_arrays(name, images, labels, model.config.classes, model.config.image_size)
    for note in data.notes:
        warn(note)
    return data


def _part(model: VGG7, name: str, data: Dataset, held: Held, total: int) -> tuple[Dataset, Dataset]:
    """The data without the validation or test set, and that set, which may be empty."""
    if held is None:
        return data, data.take(data.labels[:0])
    if isinstance(held, (int, float)):
        if not 0 < held < 1:
            raise ConfigError(name, "(images, labels), or a share between 0 and 1", held, "correct it")
        return hold_out(data, round(held * total))
    images, labels = held
    return data, _dataset(model, name, images, labels)
