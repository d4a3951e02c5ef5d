"""The engine: a pass over a batch as three rounds of tasks for threads, in shards where maps are large."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple, TypeVar

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays, DType, Gradients, Labels, Product, dense
from numpy_vgg7.nn.conv import Conv2d
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.loss import cross_entropy, cross_entropy_backward, softmax
from numpy_vgg7.nn.network import Step, backward, forward, parameter_shapes
from numpy_vgg7.nn.pooling import Flatten
from numpy_vgg7.nn.sgd import SGD
from numpy_vgg7.nn.threads import Task, Team, one_by_one
from numpy_vgg7.nn.workspace import Workspace

# Numbers in the largest feature map of a shard, for each thread that there is. With more, what a layer works
# on leaves the caches; with fewer, threads lose their time waiting for the interpreter between operations.
SHARD = 200_000
# What is worth a second thread: numbers in the largest feature map of its images, and multiplications of the
# linear layers' pass there. With less, two threads get into each other's way.
MAPS_WORTH = 100_000
HEAD_WORTH = 2_000_000
SHARES = 4  # of the linear layers' update, for each thread: whoever is done with his maps takes another
# Numbers that NumPy copies at a time where the runs of its operands are shorter. With the usual 8,192 it
# copies rows that need no copying, and leaves the first-level cache.
BUFFER = 2048

T = TypeVar("T")
Beside = Callable[[Gradients], list[Task]]


class Pass(NamedTuple):
    """One batch, there and back.

    With `reuse`, an activation writes over what goes into it, so the tapes don't hold everything.
    """

    loss: Array  # a scalar: mean cross-entropy
    probs: Array  # (N, classes)
    tapes: list[list[Step]]  # of each shard, then of the linear layers
    d_activations: list[Arrays]  # likewise: by layer name, and "input"
    gradients: Gradients  # keyed like params

    def activations(self) -> tuple[Arrays, Arrays]:
        """Every layer's output for the whole batch, and the gradient of the loss by it."""
        outs = [{step.layer.name: step.out for step in tape} for tape in self.tapes]
        return _joined(outs), _joined(self.d_activations)


class _Plan(NamedTuple):
    """How a batch is shared out, and what several tasks write into: a row for each image."""

    maps: list[list[slice]]  # the shards of each task
    heads: list[slice]  # the images of each task
    run: Callable[[Sequence[Task]], None]
    flat: Array  # what the linear layers begin with
    d_flat: Array
    logits: Array
    probs: Array
    factors: dict[str, Product]  # the gradients of the linear layers' weights


class Engine:
    """Runs a network on batches of any size. With `reuse`, results last until the next call.

    Three rounds: the convolutions there; the linear layers there and back; the convolutions back. In each,
    threads take tasks, a range of images each. What several tasks add to is added up in the order of the
    images, so no result depends on who does what when.
    """

    def __init__(self, layers: Sequence[Layer], threads: int = 1, reuse: bool = True) -> None:
        cut = 1 + next(index for index, layer in enumerate(layers) if isinstance(layer, Flatten))
        self._maps, self._head = layers[:cut], layers[cut:]
        weights = {layer.name: layer.shapes()["weight"] for layer in self._head if layer.shapes()}
        self._weights: dict[str, tuple[int, ...]] = weights
        self._threads = threads
        self._run = Team(threads).run if threads > 1 else one_by_one
        self._workspace = Workspace(reuse)
        self._plans: dict[tuple[Any, ...], _Plan] = {}
        self._params: list[Array] = []

    def logits(self, params: Arrays, x: Array) -> Array:
        """The last layer's output (N, classes), with nothing kept for a way back."""
        self._begin(params)
        whole, plan, key = self._workspace, self._plan(params, x), ("logits", len(x))
        flat, logits = plan.flat, plan.logits

        def there(part: list[slice]) -> None:
            own = whole.part(("maps", part[0].start))
            own.begin()
            for shard in part:
                # By its place, too: what a task fills once is filled by the first of its shards.
                work = self._maps, params, own.lay("input", x[shard]), own
                np.copyto(flat[shard], own.replay((key, shard.start), forward, *work)[-1].out)

        def head(images: slice) -> None:
            own = whole.part(("head", images.start))
            tape = own.replay(key, _head, self._head, params, flat, images, own)
            np.copyto(logits[images], tape[-1].out)

        with small_buffers():
            plan.run([partial(there, part) for part in plan.maps])
            plan.run([partial(head, images) for images in plan.heads])
        return logits

    def propagate(
        self, params: Arrays, x: Array, labels: Labels, to_input: bool = False, beside: Beside | None = None
    ) -> Pass:
        """Loss and gradients of a batch (N, 1, H, W); those of the images only with `to_input`.

        `beside` makes tasks out of the linear layers' gradients, to be done beside the last round.
        """
        self._begin(params)
        whole, plan, key = self._workspace, self._plan(params, x), (len(x), to_input)
        flat, d_flat, logits, probs = plan.flat, plan.d_flat, plan.logits, plan.probs
        tapes: dict[int, list[Step]] = {}
        d_maps: dict[int, Arrays] = {}
        totals: dict[int, Gradients] = {}
        heads: dict[int, tuple[list[Step], Arrays, Gradients]] = {}

        def there(part: list[slice]) -> None:
            thread = whole.part(("maps", part[0].start))
            thread.begin()
            for shard in part:
                own = thread.part(shard.start, thread)
                work = self._maps, params, own.lay("input", x[shard]), own
                tapes[shard.start] = own.replay(("forward", key), forward, *work)
                np.copyto(flat[shard], tapes[shard.start][-1].out)

        def head(images: slice) -> None:
            own = whole.part(("head", images.start))
            tape = own.replay(("forward", key), _head, self._head, params, flat, images, own)
            np.copyto(logits[images], tape[-1].out)
            probs[images] = softmax(logits[images])
            d_logits = own.like("d_logits", tape[-1].out)
            np.copyto(d_logits, cross_entropy_backward(probs[images], labels[images], len(labels)))
            work = tape, params, d_logits, d_flat, plan.factors, images, own
            heads[images.start] = tape, *own.replay(("backward", key), _head_back, *work)

        def back(part: list[slice]) -> None:
            thread = whole.part(("maps", part[0].start))
            total: Arrays = {}
            for shard in part:
                own = thread.part(shard.start, thread)
                work = tapes[shard.start], params, d_flat, shard, own, to_input, total
                d_maps[shard.start], total = own.replay(("backward", key), _maps_back, *work)
            totals[part[0].start] = {**total}

        with small_buffers():
            plan.run([partial(there, part) for part in plan.maps])
            plan.run([partial(head, images) for images in plan.heads])
            head_tapes, d_heads, of_heads = zip(*_in_order(heads), strict=True)
            gradients = _united(of_heads)
            updates = beside(gradients) if beside else []
            plan.run([partial(back, part) for part in plan.maps] + updates)
        return Pass(
            cross_entropy(logits, labels),
            probs,
            [*_in_order(tapes), *head_tapes],
            [*_in_order(d_maps), *d_heads],
            _united(_in_order(totals)) | gradients,
        )

    def descend(
        self, params: Arrays, x: Array, labels: Labels, sgd: SGD, velocity: Arrays, scale: float = 1.0
    ) -> Pass:
        """`propagate`, and a step of `sgd`: with threads, the linear layers' beside the last round."""
        space = self._workspace

        def update(gradients: Gradients) -> list[Task]:
            return sgd.tasks(params, gradients, velocity, scale, space, SHARES * self._threads)

        with small_buffers():
            if len(self._plan(params, x).heads) == 1:
                done = self.propagate(params, x, labels)
                sgd.step(params, done.gradients, velocity, scale, space)
            else:
                done = self.propagate(params, x, labels, beside=update)
                of_maps = {name: done.gradients[name] for name in parameter_shapes(self._maps)}
                sgd.step(params, of_maps, velocity, scale, space)
        return done

    def _begin(self, params: Arrays) -> None:
        """Records of other parameters than these are dropped."""
        current = list(params.values())
        if list(map(id, current)) != list(map(id, self._params)):
            self._params = current
            self._workspace.forget()

    def _plan(self, params: Arrays, x: Array) -> _Plan:
        """The plan for batches of this shape and parameters of this dtype."""
        key = x.shape, x.dtype, next(iter(params.values())).dtype
        plan = self._plans.get(key)
        if plan is None:
            plan = self._new_plan(x, np.result_type(*key[1:]))
            if self._workspace.reuse:
                self._plans[key] = plan
        return plan

    def _new_plan(self, x: Array, dtype: DType) -> _Plan:
        n, numbers, work = len(x), _largest(self._maps, x), sum(map(prod, self._weights.values()))
        maps = _ranges(0, n, min(self._threads, n * numbers // MAPS_WORTH))
        heads = _ranges(0, n, min(self._threads, n * work // HEAD_WORTH))
        shapes = list(self._weights.values())
        flat, d_flat = (np.empty((n, shapes[0][1]), dtype) for _ in range(2))
        logits, probs = (np.empty((n, shapes[-1][0]), dtype) for _ in range(2))
        factors: dict[str, Product] = {}
        for name, (outputs, inputs) in self._weights.items():
            left = np.empty((n, outputs), dtype, order="F")
            factors[f"{name}.weight"] = Product(left, np.empty((n, inputs), dtype) if factors else flat)
        run = self._run if max(len(maps), len(heads)) > 1 else one_by_one
        cut = [shards(self._maps, x, images, self._threads) for images in maps]
        return _Plan(cut, heads, run, flat, d_flat, logits, probs, factors)


def shards(layers: Sequence[Layer], x: Array, images: slice, threads: int = 1) -> list[slice]:
    """A range of the images of a batch in shards of equal size, up to one image."""
    numbers = (images.stop - images.start) * _largest(layers, x)
    return _ranges(images.start, images.stop, round(numbers / (SHARD * threads)))


def _largest(layers: Sequence[Layer], x: Array) -> int:
    """Numbers in the largest feature map of an image: before the first pool."""
    channels = [layer.out_channels for layer in layers if isinstance(layer, Conv2d)]
    return int(max(channels[:2]) * x.shape[2] * x.shape[3])


def _ranges(start: int, stop: int, count: int) -> list[slice]:
    """A range cut into `count` ranges of equal size, up to one; at least one, and none of them empty."""
    count = max(1, min(count, stop - start))
    bounds = [start + (stop - start) * index // count for index in range(count + 1)]
    return [slice(*bound) for bound in pairwise(bounds)]


def _in_order(found: dict[int, T]) -> list[T]:
    """What tasks found, in the order of the images they began with."""
    return [found[start] for start in sorted(found)]


@contextmanager
def small_buffers() -> Iterator[None]:
    """NumPy with buffers of BUFFER numbers for the length of a block, in this thread and those it starts."""
    before = np.setbufsize(BUFFER)
    try:
        yield
    finally:
        np.setbufsize(before)


def _head(
    layers: Sequence[Layer], params: Arrays, flat: Array, images: slice, workspace: Workspace
) -> list[Step]:
    """The linear layers' way there of some images."""
    return forward(layers, params, flat[images], workspace)


def _head_back(
    tape: list[Step],
    params: Arrays,
    d_logits: Array,
    d_flat: Array,
    factors: dict[str, Product],
    images: slice,
    workspace: Workspace,
) -> tuple[Arrays, Gradients]:
    """Their way back; what the whole batch needs of it goes into `d_flat` and `factors`."""
    d_activations, gradients = backward(tape, params, d_logits, workspace)
    workspace.do(np.copyto, d_flat[images], d_activations.pop("input"))
    for name, gradient in gradients.items():
        if isinstance(gradient, Product):
            for whole, own in zip(factors[name], gradient, strict=True):
                if own.base is not whole:
                    workspace.do(np.copyto, whole[images], own)
            gradients[name] = factors[name]
    return d_activations, gradients


def _maps_back(
    tape: list[Step],
    params: Arrays,
    d_flat: Array,
    shard: slice,
    workspace: Workspace,
    to_input: bool,
    total: Arrays,
) -> tuple[Arrays, Arrays]:
    """The way back of a shard; its gradients are added to the total of those before it."""
    d_activations, gradients = backward(tape, params, d_flat[shard], workspace, to_input)
    return d_activations, _added(total, dense(gradients), workspace)


def _added(total: Arrays, more: Arrays, workspace: Workspace) -> Arrays:
    """Gradients added to those of the shards before, in the memory of the first."""
    for name, sum_of_name in total.items():
        workspace.do(np.add, sum_of_name, more[name], out=sum_of_name)
    return total or more


def _united(parts: Sequence[Gradients]) -> Gradients:
    """Gradients added up, in the first of the parts; products are the whole batch's already."""
    first, *others = parts
    for name, total in first.items():
        if not isinstance(total, Product):
            for other in others:
                total += other[name]
    return first


def _joined(parts: list[Arrays]) -> Arrays:
    """The arrays of all parts by name, one under the other."""
    names = dict.fromkeys(name for arrays in parts for name in arrays)
    rows = {name: [arrays[name] for arrays in parts if name in arrays] for name in names}
    return {name: np.concatenate(arrays) for name, arrays in rows.items()}
