"""Bugs of the training: schedules, settings, batches, augmentation, initial weights, means, selection, resuming.

`training_check.training_faults` finds them; the place of a bug is that of its faults.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import cos, pi, sqrt
from typing import Any

import numpy as np

from numpy_vgg7 import functional, network
from numpy_vgg7 import model as model_module
from numpy_vgg7.data import augmentation, dataset
from numpy_vgg7.data.augmentation import AUGMENTATIONS
from numpy_vgg7.engine import update
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.optim import SCHEDULES, SGD
from numpy_vgg7.parity.mutants.mutant import Mutant, bug
from numpy_vgg7.training import batches, loop
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.loop import Means, Score, State
from numpy_vgg7.training.run_folder import RunFolder


def schedule(name: str, key: str, factor: Callable[[Any, int, int], float]) -> Mutant:
    """Another factor for a schedule; `factor` gets the right schedule, the step and the steps."""
    return bug(name, "schedule", SCHEDULES, key,
               lambda original: lambda step, steps: factor(original, step, steps))  # fmt: skip


def sgd(name: str, place: str = "optimiser", **changes: Callable[[SGD], Any]) -> Mutant:
    """An optimizer with other settings than those of the training."""

    def make(original: Any) -> Any:
        def changed(self: TrainingConfig) -> SGD:
            right: SGD = original(self)
            return replace(right, **{key: change(right) for key, change in changes.items()})

        return changed

    return bug(name, place, TrainingConfig, "sgd", make)


def order(name: str, change: Callable[[Any, int, TrainingConfig, int], Labels]) -> Mutant:
    """Another order of the images; `change` gets the right function, the images, the settings and the epoch."""
    return bug(name, "batches*", batches, "order",
               lambda original: lambda images, config, epoch, weights=None: change(original, images, config, epoch))  # fmt: skip


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


def smoothed(name: str, change: Callable[[float], float], attribute: str) -> Mutant:
    """Another label smoothing in the loss or in its gradient."""

    def make(original: Any) -> Any:
        if attribute == "cross_entropy":
            return lambda logits, labels, smoothing=0.0: original(logits, labels, change(smoothing))
        return lambda probs, labels, n=None, smoothing=0.0: original(probs, labels, n, change(smoothing))

    return bug(name, "optimiser", functional, attribute, make)


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


def by_parameter(original: Any) -> Any:
    """Clips each gradient by its own norm."""

    def make_gradient(self: update.BlockUpdate) -> None:
        self.clip = np.ones(1, self.parameter.dtype)
        original(self)
        if self.sgd.clip_norm is not None:
            norm = sqrt(float(np.square(self.step).sum()))
            np.multiply(self.step, min(1.0, self.sgd.clip_norm / (norm + 1e-6)), self.step)

    return make_gradient


def restored(change: Callable[[State, VGG7], object]) -> Callable[[Any], Any]:
    """A state that is changed when it is read from a folder."""

    def make(original: Any) -> Any:
        def read_state(self: RunFolder, model: VGG7, *others: Any) -> State:
            state: State = original(self, model, *others)
            change(state, model)
            return state

        return read_state

    return make


def add_unweighted(self: Means, result: Any, labels: Labels) -> None:
    """Every batch counts alike."""
    batch = 5
    self.images += batch
    self.loss += float(result.loss) * batch
    self.correct += int((result.probs.argmax(axis=1) == labels).sum())


def add_last(self: Means, result: Any, labels: Labels) -> None:
    """Only the last batch counts."""
    self.images, self.loss = len(labels), float(result.loss) * len(labels)
    self.correct = int((result.probs.argmax(axis=1) == labels).sum())


def mean_of_batches(model: VGG7, data: dataset.Dataset, *progress: Any) -> Score:
    """The mean over batches, the last of which is smaller."""
    size = model_module.INFERENCE_BATCH
    starts = range(0, len(data), size)
    parts = [data.take(np.arange(start, min(start + size, len(data)))) for start in starts]
    found = [(model.forward(part.images.astype(model.dtype)), part.labels) for part in parts]
    loss = np.mean([float(functional.cross_entropy(logits, labels)) for logits, labels in found])
    errors = sum(int((logits.argmax(axis=1) != labels).sum()) for logits, labels in found)
    return Score(float(loss), 1 - errors / max(1, len(data)), errors, len(data))


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


def exponential(self: State, number: int) -> None:
    """Half of the average, half of the new weights."""
    for name, parameter in self.params.items():
        self.average[name] = (self.average.get(name, parameter) + parameter) / 2


def add_last_only(self: State, number: int) -> None:
    """The weights of the last epoch."""
    self.average = {name: parameter.copy() for name, parameter in self.params.items()}


def best_by(choose: Callable[[list[float]], int]) -> Any:
    """Another best epoch, by the validation losses."""
    return lambda original: property(lambda self: choose([row.validation_loss for row in self.history]) + 1)


def held_out(change: Callable[[Any, Any, int], Any]) -> Callable[[Any], Any]:
    """Another way to hold out images; `change` gets the right one, the data set and the number."""
    return lambda original: lambda data, size: change(original, data, size)


SCHEDULE = (
    schedule("schedule ignored", "one-cycle", lambda right, step, steps: 1.0),
    schedule("warm-up over a fifth of the steps", "one-cycle",
             lambda right, step, steps: min(1.0, (step + 1) / max(1, steps // 5)) if step < steps // 5 else right(step, steps)),
    schedule("warm-up from 0", "one-cycle",
             lambda right, step, steps: right(step, steps) if step else 0.0),
    schedule("warm-up missing", "one-cycle", lambda right, step, steps: 0.5 * (1 + cos(pi * step / steps))),
    schedule("schedule one step late", "one-cycle", lambda right, step, steps: right(max(0, step - 1), steps)),
    schedule("schedule one step early", "cosine", lambda right, step, steps: right(step + 1, steps)),
    schedule("cosine over twice the steps", "cosine", lambda right, step, steps: right(step, 2 * steps)),
    schedule("cosine restarted in every epoch", "cosine", lambda right, step, steps: right(step % 3, 3)),
    schedule("schedule by epochs instead of steps", "cosine", lambda right, step, steps: right(step // 3 * 3, steps)),
    schedule("straight line instead of a cosine", "cosine", lambda right, step, steps: 1 - step / steps),
    schedule("steps by a factor of 1/2", "step", lambda right, step, steps: right(step, steps) ** 0.30103),
    schedule("second step missing", "step", lambda right, step, steps: max(0.1, right(step, steps))),
    schedule("steps too early", "step", lambda right, step, steps: right(step + steps // 4, steps)),
    schedule("constant schedule decays", "constant", lambda right, step, steps: 1 / (1 + 0.01 * step)),
    bug("counts the steps of an epoch without the last batch", "batches*", batches, "count",
        lambda original: lambda images, config: max(1, images // config.batch_size)),
)  # fmt: skip

SETTINGS = (
    sgd("momentum ignored", momentum=lambda right: 0.0, nesterov=lambda right: False),
    sgd("momentum 0.9 whatever was set", momentum=lambda right: 0.9),
    sgd("Nesterov's momentum ignored", nesterov=lambda right: False),
    sgd("Nesterov's momentum always", nesterov=lambda right: right.momentum > 0),
    sgd("weight decay ignored", weight_decay=lambda right: 0.0),
    sgd("weight decay doubled", weight_decay=lambda right: 2 * right.weight_decay),
    sgd("weight decay multiplied by the learning rate", weight_decay=lambda right: right.weight_decay * right.lr_fc),
    sgd("biases decay though they should not", decay_biases=lambda right: True),
    sgd("biases do not decay though they should", decay_biases=lambda right: False),
    sgd("learning rates of convolutions and others exchanged", "schedule", lr_conv=lambda right: right.lr_fc, lr_fc=lambda right: right.lr_conv),
    sgd("one learning rate for all", "schedule", lr_conv=lambda right: right.lr_fc),
    sgd("clipping ignored", clip_norm=lambda right: None),
    sgd("clipping at twice the norm", clip_norm=lambda right: right.clip_norm and 2 * right.clip_norm),
    bug("clipping scales small gradients up", "optimiser", SGD, "clip_factor",
        lambda original: lambda self, norm: 1.0 if self.clip_norm is None else self.clip_norm / (norm + 1e-6)),
    bug("clipping by the squared norm", "optimiser", SGD, "clip_factor",
        lambda original: lambda self, norm: original(self, norm * norm)),
    bug("each gradient clipped by its own norm", "optimiser", update.BlockUpdate, "make_gradient", by_parameter),
    bug("norm of the gradients without the factored ones", "optimiser", update, "square_norm",
        lambda original: lambda gradient: 0.0 if isinstance(gradient, tuple) else original(gradient)),
    smoothed("label smoothing ignored", lambda smoothing: 0.0, "cross_entropy_backward"),
    smoothed("label smoothing in the gradient only", lambda smoothing: 0.0, "cross_entropy"),
    smoothed("label smoothing over the other classes only", lambda smoothing: smoothing * 4 / 3, "cross_entropy_backward"),
    smoothed("label smoothing doubled", lambda smoothing: 2 * smoothing, "cross_entropy_backward"),
)  # fmt: skip

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

LOOP = (
    bug("mean of batches, not of images", "means", Means, "add", lambda original: add_unweighted),
    bug("loss and accuracy of the last batch only", "means", Means, "add", lambda original: add_last),
    bug("validation loss as a mean of batches", "means", loop, "score", lambda original: mean_of_batches),
    bug("average of all weights weighs the last half", "average", State, "add_to_average", lambda original: exponential),
    bug("no average, the last weights", "average", State, "add_to_average", lambda original: add_last_only),
    bug("average not used", "average", State, "weights", lambda original: property(lambda self: self.params)),
    bug("velocity lost when a training is resumed", "optimiser", RunFolder, "read_state",
        restored(lambda state, model: state.velocity.update({k: 0 * v for k, v in state.velocity.items()}))),
    bug("resumed from the initial weights", "optimiser", RunFolder, "read_state",
        restored(lambda state, model: state.params.update(model.params))),
    bug("average lost when a training is resumed", "*", RunFolder, "read_state",
        restored(lambda state, model: state.average.update({k: 0 * v for k, v in state.average.items()}))),
    bug("resumed one epoch too early", "batches", RunFolder, "read_state",
        restored(lambda state, model: state.history.pop())),
    bug("best epoch by a single loss", "selection", State, "best_epoch", best_by(lambda losses: int(np.argmin(losses)))),
    bug("best epoch with the highest loss", "selection", State, "best_epoch", best_by(lambda losses: int(np.argmax(losses)))),
    bug("best epoch always the last", "selection", State, "best_epoch", best_by(lambda losses: len(losses) - 1)),
    bug("stops one epoch too late", "selection", State, "is_over",
        lambda original: lambda self, config: original(self, replace(config, patience=config.patience and config.patience + 1))),
    bug("never stops early", "selection", State, "is_over",
        lambda original: lambda self, config: original(self, replace(config, patience=0))),
    bug("chance as if classes were equally frequent", "selection", loop, "chance_loss",
        lambda original: lambda labels, smoothing=0.0: float(np.log(len(np.unique(labels))))),
    bug("chance without label smoothing", "selection", loop, "chance_loss",
        lambda original: lambda labels, smoothing=0.0: original(labels)),
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

TRAINING = tuple(
    Mutant(f"{mutant.name} (training)", mutant.place, mutant.replacements)
    for mutant in (*SCHEDULE, *SETTINGS, *BATCHES, *AUGMENTATION, *INITIALISATION, *LOOP, *SPLIT)
)
