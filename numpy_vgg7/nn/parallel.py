"""The engine: convolutions in shards of a few images over threads, linear layers on the whole batch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays, Gradients, Labels, dense
from numpy_vgg7.nn.conv import Conv2d
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.loss import cross_entropy, cross_entropy_backward, softmax
from numpy_vgg7.nn.network import Step, backward, forward
from numpy_vgg7.nn.pooling import Flatten
from numpy_vgg7.nn.threads import Team
from numpy_vgg7.nn.workspace import Workspace, in_one

# Images times channels in a shard: what a layer works on stays in the second-level cache. Fewer than
# LEAST images would leave more time between the array operations than in them.
SHARD, LEAST = 512, 4


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


class Engine:
    """Runs a network on batches of any size. With `reuse`, results last until the next call.

    Each thread takes shards that follow each other, and what the threads found is added up in order, so
    no result depends on which of them is faster.
    """

    def __init__(self, layers: Sequence[Layer], threads: int = 1, reuse: bool = True) -> None:
        cut = 1 + next(index for index, layer in enumerate(layers) if isinstance(layer, Flatten))
        self._spatial, self._head = layers[:cut], layers[cut:]
        self._shard = shard_size(layers)
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
        flats: list[Array] = [x] * len(shards)

        def there(part: slice) -> None:
            own = self._of_thread(part)
            own.begin()
            for index, shard in enumerate(shards[part], part.start):
                images = own.lay("input", x[shard])
                key = "logits", len(images), index == part.start
                out = own.replay(key, forward, self._spatial, params, images, own)[-1].out
                flats[index] = out.copy() if len(shards) > 1 else out

        workspace.split(len(shards), there, 1)
        flat = _joined(flats, workspace)
        head = workspace.replay(("logits", len(x)), forward, self._head, params, flat, workspace)
        logits: Array = head[-1].out
        return logits

    def propagate(self, params: Arrays, x: Array, labels: Labels, to_input: bool = False) -> Pass:
        """Loss and gradients of a batch (N, 1, H, W); those of the images only with `to_input`."""
        workspace = self._begin(params, x)
        shards = self._shards(x)
        tapes: list[list[Step]] = [[] for _ in shards]
        d_activations: list[Arrays] = [{} for _ in shards]
        sums: dict[int, Arrays] = {}
        there_and_back = len(x), to_input

        def there(part: slice) -> None:
            self._of_thread(part).begin()
            for index, shard in enumerate(shards[part], part.start):
                own = self._of_shard(part, index)
                images = own.lay("input", x[shard])
                key = "forward", there_and_back
                tapes[index] = own.replay(key, forward, self._spatial, params, images, own)

        def back(part: slice) -> None:
            own = self._of_thread(part)
            total: Arrays = {}
            for index, shard in enumerate(shards[part], part.start):
                key = "backward", there_and_back, index
                found = own.replay(key, _back, tapes[index], params, d_flat, shard, own, to_input, total)
                d_activations[index], total = found
            sums[part.start] = total

        workspace.split(len(shards), there, 1)
        flat = _joined([tape[-1].out for tape in tapes], workspace)
        key = "forward", there_and_back
        head = workspace.replay(key, forward, self._head, params, flat, workspace)
        logits = head[-1].out
        probs = softmax(logits)
        d_logits = workspace.array("d_logits", logits.shape, logits.dtype)
        np.copyto(d_logits, cross_entropy_backward(probs, labels, len(labels)))
        key = "backward", there_and_back
        d_head, gradients = workspace.replay(key, backward, head, params, d_logits, workspace)
        d_flat = d_head["input"]
        workspace.split(len(shards), back, 1)
        total, *others = (sums[start] for start in sorted(sums))
        for other in others:
            _added(total, other, workspace)
        d_head = {name: d_out for name, d_out in d_head.items() if name != "input"}
        loss = cross_entropy(logits, labels)
        return Pass(loss, probs, [*tapes, head], [*d_activations, d_head], total | gradients)

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
        size = min(self._shard, max(LEAST, -(-len(x) // self._threads)))
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


def shard_size(layers: Sequence[Layer]) -> int:
    """Images in a shard of a large batch."""
    widest = max(layer.out_channels for layer in layers if isinstance(layer, Conv2d))
    return max(LEAST, SHARD // widest)


def _joined(parts: list[Array], workspace: Workspace) -> Array:
    """The outputs of the shards, one under the other."""
    if len(parts) == 1:
        return parts[0]
    rows = sum(len(part) for part in parts)
    out = workspace.array("joined", (rows, *parts[0].shape[1:]), parts[0].dtype)
    return np.concatenate(parts, out=out)


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
