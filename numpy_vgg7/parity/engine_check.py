"""The engine as it is used against the definition: shards, threads, training, repeated calls.

A session is a sequence of calls as users make them. `VGG7` and the definition both run it, and every array
that they return must be equal to rounding. What a method returns is kept as it is while later calls run, and
compared in the end.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from unittest import mock

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7 import model as model_module
from numpy_vgg7 import network
from numpy_vgg7.engine import gemm, plan, update
from numpy_vgg7.engine.executor import Result
from numpy_vgg7.engine.gemm import materialize
from numpy_vgg7.engine.threads import ThreadPool
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import Layers
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.compare import TensorResult, compare
from numpy_vgg7.parity.diagnose import Context, diagnose
from numpy_vgg7.parity.kernel_alone import localise_kernels
from numpy_vgg7.parity.localise import Culprit, first_of
from numpy_vgg7.parity.tolerances import ELEMENT32, ELEMENT64, ENGINE32, LANE64
from numpy_vgg7.parity.turns import lock_in_turns, run_in_turns

SHORTER = 2  # images that the second batch of a training lacks


@dataclass(frozen=True)
class EngineCase:
    """A case and how the engine runs it.

    images_per_shard: makes the engine split a small batch into tasks and shards of about this size, large
    parameters into blocks of a few rows, and products into blocks, on any processor. Without it, the engine's
    own constants count.
    fortran_order: weights of the fully connected layers lie in memory as (in, out).
    lr_scales: of the steps of the training.
    in_turns: threads take turns line by line, so that memory shared by two tasks is seen.
    """

    case: Case
    sgd: SGD
    threads: int = 1
    images_per_shard: int | None = None
    fortran_order: bool = False
    lr_scales: tuple[float, ...] = (1.0, 0.5, 0.75)
    in_turns: bool = False


class Definition:
    """The methods of `VGG7` that a session calls, by the definition."""

    def __init__(self, layers: Layers, params: Arrays) -> None:
        self.layers, self.params = layers, params

    def trace(self, images: Array, labels: Labels) -> Arrays:
        """`network.trace`"""
        return network.trace(self.layers, self.params, images, labels)

    def loss_and_gradients(self, images: Array, labels: Labels) -> tuple[float, Arrays]:
        """`network.loss_and_gradients`"""
        return network.loss_and_gradients(self.layers, self.params, images, labels)

    def train_step(
        self, images: Array, labels: Labels, sgd: SGD, velocity: Arrays, lr_scale: float = 1.0
    ) -> Result:
        """`network.loss_and_gradients` and `SGD.step`"""
        trace = self.trace(images, labels)
        gradients = {name: trace[f"{name}.grad"] for name in self.params}
        sgd.step(self.params, gradients, velocity, network.parameter_groups(self.layers), lr_scale)
        return Result(trace["loss"], trace["probs"], {**gradients})

    def logits(self, images: Array) -> Array:
        """The last layer's output."""
        return network.forward(self.layers, self.params, images)[-1].out

    def predict_proba(self, images: Array) -> Array:
        """The softmax of the logits."""
        return F.softmax(self.logits(images))


def engine_mismatches(cases: Iterable[EngineCase]) -> Iterator[tuple[str, Culprit]]:
    """Every tensor in which engine and definition differ, and the place that is wrong."""
    for case in cases:
        found, reference = by_engine(case), by_definition(case)
        narrow = case.case.model.dtype == "float32"
        tolerances = (ENGINE32, ELEMENT32) if narrow else (LANE64, ELEMENT64)
        # A network with a dead layer has gradients of zero.
        failed = [
            result
            for result in compare(found, reference, *tolerances).tensors
            if not result.passed and (not result.note.startswith("vacuous") or found[result.name].any())
        ]
        if failed:
            with as_it_is_run(case):
                culprit = locate(case.case, found, reference, failed)
            yield from ((result.name, culprit) for result in failed)


def locate(case: Case, found: Arrays, reference: Arrays, failed: list[TensorResult]) -> Culprit:
    """The place of an error in the engine.

    A kernel that is wrong alone; else, if the first wrong tensor is an updated parameter, the optimizer; else
    what runs the kernels. `failed` is in the order of computation.
    """
    first = failed[0].name
    if case.model.dtype == "float64":
        culprit = first_of(localise_kernels(case.model.layers, reference))
        if culprit:
            return culprit
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
    model = engine_case.case.copy().model
    model.threads = engine_case.threads
    if engine_case.fortran_order:
        model.params = {name: np.array(p, order="F") for name, p in model.params.items()}
    with as_it_is_run(engine_case):
        return session(model, engine_case)


def by_definition(engine_case: EngineCase) -> Arrays:
    """The same by the definition."""
    case = engine_case.case.copy()
    return session(Definition(case.model.layers, case.model.params), engine_case)


def session(model: VGG7 | Definition, engine_case: EngineCase) -> Arrays:
    """Everything that a model returns, in the order of its calls.

    A trace; a training, the second batch of which is smaller, with inference after each step; a step with
    another velocity and other rates; other gradients and logits; the same with parameters that the caller has
    changed, in place and for other arrays.
    """
    case, sgd = engine_case.case, engine_case.sgd
    images, labels = case.images, case.labels
    found = model.trace(images, labels)
    velocity = sgd.init(model.params)
    steps = len(engine_case.lr_scales)
    for step, lr_scale in enumerate(engine_case.lr_scales, 1):
        count = max(1, len(labels) - SHORTER) if step == 2 else len(labels)
        result = model.train_step(images[:count], labels[:count], sgd, velocity, lr_scale)
        found |= _after_step(step, result, model.params)
        found[f"after step {step}: logits"] = model.logits(images)
    if sgd.momentum:  # else the engine does not use the velocity
        found |= {f"{name}.velocity.step{steps}": v.copy() for name, v in velocity.items()}
    other = replace(sgd, lr_conv=2 * sgd.lr_conv, lr_fc=sgd.lr_fc / 2)
    result = model.train_step(images, labels, other, other.init(model.params))
    found |= _after_step(steps + 1, result, model.params)
    other_images, other_labels = (images[::-1] * 0.5 + 0.25).astype(images.dtype), labels[::-1]
    found |= _inference("another batch", model, other_images, other_labels)
    for parameter in model.params.values():
        parameter *= 0.875
    found |= _inference("parameters changed in place", model, images, labels)
    model.params = {name: parameter * 1.25 for name, parameter in model.params.items()}
    return found | _inference("new parameters", model, images, labels)


def _after_step(step: int, result: Result, params: Arrays) -> Arrays:
    """The loss and gradients of a step, from before it, and the parameters after it, as copies."""
    found = {f"step {step}: loss": result.loss, f"step {step}: probs": result.probs}
    found |= {f"step {step}: {name}.grad": g for name, g in materialize(result.gradients).items()}
    found |= {f"{name}.step{step}": parameter for name, parameter in params.items()}
    return {name: array.copy() for name, array in found.items()}


def _inference(name: str, model: VGG7 | Definition, images: Array, labels: Labels) -> Arrays:
    """What the methods that change no parameter return."""
    loss, gradients = model.loss_and_gradients(images, labels)
    found = {"loss": np.asarray(loss), "logits": model.logits(images), "probs": model.predict_proba(images)}
    found |= {f"{key}.grad": gradient for key, gradient in gradients.items()}
    return {f"{name}: {key}": array for key, array in found.items()}


def mismatches_beside_each_other(case: Case, sgd: SGD, steps: int = 2) -> Iterator[tuple[str, Culprit]]:
    """What goes wrong where one thread trains a model while two others use it, each with a batch of its own.

    The parameters must be those of the training alone, and all logits those from before or after a step.
    """
    with mock.patch.object(model_module, "Lock", lock_in_turns(vars(model_module)["Lock"])):
        model = case.copy().model
    definition = Definition(model.layers, case.copy().model.params)
    batches = {"a batch": case.images, "another batch": case.images[::-1]}
    allowed = {name: [definition.logits(images)] for name, images in batches.items()}
    velocity = sgd.init(definition.params)
    for _ in range(steps):
        definition.train_step(case.images, case.labels, sgd, velocity)
        for name, images in batches.items():
            allowed[name].append(definition.logits(images))
    found: Arrays = {}
    reference: Arrays = {}

    def train() -> None:
        velocity = sgd.init(model.params)
        for _ in range(steps):
            model.train_step(case.images, case.labels, sgd, velocity)

    def infer(name: str) -> None:
        for call in range(steps):
            key = f"{name} beside training: logits {call}"
            found[key] = model.logits(batches[name])
            reference[key] = min(allowed[name], key=lambda one: float(np.abs(one - found[key]).max()))

    run_in_turns([train, *(partial(infer, name) for name in batches)])
    found |= {f"{name}.step{steps}": parameter for name, parameter in model.params.items()}
    reference |= {f"{name}.step{steps}": parameter for name, parameter in definition.params.items()}
    for result in compare(found, reference).tensors:
        if not result.passed:
            words = f"{result.name} is wrong where several threads use the model"
            yield result.name, Culprit("engine", result.name, words)


@contextmanager
def as_it_is_run(engine_case: EngineCase) -> Iterator[None]:
    """The engine's constants for `images_per_shard`, and threads that take turns, inside a block.

    A block of a product takes what the smallest block of fc5 does, so that some products are cut.
    """
    with ExitStack() as stack:
        if engine_case.images_per_shard is not None:
            layers, images = engine_case.case.model.layers, engine_case.case.images
            numbers = engine_case.images_per_shard * plan.largest_maps(layers, images.shape)
            sizes = {
                "SHARD_SIZE": numbers / engine_case.threads,
                "FEATURES_PER_THREAD": 1,
                "CLASSIFIER_PER_THREAD": 1,
            }
            stack.enter_context(mock.patch.dict(vars(plan), sizes))
            stack.enter_context(mock.patch.object(update, "BLOCK_SIZE", 1))
            block = float(gemm.MIN_ROWS * len(images) * _inputs_of_classifier(layers))
            stack.enter_context(mock.patch.object(gemm, "block_limit", lambda: block))  # noqa: PT008 a mock is slow
            at_a_time = engine_case.images_per_shard + 1
            stack.enter_context(mock.patch.object(model_module, "INFERENCE_BATCH", at_a_time))
        if engine_case.in_turns:
            stack.enter_context(mock.patch.object(ThreadPool, "run", lambda pool, tasks: run_in_turns(tasks)))
        yield


def _inputs_of_classifier(layers: Layers) -> int:
    """What a row of fc5's weight has to multiply for one image."""
    return next(layer.in_features for layer in layers if isinstance(layer, network.Linear))
