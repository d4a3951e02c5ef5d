"""The kinds of checks, each with what it alone can see. `parity prove` shows that all of them are needed."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import VGG7Error
from numpy_vgg7.functional import Arrays
from numpy_vgg7.model import VGG7
from numpy_vgg7.parity import extremes
from numpy_vgg7.parity.case import FIRST_STEP, RATES, Case, definition_trace, random_case, random_model
from numpy_vgg7.parity.compare import compare
from numpy_vgg7.parity.complex_step import complex_step, local_complex_step
from numpy_vgg7.parity.engine_check import EngineCase, engine_mismatches, mismatches_beside_each_other
from numpy_vgg7.parity.kernel_alone import localise_nan
from numpy_vgg7.parity.localise import Culprit, first_of, localise
from numpy_vgg7.parity.purity import impurities
from numpy_vgg7.parity.rounding import rounding_errors
from numpy_vgg7.parity.training_check import TrainingReference, training_faults

Referee = Callable[[Case], Arrays]  # the trace that a case should have, by an independent implementation
ENTRIES = 4  # of each parameter, for the complex step
LARGE_EVERY = 10  # seeds, since a large batch, or threads that use one model, take as long as everything else
LARGE_WEIGHTS = 30
FEW_STEPS = (1, 3)


class Finding(NamedTuple):
    """Something that a check found: in which tensor, and the place that is wrong if the check knows it."""

    tensor: str
    culprit: Culprit | None = None


@dataclass(frozen=True)
class Suite:
    """The cases of one seed: architectures that complement each other, random numbers in them.

    trainer: an independent training, for the check of that name.
    """

    seed: int
    referee: Referee
    trainer: TrainingReference

    def case(self, config: VGG7Config, batch: int, dtype: str = "float64") -> Case:
        """A case of this seed, with the parameters after the first step only."""
        case = random_case(random_model(config, self.seed, dtype), batch, self.seed)
        return replace(case, steps=FIRST_STEP)

    def uneven(self, dtype: str = "float64", batch: int = 5) -> Case:
        """Dimensions pairwise different, so that a wrong axis is a mismatch; groups; the arctan."""
        config = VGG7Config(
            image_size=12,
            classes=7,
            channels=(3, 4, 6, 8),
            groups=(1, 1, 2, 1),
            hidden=(11, 9),
            activations=("relu", "relu", "relu", "relu", "tanh", "tanh", "arctan"),
        )
        return self.case(config, batch, dtype)

    def even(self) -> Case:
        """Dimensions all equal, so that a wrong axis shows in nothing but the numbers."""
        return self.case(VGG7Config(image_size=8, classes=16, channels=(4,) * 4, hidden=(16, 16)), 4)

    def single(self) -> Case:
        """One image: what is wrong only where a batch is no batch. And large inputs of the arctan."""
        activations = ("relu", "relu", "relu", "relu", "tanh", "tanh", "arctan")
        config = VGG7Config(image_size=8, channels=(2, 3, 4, 5), hidden=(6, 7), activations=activations)
        case = self.case(config, 1)
        case.model.params["fc7.weight"] *= LARGE_WEIGHTS
        for name, parameter in case.model.params.items():
            if name.startswith("conv") and name.endswith("bias"):  # one image would leave some layers dead
                parameter[:] = np.abs(parameter)
        return case

    def winograd(self) -> Case:
        """Channels and an image size for which the engine uses Winograd's algorithm, and an odd batch."""
        config = VGG7Config(
            image_size=12,
            channels=(6, 5, 8, 10),
            groups=(1, 1, 1, 2),
            hidden=(11, 17),
            activations=("relu", "tanh", "arctan", "relu", "arctan", "identity", "arctan"),
        )
        return self.case(config, 7)

    def smooth(self) -> Case:
        """No ReLU, which the rounding of float32 could flip; channels for Winograd's algorithm."""
        config = VGG7Config(
            image_size=8,
            channels=(3, 6, 8, 5),
            hidden=(11, 9),
            activations=("tanh", "arctan", "identity", "tanh", "arctan", "tanh", "arctan"),
        )
        return self.case(config, 7, "float32")

    def few(self) -> Case:
        """Few lines to be run, for threads that take turns: im2col, Winograd's algorithm, all activations."""
        activations = ("relu", "tanh", "arctan", "relu", "tanh", "arctan", "identity")
        return self.case(VGG7Config(image_size=8, channels=(2, 4, 8, 8), activations=activations), 2)

    def large(self) -> Case:
        """A batch that the engine splits into several shards and tasks with its own constants."""
        return self.case(VGG7Config(image_size=8, channels=(16, 5, 6, 7), hidden=(128, 64)), 300)

    def article(self) -> Case:
        """The article's channels, where conv1 and conv2 have one shape, and no biases."""
        config = VGG7Config.preset("article", image_size=8, hidden=(12, 10))
        return self.case(config, 3)

    def kinks(self) -> Case:
        """Pre-activations that are exactly zero (black pixels, no bias), and a dead channel."""
        case = self.even()
        for name, parameter in case.model.params.items():
            if name.startswith("conv") and name.endswith("bias"):
                parameter[:] = 0
        case.model.params["conv3.bias"][0] = -100
        images = case.images.copy()
        images[:, :, :, images.shape[3] // 2 :] = 0
        return replace(case, images=images)


def values_and_gradients(suite: Suite) -> Iterator[Finding]:
    """float64 check: every value and gradient of the definition against the reference."""
    for case in (suite.uneven(), suite.even(), suite.single(), suite.article()):
        yield from _mismatches(case, suite.referee(case), ("value", "gradient"))


def optimiser_step(suite: Suite) -> Iterator[Finding]:
    """Optimizer step: every parameter after one step and after three, where the gradients are right."""
    for first in (suite.uneven(), suite.article()):
        case = replace(first, steps=FEW_STEPS)
        findings = list(_mismatches(case, suite.referee(case), ("value", "gradient", "update")))
        if all(".step" in finding.tensor for finding in findings):  # else the gradients are wrong
            yield from findings


def kinks(suite: Suite) -> Iterator[Finding]:
    """Kinks: the float64 trace where ReLU has no derivative."""
    case = suite.kinks()
    yield from _mismatches(case, suite.referee(case), ("value", "gradient"))


def complex_steps(suite: Suite) -> Iterator[Finding]:
    """Complex step: gradients by a reference that has nothing in common with the other one."""
    case = suite.uneven()
    for name in local_complex_step(case, suite.seed):
        yield Finding(name, Culprit(f"{name} backward", name, "fails the complex step of its layer alone"))
    for checked in complex_step(case, definition_trace(case), suite.seed, ENTRIES):
        if not checked.passed:
            yield Finding(f"{checked.name}.grad")


def rounding(suite: Suite) -> Iterator[Finding]:
    """float32 check: the engine's rounding errors against the reference's."""
    case = suite.uneven("float32", batch=32)
    for found in rounding_errors(case, suite.referee):
        if not found.passed:
            place = f"{found.name.split('.')[0]} {'backward' if '.grad' in found.name else 'forward'}"
            words = f"{found.name} has a rounding error {found.ratio:.1f} times that of the reference"
            yield Finding(found.name, Culprit(place, found.name, words))


def extreme_logits(suite: Suite) -> Iterator[Finding]:
    """Extreme logits: softmax and loss of large logits."""
    with np.errstate(all="ignore"):
        for culprit in extremes.softmax_of_large_logits(suite.seed):
            yield Finding(culprit.tensor, culprit)


def extreme_values(suite: Suite) -> Iterator[Finding]:
    """Extreme values: large numbers, NaN, infinities and subnormal numbers."""
    layers = suite.uneven().model.layers
    case = EngineCase(suite.even(), RATES, images_per_shard=2)
    with np.errstate(all="ignore"):
        for found in (
            extremes.kernels(layers),
            localise_nan(case.case),
            extremes.engine(case),
        ):
            yield from (Finding(culprit.tensor, culprit) for culprit in found)


def purity(suite: Suite) -> Iterator[Finding]:
    """Purity: no argument is changed, and no result is shared with or left over from another batch."""
    for case in (suite.even(), suite.single()):
        yield from (Finding(culprit.tensor, culprit) for culprit in impurities(case, suite.seed))


def interchange(suite: Suite) -> Iterator[Finding]:
    """Interchange: weights survive every file format bit for bit, and share no memory."""
    from numpy_vgg7.weights import read_foreign, save

    model = suite.even().model
    copied = VGG7.from_params(model.config, model.params)
    for name, parameter in model.params.items():
        if np.shares_memory(copied.params[name], parameter):
            yield Finding(
                name, Culprit("weights", name, f"{name} shares memory with what it was copied from")
            )
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".safetensors", ".npz"):
            path = Path(folder) / f"w{suffix}"
            try:
                save(path, model)
                back = read_foreign(path)[0].params
            except VGG7Error as error:
                tensor = error.what.split(": ")[-1]
                words = f"{tensor} in {suffix}: expected {error.expected}, found {error.found}"
                yield Finding(tensor, Culprit("weights", tensor, words))
                continue
            for name, parameter in model.params.items():
                if not np.array_equal(back[name], parameter) or back[name].dtype != parameter.dtype:
                    yield Finding(name, Culprit("weights", name, f"{name} comes back changed from {suffix}"))


def engine_against_definition(suite: Suite) -> Iterator[Finding]:
    """Engine against definition: what VGG7 computes, with several shards and threads, and in training."""
    for tensor, culprit in engine_mismatches(_engine_cases(suite)):
        yield Finding(tensor, culprit)
    if suite.seed % LARGE_EVERY == 0:
        for tensor, culprit in mismatches_beside_each_other(suite.even(), RATES):
            yield Finding(tensor, culprit)


def training(suite: Suite) -> Iterator[Finding]:
    """Training: every step of several trainings, and what they draw. Nothing of it depends on the seed."""
    if suite.seed == 0:
        yield from (Finding(culprit.tensor, culprit) for culprit in training_faults(suite.trainer))


CHECKS: dict[str, Callable[[Suite], Iterator[Finding]]] = {
    "float64 trace": values_and_gradients,
    "optimiser step": optimiser_step,
    "kinks": kinks,
    "complex step": complex_steps,
    "float32 check": rounding,
    "extreme logits": extreme_logits,
    "purity": purity,
    "interchange": interchange,
    # The last, since they also find what the other checks find, but those place it better.
    "engine against definition": engine_against_definition,
    "extreme values": extreme_values,
    "training": training,
}


def _engine_cases(suite: Suite) -> Iterator[EngineCase]:
    """Batches of one image and odd ones, one to three threads, few images per shard, and all kinds of SGD.

    Seed 0 has all of them, the others one in turn, and every tenth a large batch.
    """
    nesterov = replace(RATES, momentum=0.9, weight_decay=0.01, nesterov=True)
    # Steps of usual size by gradients through large weights would leave gradients that magnify rounding.
    slow = replace(
        RATES, momentum=0.9, lr_conv=RATES.lr_conv / LARGE_WEIGHTS, lr_fc=RATES.lr_fc / LARGE_WEIGHTS
    )
    cases = (
        EngineCase(suite.uneven(), nesterov, 2, 2),
        EngineCase(suite.even(), RATES, 1, 1),
        EngineCase(suite.winograd(), replace(RATES, weight_decay=0.01), 3, 2),
        EngineCase(suite.single(), slow, 2),
        EngineCase(suite.article(), replace(RATES, momentum=0.5), 2, 2, fortran_order=True),
        EngineCase(suite.smooth(), nesterov, 3, 2),
        EngineCase(suite.few(), RATES, 2, 1, lr_scales=(0.5,), in_turns=True),
    )
    turn = suite.seed % len(cases)
    yield from cases if suite.seed == 0 else cases[turn : turn + 1]
    if suite.seed % LARGE_EVERY == LARGE_EVERY - 1:
        yield EngineCase(suite.large(), RATES, threads=2, lr_scales=(1.0,))


def _mismatches(case: Case, reference: Arrays, kinds: tuple[str, ...]) -> Iterator[Finding]:
    """The definition's tensors of these kinds that fail, all with the first place that is wrong by itself."""
    comparison = compare(definition_trace(case), reference)
    failed = [tensor for tensor in comparison.tensors if not tensor.passed and tensor.kind in kinds]
    # A dead channel has gradients of zero in the reference; that is what the kinks are about.
    failed = [tensor for tensor in failed if not tensor.note.startswith("vacuous")]
    if failed:
        culprit = first_of(localise(case.model.layers, case.sgd, case.labels, reference))
        if culprit is None and all(tensor.kind == "update" for tensor in failed):
            words = f"{failed[0].name} is wrong though every gradient and the first step are right"
            culprit = Culprit("optimiser", failed[0].name, words)
        yield from (Finding(tensor.name, culprit) for tensor in failed)
