"""Bugs of what a training starts from: batches, augmentation, initial weights and the split."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import sqrt
from typing import Any

import numpy as np

from numpy_vgg7 import model as model_module
from numpy_vgg7 import network
from numpy_vgg7.data import augmentation, dataset
from numpy_vgg7.data.augmentation import AUGMENTATIONS
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.parity.mutants.mutant import Mutant, bug
from numpy_vgg7.training import batches
from numpy_vgg7.training.config import TrainingConfig


def order(name: str, change: Callable[[Any, int, TrainingConfig, int], Labels]) -> Mutant:
    """Another order of the images; `change` gets the right function, the images, the settings and the epoch."""
    return bug(name, "batches*", batches, "order",
               lambda original: lambda images, config, epoch, weights=None: change(original, images, config, epoch))  # fmt: skip


def weighted(name: str, change: Callable[[Any, int, TrainingConfig, int, Array], Labels]) -> Mutant:
    """Another order of weighted images; `change` gets the right function and its arguments."""

    def make(right: Any) -> Any:
        def changed(images: int, config: TrainingConfig, epoch: int, weights: Array | None = None) -> Labels:
            if weights is None:
                unweighted: Labels = right(images, config, epoch)
                return unweighted
            return change(right, images, config, epoch, weights)

        return changed

    return bug(name, "batches weighted", batches, "order", make)


def drawn(name: str, change: Callable[[Any, TrainingConfig, int], Any]) -> Mutant:
    """Other random numbers for the augmentation."""
    return bug(name, "batches*", batches, "augmentation_rng",
               lambda original: lambda config, epoch: change(original, config, epoch))  # fmt: skip


def augmented(name: str, change: Callable[[Any, Array, Any, Any], Array]) -> Mutant:
    """Another augmentation of batches; `change` gets the right one, images, random numbers and what to change."""
    return bug(name, "batches*", batches, "augment",
               lambda original: lambda x, rng, ranges: change(original, x, rng, ranges))  # fmt: skip


def sources(name: str, change: Callable[..., tuple[Any, ...]]) -> Mutant:
    """Pixels from other places: `change` gets and returns the size, angle, scale, offset and knots."""
    return bug(name, "augmentation*", augmentation, "_sources",
               lambda original: lambda *given: original(*change(*given)))  # fmt: skip


def initial(name: str, change: Callable[[Any, Any, int, str], Arrays]) -> Mutant:
    """Other initial weights; `change` gets the right function, layers, seed and dtype."""

    def make(original: Any) -> Any:
        return lambda layers, seed, dtype="float32": change(original, layers, seed, dtype)

    return bug(name, "initialisation", network, "initial_params", make)


def corner(original: Any) -> Any:
    """Rotates and scales about the upper left corner."""

    def moved(size: int, angle: Array, scale: Array, offset: Array, knots: Array) -> tuple[Array, Array]:
        i, j = np.arange(size)[:, None] * scale[0], np.arange(size) * scale[1]
        row = np.cos(angle) * i - np.sin(angle) * j + offset[0]
        return row, np.sin(angle) * i + np.cos(angle) * j + offset[1]

    return moved


def sheared(original: Any) -> Any:
    """Both sines of the rotation with one sign."""

    def moved(size: int, angle: Array, scale: Array, offset: Array, knots: Array) -> tuple[Array, Array]:
        row, column = original(size, angle, scale, offset, knots)
        j = (np.arange(size) - (size - 1) / 2) * scale[1]
        return row + 2 * np.sin(angle) * j, column

    return moved


def interpolated(change: Callable[[Any, Array, Array, Array], Array]) -> Callable[[Any], Any]:
    """Another interpolation; `change` gets the right one, images, rows and columns."""
    return lambda original: lambda images, row, column: change(original, images, row, column)


def without_last(original: Any) -> Any:
    """Epochs without their last batch if it is small."""

    def drawn_batches(data: Any, config: TrainingConfig, epoch: int, dtype: str) -> Iterator[Any]:
        found = original(data, config, epoch, dtype)
        yield from (batch for batch in found if len(batch[1]) == config.batch_size)

    return drawn_batches


def filled_up(original: Any) -> Any:
    """A small last batch filled up with its own images."""

    def drawn_batches(data: Any, config: TrainingConfig, epoch: int, dtype: str) -> Iterator[Any]:
        for x, labels in original(data, config, epoch, dtype):
            again = np.arange(config.batch_size) % len(labels)
            yield x[again], labels[again]

    return drawn_batches


def held_out(change: Callable[[Any, Any, int], Any]) -> Callable[[Any], Any]:
    """Another way to hold out images; `change` gets the right one, the data set and the number."""
    return lambda original: lambda data, size: change(original, data, size)


BATCHES = (
    order("images not shuffled", lambda right, images, config, epoch: np.arange(images)),
    order("the same order in every epoch", lambda right, images, config, epoch: right(images, config, 0)),
    order("the same order for every seed", lambda right, images, config, epoch: right(images, replace(config, seed=0), epoch)),
    order("an order that is not reproducible", lambda right, images, config, epoch: np.random.default_rng().permutation(images)),
    order("images drawn with replacement", lambda right, images, config, epoch: np.random.default_rng(epoch).integers(0, images, images)),
    order("shuffled within halves only", lambda right, images, config, epoch: np.sort(right(images, config, epoch)[:9]).tolist() + right(images, config, epoch)[9:].tolist()),
    bug("small last batch dropped", "batches*", batches, "draw", without_last),
    bug("small last batch filled up", "batches*", batches, "draw", filled_up),
    bug("labels of other images", "batches*", dataset.Dataset, "batch",
        lambda original: lambda self, indices: original(self, indices)[::-1]),
    bug("pixels divided by 256", "batches*", dataset, "unit_interval",
        lambda original: lambda pixels, dtype: original(pixels, dtype) * np.float32(255 / 256)),
    weighted("sample weights ignored", lambda right, images, config, epoch, weights: right(images, config, epoch)),
    weighted("sample weights of other images",
             lambda right, images, config, epoch, weights: right(images, config, epoch, weights[::-1])),
    weighted("sample weights squared", lambda right, images, config, epoch, weights: right(images, config, epoch, weights**2)),
    weighted("sample weights as chances, each image drawn by itself", lambda right, images, config, epoch, weights:
             np.random.default_rng([config.seed, epoch]).choice(images, images, p=weights / weights.sum())),
    weighted("sample weights as numbers of copies", lambda right, images, config, epoch, weights:
             right(images, config, epoch).repeat(np.rint(weights[right(images, config, epoch)]).astype(int))),
    weighted("copies of a weighted image one after another", lambda right, images, config, epoch, weights:
             np.sort(right(images, config, epoch, weights))),
    bug("sample weights lost in the split", "batches weighted", dataset.Dataset, "take",
        lambda original: lambda self, indices: replace(original(self, indices), weights=None)),
    augmented("augmentation ignored", lambda right, x, rng, ranges: x),
    augmented("always the gentle augmentation", lambda right, x, rng, ranges: right(x, rng, AUGMENTATIONS["gentle"])),
    augmented("one augmentation for all images of a batch",
              lambda right, x, rng, ranges: np.concatenate([right(one[None], np.random.default_rng(rng.integers(1)), ranges) for one in x])),
    augmented("the last image of a batch not augmented",
              lambda right, x, rng, ranges: np.concatenate([right(x, rng, ranges)[:-1], x[-1:]])),
    drawn("the same augmentation in every epoch", lambda right, config, epoch: right(config, 0)),
    drawn("the same augmentation for every seed", lambda right, config, epoch: right(replace(config, seed=0), epoch)),
    drawn("the order's random numbers for the augmentation, too",
          lambda right, config, epoch: np.random.default_rng([config.seed, epoch, batches.SHUFFLE])),
)  # fmt: skip

AUGMENTATION = (
    bug("rotation about the corner", "augmentation*", augmentation, "_sources", corner),
    bug("shear instead of rotation", "augmentation*", augmentation, "_sources", sheared),
    sources("rotation in degrees", lambda size, angle, scale, offset, knots: (size, np.rad2deg(angle), scale, offset, knots)),
    sources("rotation in one direction only", lambda size, angle, scale, offset, knots: (size, np.abs(angle), scale, offset, knots)),
    sources("no rotation", lambda size, angle, scale, offset, knots: (size, 0 * angle, scale, offset, knots)),
    sources("one scale for rows and columns", lambda size, angle, scale, offset, knots: (size, angle, scale[[0, 0]], offset, knots)),
    sources("images only enlarged", lambda size, angle, scale, offset, knots: (size, angle, 1 - np.abs(1 - scale), offset, knots)),
    sources("no scaling", lambda size, angle, scale, offset, knots: (size, angle, 0 * scale + 1, offset, knots)),
    sources("translation in pixels instead of shares of the side", lambda size, angle, scale, offset, knots: (size, angle, scale, offset / size, knots)),
    sources("translation doubled", lambda size, angle, scale, offset, knots: (size, angle, scale, 2 * offset, knots)),
    sources("one translation for rows and columns", lambda size, angle, scale, offset, knots: (size, angle, scale, offset[[0, 0]], knots)),
    sources("no distortion", lambda size, angle, scale, offset, knots: (size, angle, scale, offset, 0 * knots)),
    sources("distortion in pixels of a larger image", lambda size, angle, scale, offset, knots: (size, angle, scale, offset, 2 * knots)),
    bug("edges repeated instead of black", "augmentation*", augmentation, "_interpolate", interpolated(
        lambda right, images, row, column: right(images, row.clip(0, images.shape[1] - 1), column.clip(0, images.shape[1] - 1)))),
    bug("nearest neighbour instead of bilinear", "augmentation*", augmentation, "_interpolate", interpolated(
        lambda right, images, row, column: right(images, np.round(row), np.round(column)))),
    bug("rows and columns exchanged", "augmentation*", augmentation, "_interpolate", interpolated(
        lambda right, images, row, column: right(images, column, row))),
    bug("pixels shifted by half a pixel", "augmentation*", augmentation, "_interpolate", interpolated(
        lambda right, images, row, column: right(images, row + 0.5, column + 0.5))),
)  # fmt: skip


def scaled(factor: Callable[[Array], float]) -> Callable[[Any, Any, int, str], Arrays]:
    """Weights times a factor that depends on their shape."""

    def change(right: Any, layers: Any, seed: int, dtype: str) -> Arrays:
        found: Arrays = right(layers, seed, dtype)
        return {name: p * factor(p) if name.endswith("weight") else p for name, p in found.items()}

    return change


def one_stream(right: Any, layers: Any, seed: int, dtype: str) -> Arrays:
    """The same random numbers for every layer."""
    found: Arrays = right(layers, seed, dtype)
    return {
        name: np.random.default_rng(seed).standard_normal(p.shape) * p.std() if p.ndim > 1 else p
        for name, p in found.items()
    }


def uniform(right: Any, layers: Any, seed: int, dtype: str) -> Arrays:
    """Uniform weights of the same variance."""
    rng = np.random.default_rng(seed)
    found: Arrays = right(layers, seed, dtype)
    return {
        name: rng.uniform(-sqrt(3), sqrt(3), p.shape) * p.std() if p.ndim > 1 else p
        for name, p in found.items()
    }


INITIALISATION = (
    bug("ReLU without its gain", "initialisation", ACTIVATIONS, "relu", lambda original: original._replace(gain=1.0)),
    bug("gain of ReLU for tanh", "initialisation", ACTIVATIONS, "tanh", lambda original: original._replace(gain=sqrt(2))),
    bug("fan-in without the nine pixels of a kernel", "initialisation", network, "prod",
        lambda original: lambda shape: shape[0] if len(shape) == 3 else original(shape)),
    initial("fan-out instead of fan-in", scaled(lambda p: sqrt(p[0].size / (p.size / p.shape[1])))),
    initial("weights half as large", scaled(lambda p: 0.5)),
    initial("one stream of random numbers for every layer", one_stream),
    initial("uniform instead of normal", uniform),
    initial("seed ignored", lambda right, layers, seed, dtype: right(layers, 0, dtype)),
    initial("biases not zero", lambda right, layers, seed, dtype: {
        name: p + 0.1 if name.endswith("bias") else p for name, p in right(layers, seed, dtype).items()}),
    bug("a model ignores its seed", "initialisation", model_module, "initial_params",
        lambda original: lambda layers, seed, dtype: original(layers, 0, dtype)),
)  # fmt: skip

SPLIT = (
    bug("validation images are trained on", "split", dataset, "hold_out",
        held_out(lambda right, data, size: (data, right(data, size)[1]))),
    bug("classes not held out in equal shares", "split", dataset, "hold_out",
        held_out(lambda right, data, size: (data.take(np.arange(size, len(data))), data.take(np.arange(size))))),
    bug("half as many images held out", "split", dataset, "hold_out",
        held_out(lambda right, data, size: right(data, size // 2))),
    bug("another split each time", "split", dataset, "hold_out",
        held_out(lambda right, data, size: right(data.take(np.random.default_rng().permutation(len(data))), size))),
)  # fmt: skip
