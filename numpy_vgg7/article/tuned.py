"""What the article's network can do: its 600 images and the true gradient, from a sane start.

The images are those of the article's own split. The 9,350 that it leaves unused are cut in two: recipes
were chosen by their accuracy on the first half, and what they are worth is told by the second.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from numpy_vgg7.article.protocol import Split, prepare
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.data.dataset import Dataset, Splits
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.model import VGG7
from numpy_vgg7.training import loop
from numpy_vgg7.training.config import TrainingConfig

# An upright and a level line. Digits are strokes, and with two channels chance seldom finds such a pair.
LINES = np.array([[[-1, 2, -1]] * 3, [[-1] * 3, [2] * 3, [-1] * 3]])[:, None] / 4


@dataclass(frozen=True)
class Tuned:
    """A network and its training. `lines`: conv3, of two channels, starts as LINES."""

    name: str
    model: VGG7Config
    recipe: TrainingConfig
    lines: bool = False


_ARTICLE, _VGG7 = VGG7Config.preset("article"), VGG7Config.preset("vgg7")
_STILL = TrainingConfig(epochs=60, lr_fc=0.1, augment=False)
_MOVED = TrainingConfig(epochs=300, lr_fc=0.03, weight_decay=1e-3, augmentation="strong")
_DEEPER = TrainingConfig(epochs=150, augmentation="strong")
TUNED = {
    tuned.name: tuned
    for tuned in (
        Tuned("article-tuned", _ARTICLE, _STILL, lines=True),
        Tuned("article-tuned-augmented", _ARTICLE, _MOVED, lines=True),
        Tuned("vgg7-600", _VGG7, _DEEPER),
    )
}


@dataclass(frozen=True)
class Outcome:
    """A trained model and its scores; the first is flattering, since it chose the recipe."""

    tuning: loop.Score
    reporting: loop.Score
    model: VGG7
    seconds: float


def halves(split: Split) -> tuple[Dataset, Dataset]:
    """The unused images for tuning, and those for reporting, in the article's shuffled order."""
    places = np.arange(len(split.unused))
    middle = len(places) // 2
    return split.unused.take(places[:middle]), split.unused.take(places[middle:])


def train_tuned(
    data: Dataset,
    name: str,
    seed: int = 0,
    progress: Callable[[int, float], None] = lambda epoch, loss: None,
) -> Outcome:
    """Train by a recipe of TUNED on the article's 600 images; `data` is the whole t10k file.

    `seed` moves the initial weights, the order and the augmentation, never the split. The weights are
    those after the last epoch: to choose an epoch would take labels that a training must not see.
    `progress` gets the epoch, from 1, and its mean loss in nats. Raises ConfigError, TrainingError.
    """
    if name not in TUNED:
        raise ConfigError("preset", expected=f"one of {', '.join(TUNED)}", found=name, fix="choose one")
    began = time.perf_counter()
    split, _ = prepare(data)
    model, recipe = start(TUNED[name], seed), replace(TUNED[name].recipe, seed=seed)
    # Each epoch is validated on the article's 50 images, which are few and decide nothing.
    watched = Splits(split.train, split.test, split.test)
    for state in loop.train(model, watched, recipe, loop.start(model, recipe), lambda *batch: None):
        progress(len(state.history), state.history[-1].train_loss)
    seconds = time.perf_counter() - began
    tuning, reporting = (loop.score(model, half) for half in halves(split))
    return Outcome(tuning, reporting, model, seconds)


def start(tuned: Tuned, seed: int) -> VGG7:
    """The float32 network before its first step."""
    model = VGG7(tuned.model, seed)
    if tuned.lines:
        model.params["conv3.weight"][:] = LINES
    return model
