"""PyTorch's files without PyTorch: a pickle and, beside it, the numbers. Also plain pickles."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.reading import Archive, FileKind
from numpy_vgg7.weights.pickles import Reader, Storage

SAVED = "a state_dict saved by torch.save"
FIX = "save the state dict: torch.save(model.state_dict(), FILE)"

ZIP = FileKind("PyTorch file", WeightsError)
PICKLE = FileKind("state_dict saved by torch.save", WeightsError, FIX)
_OLD_FORMAT = 0x1950A86A20F9469CFC6C


def read_pt(path: Path) -> tuple[Any, None]:
    """What a pickle contains: dictionaries and lists of `StoredTensor` or arrays, numbers, `Unknown` objects.

    Nothing in the file is executed. Raises WeightsError.
    """
    with PICKLE.opened(path) as file:
        start = file.read(2)
    with PICKLE.parsing(path):
        return (_read_zip(path) if start == b"PK" else _read_pickles(path)), None


def _read_zip(path: Path) -> Any:
    archive = Archive(path, ZIP)
    pickles = [name for name in archive.entries if name.endswith("/data.pkl")]
    folder = pickles[0].removesuffix("data.pkl") if pickles else ""
    if f"{folder}constants.pkl" in archive.entries:
        fix = "save its state dict: torch.save(torch.jit.load(FILE).state_dict(), OTHER_FILE)"
        raise WeightsError(str(path), SAVED, "a TorchScript program, which is never executed", fix)
    if len(pickles) != 1:
        raise ZIP.damaged(path, f"{len(pickles)} entries named data.pkl")
    order = f"{folder}byteorder"
    big = order in archive.entries and archive.read(order) == b"big"

    blocks: dict[str, bytes] = {}  # tensors may share a storage

    def read(key: str, storage: Storage) -> NDArray[Any]:
        if key not in blocks:
            blocks[key] = archive.read(f"{folder}data/{key}")
        return _numbers(blocks[key], storage, big, path)

    if (size := archive.entries[pickles[0]].file_size) > archive.length:  # each byte may become an object
        raise archive.too_large(f"a pickle of {size:,} bytes in a file of {archive.length:,}")
    return Reader(io.BytesIO(archive.read(pickles[0])), read).load()


def _read_pickles(path: Path) -> Any:
    """A pickle, or the format before PyTorch 1.6: five of them, then each storage after its length."""
    content = PICKLE.read(path)
    view = memoryview(content)
    stream = io.BytesIO(content)
    storages: dict[str, tuple[int, int]] = {}

    def read(key: str, storage: Storage) -> NDArray[Any]:
        if key not in storages or storages[key][1] != storage.count:
            found = f"a storage of {storages.get(key, (0, 0))[1]} numbers, not {storage.count}"
            raise ZIP.damaged(path, found)
        start = storages[key][0]
        end = start + storage.count * storage.dtype.itemsize
        return _numbers(view[start:end], storage, big, path)

    sizes: dict[str, int] = {}
    first = Reader(stream, read).load()
    if first != _OLD_FORMAT:
        return first
    Reader(stream, read).load()  # the protocol version
    big = Reader(stream, read).load().get("little_endian") is False
    tree = _Sized(stream, read, sizes).load()
    for key in Reader(stream, read).load():
        count = int.from_bytes(stream.read(8), "big" if big else "little")
        storages[key] = (stream.tell(), count)
        stream.seek(count * sizes[key], io.SEEK_CUR)
        if stream.tell() > len(content):
            raise EOFError(f"{count:,} numbers in a file of {len(content):,} bytes")
    return tree


class _Sized(Reader):
    """Also notes the item size of each storage, which the old format does not write beside the numbers."""

    def __init__(self, stream: io.BytesIO, read: Callable[..., Any], sizes: dict[str, int]) -> None:
        super().__init__(stream, read)
        self._sizes = sizes

    def persistent_load(self, pid: Any) -> Any:
        storage = super().persistent_load(pid)
        if isinstance(storage, Storage):
            self._sizes[storage.key] = storage.dtype.itemsize
        return storage


def _numbers(content: bytes | memoryview, storage: Storage, big: bool, path: Path) -> NDArray[Any]:
    if len(content) != storage.count * storage.dtype.itemsize:
        found = f"{len(content):,} bytes for {storage.count:,} numbers of storage {storage.key}"
        raise ZIP.damaged(path, found)
    return np.frombuffer(content, storage.dtype.newbyteorder(">") if big else storage.dtype)
