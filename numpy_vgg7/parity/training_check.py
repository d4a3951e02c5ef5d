"""Training parity: a whole training against an independent one, and each part of it that draws or counts.

The reference trains on the batches that ours draws; learning rates, losses, parameters and velocity must
agree after every step. What has no counterpart there is checked by itself: the order of the images,
augmentation against SciPy's and by its statistics, the initial weights by their variances, the means, the
selection of the best epoch, the checkpoint, and the split.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.data import Splits
from numpy_vgg7.engine import plan
from numpy_vgg7.engine.executor import Result
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.localise import Culprit
from numpy_vgg7.parity.tolerances import TRAJECTORY64
from numpy_vgg7.parity.training_parts import PARTS, images_of
from numpy_vgg7.training import loop
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.run_folder import RunConfig, RunFolder

IMAGES, EPOCHS = 13, 5  # batches of 5, 5 and 3 images
NETWORK = VGG7Config(image_size=8, classes=4, channels=(3, 4, 5, 6), hidden=(12, 9))


class TrainingStep(NamedTuple):
    """After a step: loss and right predictions of its batch, learning rates, parameters and velocity.

    The velocity is empty without momentum.
    """

    loss: float
    correct: int
    rates: dict[str, float]  # by parameter
    params: Arrays
    velocity: Arrays


# Trains a copy of a model on batches, with the settings of a training of so many steps.
TrainingReference = Callable[
    [VGG7, Iterable[tuple[Array, Labels]], TrainingConfig, int], Iterable[TrainingStep]
]


@dataclass(frozen=True)
class TrainingCase:
    """Settings, threads, and after how many epochs the training is interrupted and resumed."""

    config: TrainingConfig
    threads: int = 1
    resumed_after: int | None = None


_BASE = TrainingConfig(
    epochs=EPOCHS, batch_size=5, lr_conv=0.02, lr_fc=0.05, weight_decay=0.02, augment=False, seed=3
)
TRAININGS = (
    TrainingCase(_BASE),
    TrainingCase(replace(_BASE, schedule="cosine", nesterov=False, decay_biases=False), threads=2),
    TrainingCase(replace(_BASE, schedule="step", momentum=0.0, label_smoothing=0.2, augment=True)),
    TrainingCase(replace(_BASE, schedule="constant", momentum=0.5, clip_norm=0.5, average=3), 2, 4),
    TrainingCase(replace(_BASE, weight_decay=0.0, momentum=0.0, clip_norm=100.0, label_smoothing=0.1)),
)


class Recorder(VGG7):
    """A model that notes the batches that it is trained on, and what its steps give."""

    batches: list[tuple[Array, Labels]]
    steps: list[TrainingStep]

    def train_step(
        self,
        x: Array,
        labels: Labels,
        sgd: SGD,
        velocity: Arrays,
        lr_scale: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> Result:
        """A step, noted."""
        result = super().train_step(x, labels, sgd, velocity, lr_scale, label_smoothing)
        rates = sgd.learning_rates(self.parameter_groups)
        self.batches.append((x.copy(), labels.copy()))
        self.steps.append(TrainingStep(
            float(result.loss),
            int((result.probs.argmax(axis=1) == labels).sum()),
            {name: lr_scale * rate for name, rate in rates.items()},
            {name: parameter.copy() for name, parameter in self.params.items()},
            {name: v.copy() for name, v in velocity.items()} if sgd.momentum else {},
        ))  # fmt: skip
        return result


def training_faults(reference: TrainingReference) -> Iterator[Culprit]:
    """Everything that is wrong in the training."""
    for place, part in PARTS.items():
        yield from (Culprit(place, place, words) for words in part())
    for case in TRAININGS:
        yield from trajectory_faults(case, reference)


def trajectory_faults(case: TrainingCase, reference: TrainingReference) -> Iterator[Culprit]:
    """The first tensor in which a training and the reference's differ, and what follows from its steps."""
    model = Recorder(NETWORK, seed=1, dtype="float64")
    initial = VGG7.from_params(NETWORK, model.params)
    data = images_of(IMAGES, NETWORK.classes)
    splits = Splits(data, images_of(7, NETWORK.classes, seed=1), data)
    history, weights = run(model, case, splits)
    steps = EPOCHS * len(range(0, IMAGES, case.config.batch_size))
    if [len(labels) for _, labels in model.batches] != [5, 5, 3] * EPOCHS:
        yield Culprit("batches", "batches", "the sizes of the batches are not 5, 5, 3 in every epoch")
        return
    theirs = list(reference(initial, model.batches, case.config, steps))
    for index, (ours, right) in enumerate(zip(model.steps, theirs, strict=True)):
        for name, a, b in tensors(ours, right):
            if a.shape != b.shape or not np.abs(a - b).max() <= TRAJECTORY64 * max(1e-3, np.abs(b).max()):
                place = "schedule" if name.startswith("learning rate") else "optimiser"
                found = f"{name} differs from the reference after step {index + 1} of {case}"
                yield Culprit(place, name, found)
                return
    yield from _epoch_faults(case, history, theirs)
    ends = [step.params for step in theirs[2::3]]
    averaged = ends[-(case.config.average or 1) :]
    for name, parameter in weights.items():
        mean = np.mean([end[name] for end in averaged], axis=0)
        if not np.allclose(parameter, mean, rtol=0, atol=TRAJECTORY64):
            yield Culprit("average", name, f"{name} is not the mean after the last {len(averaged)} epochs")
            return


def run(model: Recorder, case: TrainingCase, splits: Splits) -> tuple[list[loop.Epoch], Arrays]:
    """Train, where the case says so in two sessions. Returns the epochs and the last weights."""
    model.batches, model.steps, model.threads = [], [], case.threads
    state = loop.start(model, case.config)
    if case.resumed_after is None:
        with small_tasks():
            for _ in loop.train(model, splits, case.config, state, ignored):
                pass
        return state.history, model.params
    with tempfile.TemporaryDirectory() as parent, small_tasks():
        folder = RunFolder(Path(parent) / "run")
        config = RunConfig("vgg7", "digits", "float64", NETWORK, case.config)
        folder.create(config)
        binding = config.binding(splits)
        for after in loop.train(model, splits, case.config, state, ignored):
            folder.write(model, after, binding)
            if len(after.history) == case.resumed_after:
                break
        resumed = Recorder(NETWORK, seed=2, dtype="float64", threads=case.threads)
        resumed.batches, resumed.steps = model.batches, model.steps
        state = folder.read_state(resumed, binding)
        for after in loop.train(resumed, splits, case.config, state, ignored):
            folder.write(resumed, after, binding)
        return state.history, VGG7.load(folder.last).params


def ignored(*batch: object) -> None:
    """The progress of a training that nobody watches."""


def small_tasks() -> AbstractContextManager[object]:
    """Let even small batches be shared by threads."""
    return mock.patch.multiple(plan, FEATURES_PER_THREAD=1, CLASSIFIER_PER_THREAD=1)


def tensors(ours: TrainingStep, theirs: TrainingStep) -> Iterator[tuple[str, Array, Array]]:
    """Everything to be compared after a step, by name."""
    for name, rate in theirs.rates.items():
        yield f"learning rate of {name}", np.array([ours.rates[name]]), np.array([rate])
    yield "loss", np.array([ours.loss]), np.array([theirs.loss])
    for kind, a, b in (("velocity", ours.velocity, theirs.velocity), ("", ours.params, theirs.params)):
        for name, array in b.items():
            yield f"{kind} {name}".strip(), a.get(name, np.zeros(0)), array


def _epoch_faults(
    case: TrainingCase, history: list[loop.Epoch], steps: list[TrainingStep]
) -> Iterator[Culprit]:
    """The rows of the epochs against means over all images."""
    sizes = np.array([5, 5, 3])
    for epoch, row in enumerate(history):
        own = steps[3 * epoch : 3 * epoch + 3]
        loss = sum(sizes * [step.loss for step in own]) / IMAGES
        accuracy = sum(step.correct for step in own) / IMAGES
        if abs(row.train_loss - loss) > TRAJECTORY64 or abs(row.train_accuracy - accuracy) > TRAJECTORY64:
            yield Culprit(
                "means", "training means", f"epoch {epoch + 1} of {case} is not the mean of its images"
            )
            return
