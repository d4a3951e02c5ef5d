"""The engine as it is used against the definition: shards, threads, training, repeated calls.

Every array that `VGG7` computes in float64 must be the definition's to rounding: the trace of a batch, then
parameters and velocity in training, then gradients and logits of another batch with the trained parameters.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import numpy as np

from numpy_vgg7 import network
from numpy_vgg7.engine import plan, update
from numpy_vgg7.engine.gemm import materialize
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.compare import TensorResult, compare
from numpy_vgg7.parity.diagnose import Context, diagnose
from numpy_vgg7.parity.kernel_alone import localise_kernels
from numpy_vgg7.parity.localise import Culprit, first_of


@dataclass(frozen=True)
class EngineCase:
    """A case and how the engine runs it.

    images_per_shard: makes the engine split a small batch into tasks and shards of about this size, and
    large parameters into blocks of a few rows. Without it, the engine's own constants count.
    fortran_order: weights of the fully connected layers lie in memory as (in, out).
    lr_scales: of the steps of the training.
    """

    case: Case
    sgd: SGD
    threads: int = 1
    images_per_shard: int | None = None
    fortran_order: bool = False
    lr_scales: tuple[float, ...] = (1.0, 0.5, 0.75)


def engine_mismatches(cases: Iterable[EngineCase]) -> Iterator[tuple[str, Culprit]]:
    """Every tensor in which engine and definition differ, and the place that is wrong."""
    for case in cases:
        found, reference = by_engine(case), by_definition(case)
        # A network with a dead layer has gradients of zero.
        failed = [
            result
            for result in compare(found, reference).tensors
            if not result.passed and (not result.note.startswith("vacuous") or found[result.name].any())
        ]
        if failed:
            culprit = locate(case.case, found, reference, failed)
            yield from ((result.name, culprit) for result in failed)


def locate(case: Case, found: Arrays, reference: Arrays, failed: list[TensorResult]) -> Culprit:
    """The place of an error in the engine.

    A kernel that is wrong alone; else, if the first wrong tensor is an updated parameter, the optimizer; else
    what runs the kernels. `failed` is in the order of computation.
    """
    culprit = first_of(localise_kernels(case.model.layers, reference))
    if culprit:
        return culprit
    first = failed[0].name
    if failed[0].kind == "update":
        words = "is wrong though every gradient before it is right"
        if first.endswith(".step1") and first in found:
            context = Context(None, len(case.labels), x=reference[first.removesuffix(".step1")])
            words = diagnose(found[first], reference[first], context)
        return Culprit("optimiser", first, f"{first} {words}")
    words = f"{first} is wrong though every kernel alone is right: see shards, threads and memory"
    return Culprit("engine", first, words)


def by_engine(engine_case: EngineCase) -> Arrays:
    """What `VGG7` computes."""
    case, sgd = engine_case.case, engine_case.sgd
    model = case.copy().model
    model.threads = engine_case.threads
    if engine_case.fortran_order:
        model.params = {name: np.array(p, order="F") for name, p in model.params.items()}
    with _constants(engine_case):
        found = model.trace(case.images, case.labels)
        velocity = sgd.init(model.params)
        for step, lr_scale in enumerate(engine_case.lr_scales, 1):
            result = model.train_step(case.images, case.labels, sgd, velocity, lr_scale)
            found |= _after_step(step, result.loss, materialize(result.gradients), model.params)
        if sgd.momentum:
            found |= {
                f"{name}.velocity.step{len(engine_case.lr_scales)}": v.copy() for name, v in velocity.items()
            }
        images, labels = _another_batch(case)
        loss, gradients = model.loss_and_gradients(images, labels)
        return found | _after_training(loss, gradients, model.logits(images))


def by_definition(engine_case: EngineCase) -> Arrays:
    """The same by the definition."""
    case, sgd, layers = engine_case.case, engine_case.sgd, engine_case.case.model.layers
    params = {name: parameter.copy() for name, parameter in case.model.params.items()}
    found = network.trace(layers, params, case.images, case.labels)
    velocity, groups = sgd.init(params), network.parameter_groups(layers)
    for step, lr_scale in enumerate(engine_case.lr_scales, 1):
        loss, gradients = network.loss_and_gradients(layers, params, case.images, case.labels)
        sgd.step(params, gradients, velocity, groups, lr_scale)
        found |= _after_step(step, loss, gradients, params)
    if sgd.momentum:
        found |= {
            f"{name}.velocity.step{len(engine_case.lr_scales)}": v.copy() for name, v in velocity.items()
        }
    images, labels = _another_batch(case)
    loss, gradients = network.loss_and_gradients(layers, params, images, labels)
    return found | _after_training(loss, gradients, network.forward(layers, params, images)[-1].out)


def _another_batch(case: Case) -> tuple[Array, Labels]:
    return case.images[::-1] * 0.5 + 0.25, case.labels[::-1]


def _after_step(step: int, loss: Array | float, gradients: Arrays, params: Arrays) -> Arrays:
    """The loss and gradients of a step, from before it, and the parameters after it."""
    found = {f"step {step}: loss": np.asarray(loss)}
    found |= {f"step {step}: {name}.grad": np.array(gradient) for name, gradient in gradients.items()}
    return found | {f"{name}.step{step}": parameter.copy() for name, parameter in params.items()}


def _after_training(loss: float, gradients: Arrays, logits: Array) -> Arrays:
    found = {"another batch: logits": logits, "another batch: loss": np.asarray(loss)}
    return found | {f"another batch: {name}.grad": gradient for name, gradient in gradients.items()}


@contextmanager
def _constants(engine_case: EngineCase) -> Iterator[None]:
    """The engine's constants for `images_per_shard`, inside a block."""
    if engine_case.images_per_shard is None:
        yield
        return
    layers, images = engine_case.case.model.layers, engine_case.case.images
    numbers = engine_case.images_per_shard * plan.largest_maps(layers, images.shape)
    sizes = {
        "SHARD_SIZE": numbers / engine_case.threads,
        "FEATURES_PER_THREAD": 1,
        "CLASSIFIER_PER_THREAD": 1,
    }
    with mock.patch.dict(vars(plan), sizes), mock.patch.object(update, "BLOCK_SIZE", 1):
        yield
