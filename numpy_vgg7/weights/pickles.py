"""The objects in a pickle, without running any code that it names.

A pickle is a program: it names functions and calls them. Here only the functions in `KNOWN`, which build
tensors and dictionaries, exist; a call of any other makes an `Unknown` with its name. Nothing is imported.
"""

import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.weights.tensors import BFLOAT16, StoredTensor

# PyTorch's storage classes, and dtypes as `_rebuild_tensor_v3` names them.
STORAGES: dict[str, np.dtype[Any]] = {
    "DoubleStorage": np.dtype("<f8"), "FloatStorage": np.dtype("<f4"), "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": BFLOAT16, "LongStorage": np.dtype("<i8"), "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"), "CharStorage": np.dtype("i1"), "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}  # fmt: skip

ReadStorage = Callable[[str, "Storage"], NDArray[Any]]


@dataclass(frozen=True)
class Unknown:
    """Stands for an object of a class that is not known. It remembers the name only."""

    name: str

    def __call__(self, *_arguments: Any) -> "Unknown":
        """Calling it does nothing."""
        return self


@dataclass(frozen=True)
class Storage:
    """What a pickle says of a block of numbers that is stored outside it."""

    key: str
    dtype: np.dtype[Any]
    count: int


@dataclass
class PickledArray:
    """A NumPy array in a pickle."""

    array: NDArray[Any] | None = None

    @property
    def nbytes(self) -> int:
        """The size in bytes."""
        return 0 if self.array is None else self.array.nbytes

    def restore(self, state: Any) -> None:
        """Take the shape, dtype and bytes. Raises ValueError where they do not fit."""
        _version, shape, dtype, fortran, content = state
        self.array = np.frombuffer(content, dtype.dtype).reshape(shape, order="F" if fortran else "C")


@dataclass
class PickledDtype:
    """A NumPy dtype in a pickle."""

    dtype: np.dtype[Any]

    def restore(self, state: Any) -> None:
        """Take the byte order."""
        self.dtype = self.dtype.newbyteorder(state[1])


def _dtype(name: str, *_flags: Any) -> PickledDtype:
    dtype = np.dtype(str(name))
    if dtype.hasobject:
        raise ValueError(f"dtype {name}")
    return PickledDtype(dtype)


def _tensor(read: ReadStorage) -> Callable[..., StoredTensor | Unknown]:
    def rebuild(storage: Any, offset: int, size: Any, stride: Any, *rest: Any) -> StoredTensor | Unknown:
        """See torch._utils._rebuild_tensor_v2. The claims are checked against the size of the storage."""
        if not isinstance(storage, Storage):
            return Unknown("a tensor of " + getattr(storage, "name", "an unknown kind"))
        shape, steps = tuple(size), tuple(stride)
        if not all(type(number) is int and number >= 0 for number in (offset, *shape, *steps)):
            raise ValueError("negative sizes")
        last = offset + sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
        if prod(shape) > storage.count or (prod(shape) and last >= storage.count):
            raise ValueError(f"a tensor of shape {shape} in a storage of {storage.count} numbers")
        negative = len(rest) > 2 and isinstance(rest[2], dict) and bool(rest[2].get("neg"))

        def array() -> NDArray[Any]:
            flat = read(storage.key, storage)[offset:]
            if not prod(shape):
                return np.zeros(shape, flat.dtype)
            strides = tuple(step * flat.itemsize for step in steps)
            found = np.lib.stride_tricks.as_strided(flat, shape, strides, writeable=False)
            return -found if negative else found

        return StoredTensor(len(shape), prod(shape) * storage.dtype.itemsize, array)

    return rebuild


def _first(first: Any, *_rest: Any) -> Any:
    return first


def _dictionary(*_arguments: Any) -> dict[Any, Any]:
    return {}


def _array(*_arguments: Any) -> PickledArray:
    return PickledArray()


def _array_from_buffer(content: Any, dtype: PickledDtype, shape: Any, order: str) -> PickledArray:
    array = PickledArray()
    array.restore((1, shape, dtype, order == "F", content))
    return array


KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): _dictionary,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch._utils", "_rebuild_parameter_with_state"): _first,
    ("numpy", "dtype"): _dtype,
    ("numpy.core.multiarray", "_reconstruct"): _array,
    ("numpy._core.multiarray", "_reconstruct"): _array,
    ("numpy.core.numeric", "_frombuffer"): _array_from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _array_from_buffer,
}


class Reader(pickle._Unpickler):
    """Reads one pickle. `read` gives the numbers of a storage; it is called when a tensor is needed.

    The one written in Python, since it takes no memory for what a damaged pickle merely claims.
    """

    stack: list[Any]
    pop_mark: Callable[[], list[Any]]
    read: Callable[[int], bytes]

    def __init__(self, stream: io.BytesIO, read: ReadStorage) -> None:
        super().__init__(stream, encoding="utf-8")
        self._functions = KNOWN | {
            ("torch._utils", "_rebuild_tensor_v2"): _tensor(read),
            ("_codecs", "encode"): self._encode,
        }
        self._left = len(stream.getbuffer())

    def find_class(self, module: str, name: str) -> Any:
        """The function of `KNOWN`, or a stand-in. Nothing is imported."""
        return self._functions.get((module, name), Unknown(f"{module}.{name}"))

    def _encode(self, text: str, _encoding: str = "latin1") -> bytes:
        # Each text is in the pickle. One that is encoded again and again could fill the memory.
        self._left -= len(text)
        if self._left < 0:
            raise ValueError("more bytes than it contains")
        return text.encode("latin1")

    def persistent_load(self, pid: Any) -> Any:
        """A storage: ("storage", class, key, device, count), in old files with one field more."""
        _kind, storage, key, _device, count = pid[:5]
        dtype = STORAGES.get(storage.name.removeprefix("torch."))
        if dtype is None:
            return storage
        if type(count) is not int or count < 0:
            raise ValueError(f"a storage of {count} numbers")
        return Storage(str(key), dtype, count)

    def _bytes(self) -> None:
        (count,) = struct.unpack("<Q", self.read(8))
        self.stack.append(self.read(count))  # pickle would first take the memory that is claimed

    def _build(self) -> None:
        state = self.stack.pop()
        if isinstance(self.stack[-1], (PickledArray, PickledDtype)):
            self.stack[-1].restore(state)

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._update(items[::2], items[1::2])

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key], [value])

    def _update(self, keys: list[Any], values: list[Any]) -> None:
        # Nested tuples could take forever to hash, and huge integers to print.
        simple = [
            key if type(key) is str else f"{key:g}" if type(key) in (int, float) else "" for key in keys
        ]
        if isinstance(self.stack[-1], dict):
            self.stack[-1].update(zip(simple, values, strict=True))

    def _new(self) -> None:
        self.stack.pop()
        kind = self.stack.pop()
        self.stack.append(kind if isinstance(kind, Unknown) else Unknown("an object"))

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not callable(function) or type(arguments) is not tuple:
            raise pickle.UnpicklingError("a call of something that is not a function")
        self.stack[-1] = function(*arguments)

    def _append(self) -> None:
        value = self.stack.pop()
        if isinstance(self.stack[-1], list):
            self.stack[-1].append(value)

    def _appends(self) -> None:
        values = self.pop_mark()
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    # Sets, instances of old classes, and extension codes do not exist here.
    dispatch: ClassVar[dict[int, Any]] = {
        code: handler
        for code, handler in pickle._Unpickler.dispatch.items()
        if bytes([code]) not in b"io\x82\x83\x84\x8f\x90\x91\x92\x97\x98"
    } | {
        pickle.BYTEARRAY8[0]: _bytes,
        pickle.BUILD[0]: _build,
        pickle.SETITEMS[0]: _set_items,
        pickle.SETITEM[0]: _set_item,
        pickle.NEWOBJ[0]: _new,
        pickle.REDUCE[0]: _reduce,
        pickle.APPEND[0]: _append,
        pickle.APPENDS[0]: _appends,
    }
