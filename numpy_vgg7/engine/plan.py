"""Plans: kernels bound to the arrays of one batch shape, and how a batch is split over tasks for threads."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple

import numpy as np

from numpy_vgg7.engine.gemm import FactoredGradient, Gradients
from numpy_vgg7.engine.kernels import KERNELS, Data, Kernel, KernelTable, LayerParams, kernel_of
from numpy_vgg7.engine.layout import FeatureMaps, Scratch
from numpy_vgg7.engine.memory import Arena
from numpy_vgg7.engine.update import FusedSGD
from numpy_vgg7.functional import Arrays
from numpy_vgg7.network import Conv2d, Flatten, Layer, Layers, layer_params, parameter_shapes

# Numbers in the largest feature maps of a shard, per thread of the engine. With more, what a layer works on
# leaves the caches; with fewer, threads lose their time waiting for the interpreter between operations.
SHARD_SIZE = 200_000
# What is worth another thread: numbers in the largest feature maps of its images, and multiplications of the
# fully connected layers' forward pass. With less, threads get in each other's way.
FEATURES_PER_THREAD = 100_000
CLASSIFIER_PER_THREAD = 2_000_000

FORWARD, BACKWARD_PARAMS, BACKWARD_INPUT = "forward", "backward_params", "backward_input"

# Runs one pass of a kernel, by the name of the method. Replaced to record or time what the kernels do.
Run = Callable[[Kernel, str], None]


def run_kernel(kernel: Kernel, method: str) -> None:
    """Call kernel.forward(), kernel.backward_params() or kernel.backward_input(); `method` is the name."""
    getattr(kernel, method)()


class Plan:
    """Consecutive layers, bound to the arrays of one batch shape.

    x: the input. d_x: where its gradient goes; None if it is not needed.
    """

    def __init__(
        self,
        layers: Layers,
        params: dict[str, LayerParams],
        x: Data,
        scratch: Scratch,
        training: bool,
        d_x: Data | None = None,
        kernels: KernelTable = KERNELS,
    ) -> None:
        self.x: Any = x
        self.d_x: Any = d_x
        self.kernels: list[Kernel] = []
        for layer in layers:
            kernel = kernel_of(layer, kernels)(layer, params.get(layer.name), x, scratch)
            if training:
                kernel.bind_backward(d_x)
                d_x = kernel.d_out
            self.kernels.append(kernel)
            x = kernel.out
        self.out: Any = x
        self.d_out: Any = d_x
        self.gradients = {
            f"{kernel.layer.name}.{key}": gradient
            for kernel in self.kernels
            for key, gradient in kernel.gradients.items()
        }

    def forward(self, run: Run = run_kernel) -> None:
        """From `x` to `out`."""
        for kernel in self.kernels:
            run(kernel, FORWARD)

    def backward(self, run: Run = run_kernel) -> None:
        """From `d_out` to the gradients and `d_x`."""
        for kernel in reversed(self.kernels):
            if kernel.layer.shapes():
                run(kernel, BACKWARD_PARAMS)
            if kernel.d_x is not None:
                run(kernel, BACKWARD_INPUT)


class Part(NamedTuple):
    """Some images of a batch, and the plan that they go through."""

    images: slice
    plan: Plan


class Task(NamedTuple):
    """Parts that one thread works on, one after another, and the parameters that their kernels share."""

    parts: list[Part]
    params: list[LayerParams]

    def prepare(self) -> None:
        """Follow the current values of the parameters."""
        for params in self.params:
            params.prepare()


class BatchPlan:
    """Everything for batches of one shape: (N, 1, H, W).

    features: tasks for the layers up to `Flatten`; in training each part, a shard, keeps its activations.
    classifier: tasks for the fully connected layers, of one part each.
    flat, d_flat: what passes between the two, (N, features); logits and probs: (N, classes).
    factors: factored gradients of the fully connected weights, for the whole batch.
    """

    def __init__(
        self,
        layers: Layers,
        params: Arrays,
        shape: tuple[int, ...],
        threads: int,
        training: bool,
        to_input: bool = False,
        kernels: KernelTable = KERNELS,
    ) -> None:
        self.arena = Arena()
        self.update: FusedSGD | None = None  # the SGD step with these gradients, once there was one
        self._params, self._shape, self._threads = params, shape, threads
        self._training, self._to_input, self._kernels = training, to_input, kernels
        self._dtype = next(iter(params.values())).dtype
        n, array = shape[0], self.arena.array
        features, classifier = split_layers(layers)
        weights = [layer.shapes()["weight"] for layer in classifier if layer.shapes()]
        self.flat, self.d_flat = (array((n, weights[0][1]), self._dtype) for _ in range(2))
        self.logits, self.probs = (array((n, weights[-1][0]), self._dtype) for _ in range(2))
        tasks = min(threads, n * largest_maps(features, shape) // FEATURES_PER_THREAD)
        self.features = [self._feature_task(features, images) for images in ranges(0, n, tasks)]
        tasks = min(threads, n * sum(map(prod, weights)) // CLASSIFIER_PER_THREAD)
        self.classifier = [self._classifier_task(classifier, images) for images in ranges(0, n, tasks)]
        self.factors: dict[str, FactoredGradient] = {}
        self.gradients: Gradients = {}
        if training:
            self._bind_gradients(layers, classifier)

    def _feature_task(self, layers: Layers, images: slice) -> Task:
        scratch, params = Scratch(self.arena), self._layer_params(layers)
        numbers = (images.stop - images.start) * largest_maps(layers, self._shape)
        plans: dict[int, Plan] = {}
        parts = []
        for shard in ranges(images.start, images.stop, round(numbers / (SHARD_SIZE * self._threads))):
            size = shard.stop - shard.start
            if self._training or size not in plans:  # inference keeps nothing: shards use the same memory
                maps = [FeatureMaps((size, *self._shape[1:]), self._dtype, self.arena) for _ in range(2)]
                d_x = maps[1] if self._to_input else None
                plans[size] = Plan(layers, params, maps[0], scratch, self._training, d_x, self._kernels)
            parts.append(Part(shard, plans[size]))
        return Task(parts, list(params.values()))

    def _classifier_task(self, layers: Layers, images: slice) -> Task:
        scratch, params = Scratch(self.arena), self._layer_params(layers)
        x = self.flat[images]
        d_x = self.arena.array(x.shape, x.dtype, order="F")
        plan = Plan(layers, params, x, scratch, self._training, d_x, self._kernels)
        return Task([Part(images, plan)], list(params.values()))

    def _layer_params(self, layers: Layers) -> dict[str, LayerParams]:
        return {
            layer.name: kernel_of(layer, self._kernels).Params(
                layer, layer_params(layer, self._params), self._training, self.arena
            )
            for layer in layers
            if layer.shapes()
        }

    def _bind_gradients(self, layers: Layers, classifier: Layers) -> None:
        """The gradients of the whole batch: factors, and the first part's, to which the others are added."""
        right = self.flat
        for layer in classifier:
            if layer.shapes():
                outputs, inputs = layer.shapes()["weight"]
                if self.factors:
                    right = self.arena.array((len(right), inputs), self._dtype)
                left = self.arena.array((len(right), outputs), self._dtype, order="F")
                self.factors[f"{layer.name}.weight"] = FactoredGradient(left, right)
        found: Gradients = {**self.factors}
        for tasks in (self.features, self.classifier):
            found |= tasks[0].parts[0].plan.gradients
        self.gradients = {name: found[name] for name in parameter_shapes(layers)}


def split_layers(layers: Layers) -> tuple[Sequence[Layer], Sequence[Layer]]:
    """The features, up to and including `Flatten`, and the classifier."""
    end = 1 + [isinstance(layer, Flatten) for layer in layers].index(True)
    return layers[:end], layers[end:]


def largest_maps(layers: Layers, shape: tuple[int, ...]) -> int:
    """Numbers in the larger feature maps before the first pool, usually the largest of the network."""
    before_pool = [layer.out_channels for layer in layers if isinstance(layer, Conv2d)][:2]
    return int(max(before_pool) * prod(shape[2:]))


def ranges(start: int, stop: int, count: int) -> list[slice]:
    """A range split into `count` ranges of almost equal length; at least one, and none of them empty."""
    count = max(1, min(count, stop - start))
    bounds = [start + (stop - start) * index // count for index in range(count + 1)]
    return [slice(*bound) for bound in pairwise(bounds)]


def add_gradients(total: dict[str, Any], more: dict[str, Any]) -> None:
    """total += more, name by name."""
    for name, gradient in total.items():
        np.add(gradient, more[name], gradient)
