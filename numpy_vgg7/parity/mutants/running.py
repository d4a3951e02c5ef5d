"""Bugs of how the engine runs its kernels: shards, tasks and threads, memory that is used again, stale values."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np

from numpy_vgg7 import model as model_module
from numpy_vgg7 import network
from numpy_vgg7.engine import executor, kernels, plan
from numpy_vgg7.engine.executor import Executor, Recorder
from numpy_vgg7.engine.gemm import materialize
from numpy_vgg7.engine.plan import Plan
from numpy_vgg7.engine.update import FusedSGD
from numpy_vgg7.engine.winograd import FilterTransform
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.parity.mutants.mutant import Mutant, bug, instead


def added(name: str, change: Any) -> Mutant:
    """Gradients of shards and tasks added in another way: `change` gets both and the dtype, and returns the sum."""

    def add_gradients(total: dict[str, Any], more: dict[str, Any]) -> None:
        for key, gradient in total.items():
            np.copyto(gradient, change(gradient, more[key]))

    return bug(name, "engine", executor, "add_gradients", instead(add_gradients))


def split(name: str, change: Any) -> Mutant:
    """Images split in another way: `change` gets two or more ranges, and returns others."""

    def make(original: Any) -> Any:
        def ranges(start: int, stop: int, count: int) -> Sequence[slice]:
            found = original(start, stop, count)
            return change(found) if len(found) > 1 else found  # type: ignore[no-any-return]

        return ranges

    return bug(name, "engine", plan, "ranges", make)


def one_less(found: list[slice]) -> list[slice]:
    """The last range without its last image, unless it has no other."""
    *others, last = found
    return [*others, slice(last.start, max(last.start + 1, last.stop - 1))]


def one_twice(found: list[slice]) -> list[slice]:
    """The last range from the last image of the one before."""
    *others, last = found
    return [*others, slice(last.start - 1, last.stop)]


def half_precision(total: Array, more: Array) -> Array:
    """The sum of two float32 arrays, rounded to float16."""
    found: Array = total + more
    return found.astype(np.float16) if found.dtype == np.float32 else found


def gradient_of_the_shard_before(original: Any) -> Any:
    """The backward pass of each shard from the upstream gradient of the one that came before it."""
    before: dict[tuple[object, ...], Array] = {}

    def backward(self: Plan, *run: Any) -> None:
        if len(self.kernels) > 1 and isinstance(self.kernels[-1].layer, network.Flatten):
            given = self.d_out.copy()
            np.copyto(self.d_out, before.get(given.shape, given))
            before[given.shape] = given
        original(self, *run)

    return backward


def one_scratch(original: Any) -> Any:
    """One scratch memory for all tasks of a plan."""
    made: dict[int, Any] = {}

    def scratch(arena: Any) -> Any:
        if id(arena) not in made:
            made[id(arena)] = original(arena)  # which keeps the arena, so that no other gets its id
        return made[id(arena)]

    return scratch


def once(original: Any) -> Any:
    """A method without arguments that does its work the first time only."""
    seen: dict[int, Any] = {}

    def method(self: Any) -> None:
        if id(self) not in seen:
            seen[id(self)] = self  # and keep it, so that no other gets its id
            original(self)

    return method


def once_for_inference(original: Any) -> Any:
    """Filters that inference makes the first time only."""
    made_once = once(original)

    def prepare(self: kernels.ConvParams) -> None:
        (original if self.training else made_once)(self)

    return prepare


def multiply_padding(conv: kernels.Conv2d) -> None:
    """Clears the padding by a product with 0, which leaves NaN as it is."""
    conv.convolve()
    if conv.params.bias is not None:
        np.copyto(conv.bias_pixels, conv.params.bias)
        np.add(conv.rows, conv.bias_row, conv.rows)
    np.multiply(conv.out.padding, 0, conv.out.padding)


def gradient_views(self: VGG7, images: Array, labels: Labels) -> tuple[float, Arrays]:
    """Gradients that are the executor's own arrays."""
    result = self.forward_backward(images, labels)
    return float(result.loss), materialize(result.gradients)


def logit_views(original: Any) -> Any:
    """Logits in one array, which every call of this size uses again."""
    kept: dict[tuple[int, ...], Array] = {}

    def logits(self: VGG7, images: Array) -> Array:
        found = original(self, images)
        np.copyto(kept.setdefault((id(self), *found.shape), np.empty_like(found)), found)
        return kept[(id(self), *found.shape)]

    return logits


def parameters_in_trace(original: Any) -> Any:
    """A trace with the parameters themselves instead of copies."""

    def trace(self: VGG7, images: Array, labels: Labels) -> Arrays:
        found: Arrays = original(self, images, labels)
        return found | self.params

    return trace


def batches_reversed(self: VGG7, images: Array) -> Array:
    """The batches of inference joined in the wrong order."""
    size = model_module.INFERENCE_BATCH
    x = images.astype(self.dtype)
    return np.concatenate([self.forward(x[i : i + size]) for i in range(0, len(x), size)][::-1])


def shards_reversed(self: Recorder) -> Arrays:
    """The shards of a trace joined in the wrong order."""
    return {
        name: np.concatenate([parts[start] for start in sorted(parts, reverse=True)])
        for name, parts in self._found.items()
    }


SHARDS = (
    added("gradient of the last shard only", lambda total, more: more),
    added("gradient of the first shard only", lambda total, more: total),
    added("gradients averaged over shards", lambda total, more: (total + more) / 2),
    added("gradients of all shards but the first twice", lambda total, more: total + 2 * more),
    added("gradients of shards added in half precision where the network is float32", half_precision),
    split("last image of several shards left out", one_less),
    split("an image in two shards", one_twice),
    split("last shard left out", lambda found: found[:-1]),
    bug("gradient from the shard before", "engine", Plan, "backward", gradient_of_the_shard_before),
    bug("shards of a trace out of order", "engine", Recorder, "joined", instead(shards_reversed)),
    bug("batches of inference out of order", "engine", VGG7, "logits", instead(batches_reversed)),
)  # fmt: skip

THREADS = (
    bug("two tasks share a buffer", "engine", plan, "Scratch", one_scratch),
    bug("calls from two threads do not take turns", "engine", model_module, "Lock", instead(nullcontext)),
)  # fmt: skip

STALE = (
    bug("filters of an earlier step", "engine", kernels.ConvParams, "prepare", once),
    bug("transformed filters of an earlier step", "engine", FilterTransform, "__call__", once),
    bug("inference with the filters of its first call", "engine", kernels.ConvParams, "prepare", once_for_inference),
    bug("parameters of an earlier call", "engine", Executor, "release", instead(lambda self: None)),
    bug("velocity and rates of an earlier call", "optimiser", FusedSGD, "fits", instead(lambda self, sgd, velocity: True)),
    bug("NaN left in the padding", "engine", kernels.Conv2d, "forward", instead(multiply_padding)),
)  # fmt: skip

RETURNED = (
    bug("returned gradients overwritten by the next batch", "engine", VGG7, "loss_and_gradients",
        instead(gradient_views)),
    bug("returned logits overwritten by the next batch", "engine", VGG7, "logits", logit_views),
    bug("probabilities of a float32 network in float64", "engine", model_module, "softmax",
        lambda original: lambda logits: original(logits.astype(np.float64))),
    bug("a returned trace changed by the next step", "engine", VGG7, "trace", parameters_in_trace),
)  # fmt: skip

RUNNING = tuple(
    Mutant(f"{mutant.name} (engine)", mutant.place, mutant.replacements)
    for mutant in (*SHARDS, *THREADS, *STALE, *RETURNED)
)
