"""Bugs of the training: schedules, settings, means, selection and resuming.

`training_check.training_faults` finds them; the place of a bug is that of its faults.
"""

from collections.abc import Callable
from dataclasses import replace
from math import cos, pi, sqrt
from typing import Any

import numpy as np

from numpy_vgg7 import functional
from numpy_vgg7 import model as model_module
from numpy_vgg7.data import dataset
from numpy_vgg7.engine import update
from numpy_vgg7.functional import Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import SCHEDULES, SGD
from numpy_vgg7.parity.mutants.mutant import Mutant, bug
from numpy_vgg7.parity.mutants.training_data import AUGMENTATION, BATCHES, INITIALISATION, SPLIT
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


def smoothed(name: str, change: Callable[[float], float], attribute: str) -> Mutant:
    """Another label smoothing in the loss or in its gradient."""

    def make(original: Any) -> Any:
        if attribute == "cross_entropy":
            return lambda logits, labels, smoothing=0.0: original(logits, labels, change(smoothing))
        return lambda probs, labels, n=None, smoothing=0.0: original(probs, labels, n, change(smoothing))

    return bug(name, "optimiser", functional, attribute, make)


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

TRAINING = tuple(
    Mutant(f"{mutant.name} (training)", mutant.place, mutant.replacements)
    for mutant in (*SCHEDULE, *SETTINGS, *BATCHES, *AUGMENTATION, *INITIALISATION, *LOOP, *SPLIT)
)
