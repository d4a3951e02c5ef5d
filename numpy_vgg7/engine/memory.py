"""Memory of the engine: aligned, zeroed, and returned to the system with the last array in it."""

import mmap
from math import prod
from typing import Literal

import numpy as np

from numpy_vgg7.functional import Array

CACHE_LINE = 64  # bytes. NumPy's loops over three arrays that are aligned to it are up to twice as fast.
CHUNK = 16 * 2**20  # bytes of address space; pages that are not used take no memory

DType = str | type | np.dtype[np.generic]


class Arena:
    """Hands out arrays from large chunks of anonymous memory.

    `malloc` keeps freed arrays of a few megabytes for later use, so that a process would never shrink again.
    A chunk is unmapped as soon as no array in it is referenced.
    """

    def __init__(self) -> None:
        self.size = 0  # bytes handed out
        self._chunk = np.empty(0, np.uint8)
        self._used = 0

    def array(self, shape: tuple[int, ...], dtype: DType, order: Literal["C", "F"] = "C") -> Array:
        """Zeros that start on a cache line."""
        dtype = np.dtype(dtype)
        size = -(-max(1, prod(shape)) * dtype.itemsize // CACHE_LINE) * CACHE_LINE
        if self._used + size > len(self._chunk):
            self._chunk = np.frombuffer(anonymous_memory(max(size, CHUNK)), np.uint8)
            self._used = 0
        start = self._used
        self._used += size
        self.size += size
        return np.ndarray(shape, dtype, self._chunk, start, order=order)


def anonymous_memory(size: int) -> mmap.mmap:
    """Zeroed memory that a forked process does not share with its parent. Raises MemoryError."""
    private = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}
    try:
        return mmap.mmap(-1, size, **private)
    except (OSError, OverflowError) as error:
        raise MemoryError(f"{size} bytes cannot be allocated") from error
