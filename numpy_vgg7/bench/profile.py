"""Where the time of a training step goes: every call of every layer, timed on one thread."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from numpy_vgg7.bench.measure import ROUNDS, WARM_UP
from numpy_vgg7.bench.rows import RATES, USUAL, Row
from numpy_vgg7.engine.gemm import Gradients
from numpy_vgg7.functional import Array, Arrays, Labels, cross_entropy, cross_entropy_backward, softmax
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import Flatten, Layer, layer_params
from numpy_vgg7.nn.parallel import shards, small_buffers
from numpy_vgg7.nn.workspace import Workspace

WORKS = ("forward", "d_x", "gradients", "update")

T = TypeVar("T")
Tape = list[tuple[Layer, Any]]  # layers with their caches
Keep = Callable[[str, Any], None]


class Stage(NamedTuple):
    """A layer (or the loss), which of its WORKS, and the milliseconds a step spends there."""

    layer: str
    work: str
    ms: float


def profile(row: Row = USUAL, rounds: int = ROUNDS) -> list[Stage]:
    """The stages of a training step in the order of the layers, medians. The BLAS has one thread, too."""
    (batch,) = row.batches()
    stepper = _Stepper(VGG7(row.config), batch[0])
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    with threadpool_limits(1, user_api="blas"), small_buffers():
        for _ in range(WARM_UP + rounds):
            stepper.seconds.clear()
            stepper.step(*batch)
            for stage, seconds in stepper.seconds.items():
                spent[stage].append(seconds)
    names = [*(layer.name for layer in stepper.model.layers), "loss"]
    ordered = sorted(spent, key=lambda stage: (names.index(stage[0]), WORKS.index(stage[1])))
    return [Stage(*stage, 1e3 * median(spent[stage][WARM_UP:])) for stage in ordered]


class _Stepper:
    """Takes a training step as the engine does, but nothing is replayed: a watch is held to every call."""

    def __init__(self, model: VGG7, images: Array) -> None:
        self.model = model
        self.velocity = RATES.init(model.params)
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        cut = 1 + next(index for index, layer in enumerate(model.layers) if isinstance(layer, Flatten))
        self.spatial, self.head = model.layers[:cut], model.layers[cut:]
        self.scratch, self.whole = Workspace(reuse=True), Workspace(reuse=True)
        parts = shards(self.spatial, images, slice(0, len(images)))
        self.shards = [(part, Workspace(True, self.scratch)) for part in parts]

    def step(self, images: Array, labels: Labels) -> None:
        """Forward, backward and update."""
        self.scratch.begin()
        self.whole.begin()
        tapes, outs = [], []
        for part, own in self.shards:
            tape, out = self._forward(self.spatial, images[part], own)
            tapes.append(tape)
            outs.append(out)
        head, logits = self._forward(self.head, np.concatenate(outs), self.whole)
        probs = self._time("loss", "forward", softmax, logits)
        self._time("loss", "forward", cross_entropy, logits, labels)
        d_logits = self._time("loss", "d_x", cross_entropy_backward, probs, labels, len(labels))
        gradients: Gradients = {}
        d_flat = self._backward(head, d_logits, self.whole, gradients.__setitem__)
        sums: Arrays = {}
        for tape, (part, _) in zip(tapes, self.shards, strict=True):
            self._backward(tape, d_flat[part], self.scratch, partial(_add, sums))
        gradients.update(sums)
        self._update(gradients)

    def _forward(self, layers: Sequence[Layer], x: Array, workspace: Workspace) -> tuple[Tape, Array]:
        tape = []
        for layer in layers:
            own = layer_params(layer, self.model.params)
            x, cache = self._time(layer.name, "forward", layer.forward, own, x, workspace)
            tape.append((layer, cache))
        return tape, x

    def _backward(self, tape: Tape, d_out: Array, workspace: Workspace, keep: Keep) -> Array:
        """Hand the gradients of the parameters to `keep`; return that of the first layer's input."""
        for layer, cache in reversed(tape):
            own = layer_params(layer, self.model.params)
            if own:
                found = self._time(layer.name, "gradients", layer.gradients, own, cache, d_out, workspace)
                for key, gradient in found.items():
                    self._time(layer.name, "gradients", keep, f"{layer.name}.{key}", gradient)
            if layer is not self.spatial[0]:  # nobody needs the gradient of the images
                d_out = self._time(layer.name, "d_x", layer.d_x, own, cache, d_out, workspace)
        return d_out

    def _update(self, gradients: Gradients) -> None:
        """Layer by layer. Here the products that are the linear layers' gradients are worked out."""
        for layer in self.model.layers:
            own = [f"{layer.name}.{key}" for key in layer.shapes()]
            if own:
                params = {name: self.model.params[name] for name in own}
                found, velocity = (
                    {name: arrays[name] for name in own} for arrays in (gradients, self.velocity)
                )
                step = (params, found, velocity, 1.0, self.whole)
                self._time(layer.name, "update", RATES.step, *step)

    def _time(self, layer: str, work: str, function: Callable[..., T], *words: Any) -> T:
        began = perf_counter()
        result = function(*words)
        self.seconds[layer, work] += perf_counter() - began
        return result


def _add(sums: Arrays, name: str, gradient: Array) -> None:
    """Add the gradient of a shard to those of the shards before it."""
    if name in sums:
        sums[name] += gradient
    else:
        sums[name] = gradient.copy()
