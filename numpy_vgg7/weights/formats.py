"""One way to store tensors and metadata for each suffix.

Every writer takes contiguous copies (safetensors writes wrong values otherwise); every reader
returns the tensors and the metadata text, or None where the file has none.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from numpy_vgg7 import numpy_files
from numpy_vgg7.atomic import write_bytes
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import WeightsError
from numpy_vgg7.model import VGG7
from numpy_vgg7.weights.infer import infer_config
from numpy_vgg7.weights.record import KEY, check_tensors, describe, verify

Tensors = dict[str, NDArray[Any]]
Format = TypeVar("Format")


def read_safetensors(path: Path) -> tuple[Tensors, str | None]:
    """Tensors and metadata of a safetensors file. Raises WeightsError if it is not one."""
    require_file(path)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            dtypes = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            odd = next((name for name, dtype in dtypes.items() if dtype not in ("F32", "F64")), None)
            tensors = {} if odd else {name: file.get_tensor(name) for name in dtypes}
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        raise _unreadable(path, "safetensors", error) from error
    if odd:
        raise WeightsError(
            f"{path}: {odd}", expected="F32 or F64", found=dtypes[odd], fix="convert it before saving"
        )
    return tensors, metadata.get(KEY)


def write_safetensors(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write a safetensors file with one metadata key."""
    contiguous = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    write_bytes(path, safetensors.numpy.save(contiguous, metadata={KEY: metadata}))


def read_npz(path: Path) -> tuple[Tensors, str | None]:
    """Arrays and metadata of an npz file; pickled objects are refused. Raises DataError."""
    tensors = numpy_files.read_npz(path)
    metadata = tensors.pop(KEY, None)
    return tensors, None if metadata is None else str(metadata)


def write_npz(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write an npz file; the metadata is a string array beside the tensors."""
    archive = io.BytesIO()
    np.savez(archive, **{KEY: np.array(metadata)}, **tensors)  # type: ignore[arg-type]
    write_bytes(path, archive.getvalue())


Reader = Callable[[Path], tuple[Tensors, str | None]]
Writer = Callable[[Path, Tensors, str], None]
READERS: dict[str, Reader] = {".safetensors": read_safetensors, ".npz": read_npz}
WRITERS: dict[str, Writer] = {".safetensors": write_safetensors, ".npz": write_npz}


def save(path: Path, model: VGG7, writers: dict[str, Writer] = WRITERS) -> None:
    """Write a model in the format of the path's suffix. Raises WeightsError or OutputError."""
    write = by_suffix(path, writers)
    check_tensors(model.params, model.config, "model")
    write(path, dict(model.params), describe(model.config, model.params))


def load(path: Path) -> VGG7:
    """Read a safetensors file that `save` wrote, checking everything in it. Raises WeightsError."""
    tensors, metadata = read_safetensors(path)
    if metadata is None:
        raise WeightsError(
            str(path),
            expected=f"the metadata key {KEY} with configuration, checksums and probe",
            found="none",
            fix="bring the file in with `numpy-vgg7 import` first",
        )
    return _model(verify(metadata, tensors, str(path)), tensors)


def read_foreign(
    path: Path, config: VGG7Config | None = None, readers: dict[str, Reader] = READERS
) -> tuple[VGG7, bool]:
    """Read a model from any known format, and say whether its configuration had to be inferred.

    The file's own metadata is checked where it has some; else `config` says what it should be,
    and without that its shapes do (`infer_config`). Raises WeightsError.
    """
    tensors, metadata = by_suffix(path, readers)(path)
    if metadata is not None:
        known = verify(metadata, tensors, str(path))
        if config is not None and config != known:
            raise WeightsError(
                f"{path}: configuration",
                expected=config.to_json(),
                found=known.to_json(),
                fix="leave the option out: the file says itself what it is",
            )
        return _model(known, tensors), False
    found = infer_config(tensors, str(path)) if config is None else config
    check_tensors(tensors, found, str(path))
    return _model(found, tensors), config is None


def by_suffix(path: Path, table: dict[str, Format]) -> Format:
    """The entry of a table of formats for a path. Raises WeightsError on an unknown suffix."""
    if path.suffix not in table:
        raise WeightsError(
            str(path),
            expected=f"a name ending in {', '.join(table)}",
            found=repr(path.suffix),
            fix="rename the file",
        )
    return table[path.suffix]


def _model(config: VGG7Config, tensors: Tensors) -> VGG7:
    return VGG7.from_params(config, tensors)


def require_file(path: Path) -> None:
    """Raise WeightsError unless there is a file at `path`."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise WeightsError(str(path), expected="a file", found=found, fix="check the path")


def _unreadable(path: Path, kind: str, error: Exception) -> WeightsError:
    return WeightsError(
        str(path),
        expected=f"a whole {kind} file",
        found=f"something else ({error})",
        fix="check that it was copied completely and is not of another format",
    )
