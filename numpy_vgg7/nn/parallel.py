"""The engine: every thread takes its images all the way there and back, in shards where maps are large."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import NamedTuple

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays, Gradients, Labels, Product, dense
from numpy_vgg7.nn.conv import Conv2d
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.loss import cross_entropy, cross_entropy_backward, softmax
from numpy_vgg7.nn.network import Step, backward, forward
from numpy_vgg7.nn.pooling import Flatten
from numpy_vgg7.nn.threads import Team
from numpy_vgg7.nn.workspace import Workspace, in_one

# Numbers in the largest feature map of a shard. With more, what a layer works on leaves the second-level
# cache; with fewer, threads spend their time on waiting for the interpreter between short operations.
SHARD = 200_000
LEAST = 4  # images in a shard
# Numbers that NumPy copies at a time where the runs of its operands are shorter. With the usual 8,192 it
# copies rows that need no copying, and leaves the first-level cache.
BUFFER = 2048


class Pass(NamedTuple):
    """One batch, there and back.

    With `reuse`, an activation writes over what goes into it, so the tapes don't hold everything.
    """

    loss: Array  # a scalar: mean cross-entropy
    probs: Array  # (N, classes)
    tapes: list[list[Step]]  # of each shard, then of the linear part
    d_activations: list[Arrays]  # likewise: by layer name, and "input"
    gradients: Gradients  # keyed like params

    def activations(self) -> tuple[Arrays, Arrays]:
        """Every layer's output for the whole batch, and the gradient of the loss by it."""
        outs = [{step.layer.name: step.out for step in tape} for tape in self.tapes]
        return _whole(outs), _whole(self.d_activations)


class _Part(NamedTuple):
    """The pass of the images that one thread takes."""

    tapes: list[list[Step]]  # of each shard
    d_activations: list[Arrays]
    head: list[Step]
    d_head: Arrays
    probs: Array
    sums: Arrays  # gradients of the convolutions
    gradients: Gradients  # of the linear layers


class Engine:
    """Runs a network on batches of any size. With `reuse`, results last until the next call.

    Each thread takes images that follow each other, and what the threads found is added up in order, so
    no result depends on which of them is faster.
    """

    def __init__(self, layers: Sequence[Layer], threads: int = 1, reuse: bool = True) -> None:
        cut = 1 + next(index for index, layer in enumerate(layers) if isinstance(layer, Flatten))
        self._spatial, self._head = layers[:cut], layers[cut:]
        self._reuse = reuse
        self._threads = threads
        self._workspaces: dict[tuple[int, ...], Workspace] = {}
        self.alone = Workspace(reuse)
        self.shared = Workspace(reuse, split=Team(threads).split if threads > 1 else in_one)
        self._params: list[Array] = []

    def logits(self, params: Arrays, x: Array) -> Array:
        """The last layer's output (N, classes), with nothing kept for a way back."""
        workspace = self._begin(params, x)
        shards = self._shards(x)
        found: dict[int, Array] = {}

        def there(part: slice) -> None:
            own = self._of_thread(part)
            own.begin()
            first, last = shards[part.start].start, shards[part.stop - 1].stop
            for shard in shards[part]:
                images = own.lay("input", x[shard])
                out = own.replay(("logits", len(images)), forward, self._spatial, params, images, own)[-1].out
                if shard.start == first:
                    flat = own.array("flats", (last - first, out.shape[1]), out.dtype)
                np.copyto(flat[shard.start - first : shard.stop - first], out)
            head = own.replay(("head", len(flat)), forward, self._head, params, flat, own)
            found[part.start] = head[-1].out

        with _buffers():
            workspace.split(len(shards), there, 1)
        return _joined("logits", [found[start] for start in sorted(found)], workspace)

    def propagate(self, params: Arrays, x: Array, labels: Labels, to_input: bool = False) -> Pass:
        """Loss and gradients of a batch (N, 1, H, W); those of the images only with `to_input`."""
        workspace = self._begin(params, x)
        shards = self._shards(x)
        found: dict[int, _Part] = {}

        def there_and_back(part: slice) -> None:
            found[part.start] = self._part(part, shards, params, x, labels, to_input)

        with _buffers():
            workspace.split(len(shards), there_and_back, 1)
            parts = [found[start] for start in sorted(found)]
            total = parts[0].sums
            for other in parts[1:]:
                _added(total, other.sums, workspace)
            gradients = {
                name: _united(name, [part.gradients[name] for part in parts], workspace)
                for name in parts[0].gradients
            }
        logits = _joined("logits", [part.head[-1].out for part in parts], workspace)
        return Pass(
            cross_entropy(logits, labels),
            _joined("probs", [part.probs for part in parts], workspace),
            [tape for part in parts for tape in part.tapes] + [part.head for part in parts],
            [arrays for part in parts for arrays in part.d_activations] + [part.d_head for part in parts],
            total | gradients,
        )

    def _part(
        self, part: slice, shards: list[slice], params: Arrays, x: Array, labels: Labels, to_input: bool
    ) -> _Part:
        """Some of the shards, there and back."""
        thread = self._of_thread(part)
        thread.begin()
        first, last = shards[part.start].start, shards[part.stop - 1].stop
        key = len(x), to_input
        workspaces = [self._of_shard(part, index) for index in range(part.start, part.stop)]
        tapes = []
        for shard, own in zip(shards[part], workspaces, strict=True):
            images = own.lay("input", x[shard])
            tapes.append(own.replay(("forward", key), forward, self._spatial, params, images, own))
        flat = _joined("flat", [tape[-1].out for tape in tapes], thread)
        head = thread.replay(("forward", key), forward, self._head, params, flat, thread)
        logits = head[-1].out
        probs = softmax(logits)
        d_logits = thread.like("d_logits", logits)
        np.copyto(d_logits, cross_entropy_backward(probs, labels[first:last], len(labels)))
        d_head, gradients = thread.replay(("backward", key), backward, head, params, d_logits, thread)
        d_flat, d_head = d_head["input"], {name: d for name, d in d_head.items() if name != "input"}
        d_activations, sums = [], {}
        for shard, own, tape in zip(shards[part], workspaces, tapes, strict=True):
            rows = slice(shard.start - first, shard.stop - first)
            d_maps, sums = own.replay(("backward", key), _back, tape, params, d_flat, rows, own, to_input, sums)
            d_activations.append(d_maps)
        return _Part(tapes, d_activations, head, d_head, probs, sums, gradients)

    def _begin(self, params: Arrays, x: Array) -> Workspace:
        """The workspace for the whole of a batch. Records of other parameters than these are dropped."""
        current = list(params.values())
        if list(map(id, current)) != list(map(id, self._params)):
            self._params = current
            for workspace in (self.alone, self.shared, *self._workspaces.values()):
                workspace.forget()
        return self.workspace(x)

    def workspace(self, x: Array) -> Workspace:
        """For work on the whole of a batch: with threads, unless the batch is a single shard."""
        return self.shared if len(x) > LEAST else self.alone

    def _shards(self, x: Array) -> list[slice]:
        of_thread = max(LEAST, -(-len(x) // self._threads))
        size = -(-of_thread // max(1, round(of_thread / shard_size(self._spatial, x.shape[2]))))
        return [slice(start, min(start + size, len(x))) for start in range(0, len(x), size)]

    def _of_thread(self, part: slice) -> Workspace:
        return self._workspaces.setdefault((part.start,), Workspace(self._reuse))

    def _of_shard(self, part: slice, index: int) -> Workspace:
        scratch = self._of_thread(part)
        return self._workspaces.setdefault((part.start, index), Workspace(self._reuse, scratch))


def _whole(shards: list[Arrays]) -> Arrays:
    """The arrays of all shards by name, one under the other."""
    names = dict.fromkeys(name for arrays in shards for name in arrays)
    parts = {name: [arrays[name] for arrays in shards if name in arrays] for name in names}
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def shard_size(layers: Sequence[Layer], image_size: int) -> int:
    """Images in a shard of a large batch."""
    first = [layer.out_channels for layer in layers if isinstance(layer, Conv2d)][:2]  # then comes a pool
    return max(LEAST, round(SHARD / (max(first) * image_size**2)))


@contextmanager
def _buffers() -> Iterator[None]:
    before = np.setbufsize(BUFFER)
    try:
        yield
    finally:
        np.setbufsize(before)


def _joined(name: str, parts: list[Array], workspace: Workspace) -> Array:
    """The rows of all parts, one under the other; in memory they lie as those of the first."""
    if len(parts) == 1:
        return parts[0]
    shape = (sum(len(part) for part in parts), parts[0].shape[1])
    if parts[0].flags.c_contiguous:
        return np.concatenate(parts, out=workspace.array(name, shape, parts[0].dtype))
    out = workspace.array(name, shape[::-1], parts[0].dtype)
    return np.concatenate([part.T for part in parts], axis=1, out=out).T


def _united(name: str, parts: list[Array | Product], workspace: Workspace) -> Array | Product:
    """A gradient of the whole batch from those of its parts: a sum, or the factors of one product."""
    first, *others = parts
    if isinstance(first, Product):
        return Product(*(_joined(f"{name}.{side}", [part[side] for part in parts], workspace) for side in (0, 1)))
    for other in others:
        workspace.do(np.add, first, other, out=first)
    return first


def _back(
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
    """Gradients added to a total, which is begun where there is none."""
    if not total:
        total = {name: workspace.like(f"{name}.sum", gradient) for name, gradient in more.items()}
        for name, gradient in more.items():
            workspace.do(np.copyto, total[name], gradient)
    else:
        for name, gradient in more.items():
            workspace.do(np.add, total[name], gradient, out=total[name])
    return total
