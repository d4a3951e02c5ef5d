"""The tensors of a weights file as they are read, and the number formats that are widened."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]

# NumPy has no bfloat16. A field of this name marks the 16 bits of one.
BFLOAT16 = np.dtype([("bfloat16", "<u2")])


class StoredTensor(NamedTuple):
    """A tensor that is still in its file: its dimensions and size in bytes, and how to read it."""

    ndim: int
    nbytes: int
    read: Callable[[], NDArray[Any]]


def dtype_name(dtype: np.dtype[Any]) -> str:
    """The name of a dtype for messages."""
    return "bfloat16" if dtype == BFLOAT16 else dtype.name


def widen(tensors: Tensors) -> tuple[Tensors, list[str]]:
    """Widen float16 and bfloat16 to float32, which represents them exactly; also return a line."""
    widened = {name: _widened(tensor) for name, tensor in tensors.items()}
    changed = [name for name in tensors if widened[name] is not tensors[name]]
    kinds = " and ".join(sorted({dtype_name(tensors[name].dtype) for name in changed}))
    return widened, [f"widened {len(changed)} tensors from {kinds} to float32, exactly"] if changed else []


def _widened(tensor: NDArray[Any]) -> NDArray[Any]:
    if tensor.dtype == BFLOAT16:  # the upper half of a float32
        return (tensor["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    return tensor.astype(np.float32) if tensor.dtype == np.float16 else tensor


def plain(tensor: NDArray[Any]) -> NDArray[Any]:
    """The same numbers in C order and native byte order; a copy only where they are not."""
    return np.asarray(tensor, dtype=tensor.dtype.newbyteorder("="), order="C")
