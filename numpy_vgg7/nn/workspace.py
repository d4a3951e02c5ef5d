"""Memory for the arrays of a pass, and a record of what is done with it.

New arrays for results that are kept, or the same ones for every batch. In the second case the array
operations of a pass are the same, too, batch after batch: the first pass records them on their way, and
the following ones replay the list, without the Python in between.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np

from numpy_vgg7.nn import strip
from numpy_vgg7.nn.arrays import Array, DType

Operation = Callable[[], Any]
Do = Callable[..., None]


def _same(one: Any, other: Any) -> bool:
    """Whether arguments are the same: numbers and slices by value, dicts by item, the rest as objects."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and _same(tuple(one.values()), tuple(other.values()))
    if isinstance(one, tuple):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(a is b or _same(a, b) for a, b in pairs)
    return isinstance(one, (bool, int, slice)) and one == other


class Workspace:
    """Hands out arrays by name. With `reuse`, the second request for a name gets the same memory.

    `scratch` is for what a layer needs for a moment only; shards that run one after the other share it.
    """

    def __init__(self, reuse: bool, scratch: "Workspace | None" = None) -> None:
        self.reuse = reuse
        self._arrays: dict[Any, Array] = {}
        self._filled: set[tuple[str, tuple[int, ...]]] = scratch._filled if scratch else set()
        self._programs: dict[object, tuple[list[Operation], Any, tuple[Any, ...]]] = {}
        self._parts: dict[object, Workspace] = {}
        self._record: list[Operation] | None = None
        self.scratch = scratch or self

    def part(self, key: object, scratch: "Workspace | None" = None) -> "Workspace":
        """A workspace of its own for a part of the work."""
        if not self.reuse:
            return Workspace(False, scratch)
        if key not in self._parts:
            self._parts[key] = Workspace(True, scratch)
        return self._parts[key]

    def do(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Run an array operation that writes into arrays of this workspace.

        Arguments are kept for the replay: arrays that stay, not values computed from them on the way.
        """
        operation(*args, **kwargs)
        if self._record is not None:
            self._record.append(partial(operation, *args, **kwargs))

    def replay(self, key: object, work: Callable[..., Any], *args: Any) -> Any:
        """What `work(*args)` returns. With the same arguments again, only its operations are done again.

        Arrays are the same if they are the same object, so its results must depend on nothing else.
        """
        if not self.reuse:
            return work(*args)
        if key in self._programs:
            operations, result, before = self._programs[key]
            if _same(args, before):
                for operation in operations:
                    operation()
                return result
        self._record = []
        try:
            result = work(*args)
            self._programs[key] = self._record, result, args
        finally:
            self._record = None
        return result

    def forget(self) -> None:
        """Drop the records: the next pass works on other parameters."""
        self._programs.clear()
        for part in self._parts.values():
            part.forget()

    def array(self, name: str, shape: tuple[int, ...], dtype: DType, order: Literal["C", "F"] = "C") -> Array:
        """An array with anything in it."""
        return self._get((name, shape, dtype, order), lambda: np.empty(shape, dtype, order))

    def images(self, name: str, shape: tuple[int, ...], dtype: DType) -> Array:
        """An array (N, C, H, W) on a strip, with anything in it but zero borders."""
        return self._get((name, shape, dtype), lambda: strip.new(shape, dtype))

    def like(self, name: str, x: Array) -> Array:
        """An array that lies in memory as `x` does."""
        if strip.laid(x):
            return self.images(name, x.shape, x.dtype)
        return self._get((name, x.shape, x.dtype), lambda: np.empty_like(x))

    def lay(self, name: str, x: Array) -> Array:
        """Feature maps (N, C, H, W) on a strip: `x` itself if it lies on one; anything else as it is."""
        if x.ndim != 4 or strip.laid(x):
            return x
        out = self.images(name, x.shape, x.dtype)
        self.do(np.copyto, out, x)
        return out

    def once(self, name: str, shape: tuple[int, ...], dtype: DType, fill: Callable[[Array], None]) -> Array:
        """An array that `fill` fills once a batch, for all shards of a thread."""
        out = self.scratch.array(name, shape, dtype)
        if not self.reuse or (name, shape) not in self._filled:
            fill(out)
            self._filled.add((name, shape))
        return out

    def begin(self) -> None:
        """A new batch: what was filled for the last one is out of date."""
        self._filled.clear()

    def _get(self, key: tuple[object, ...], make: Callable[[], Array]) -> Array:
        if not self.reuse:
            return make()
        if key not in self._arrays:
            self._arrays[key] = make()
        return self._arrays[key]


FRESH = Workspace(reuse=False)
