"""A reader and a writer for each format, selected by the suffix.

Readers return the tensors and the metadata, a JSON text, or None if the file has none.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from numpy_vgg7 import files
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import WeightsError
from numpy_vgg7.model import VGG7
from numpy_vgg7.weights.infer import infer_config
from numpy_vgg7.weights.record import KEY, check_tensors, describe, verify

Tensors = dict[str, NDArray[Any]]
Format = TypeVar("Format")


def read_safetensors(path: Path) -> tuple[Tensors, str | None]:
    """Tensors and metadata of a safetensors file. Raises WeightsError if it is not one."""
    files.require_file(path, WeightsError)
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            dtypes = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
            odd = next((name for name, dtype in dtypes.items() if dtype not in ("F32", "F64")), None)
            tensors = {} if odd else {name: file.get_tensor(name) for name in dtypes}
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError, ValueError, TypeError) as error:
        fix = "check that it was copied completely and is not of another format"
        found = f"something else ({error})"
        raise WeightsError(str(path), "a complete safetensors file", found, fix) from error
    if odd:
        raise WeightsError(f"{path}: {odd}", "F32 or F64", dtypes[odd], "convert it before saving")
    return tensors, metadata.get(KEY)


def write_safetensors(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write a safetensors file with one metadata key."""
    # safetensors writes wrong values for arrays that are not C-contiguous.
    contiguous = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    files.write_bytes(path, safetensors.numpy.save(contiguous, metadata={KEY: metadata}))


def read_npz(path: Path) -> tuple[Tensors, str | None]:
    """Arrays and metadata of an npz file; pickled objects are refused. Raises DataError."""
    tensors = files.read_npz(path)
    metadata = tensors.pop(KEY, None)
    return tensors, None if metadata is None else str(metadata)


def write_npz(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write an npz file. The metadata becomes one more array, a string."""
    archive = io.BytesIO()
    np.savez(archive, **{KEY: np.array(metadata)}, **tensors)  # type: ignore[arg-type]
    files.write_bytes(path, archive.getvalue())


Reader = Callable[[Path], tuple[Tensors, str | None]]
Writer = Callable[[Path, Tensors, str], None]
READERS: dict[str, Reader] = {".safetensors": read_safetensors, ".npz": read_npz}
WRITERS: dict[str, Writer] = {".safetensors": write_safetensors, ".npz": write_npz}


def save(path: Path, model: VGG7, writers: dict[str, Writer] = WRITERS) -> None:
    """Write a model in the format that the suffix selects. Raises WeightsError or OutputError."""
    write = by_suffix(path, writers)
    check_tensors(model.params, model.config, "model")
    write(path, dict(model.params), describe(model.config, model.params))


def load(path: Path) -> VGG7:
    """Read and verify a safetensors file that `save` wrote. Raises WeightsError."""
    tensors, metadata = read_safetensors(path)
    if metadata is None:
        expected = f"the metadata key {KEY} with configuration, checksums and probe"
        raise WeightsError(str(path), expected, "none", "convert the file with `numpy-vgg7 import` first")
    return VGG7.from_params(verify(metadata, tensors, str(path)), tensors)


def read_foreign(
    path: Path, config: VGG7Config | None = None, readers: dict[str, Reader] = READERS
) -> tuple[VGG7, bool]:
    """Read a model from any known format; also return whether its configuration was inferred.

    The configuration is that of the metadata if the file has any, else `config`, else it is inferred from the
    shapes (`infer_config`). Raises WeightsError.
    """
    tensors, metadata = by_suffix(path, readers)(path)
    if metadata is not None:
        known = verify(metadata, tensors, str(path))
        if config is not None and config != known:
            fix = "omit the option: the file contains its configuration"
            raise WeightsError(f"{path}: configuration", config.to_json(), known.to_json(), fix)
        return VGG7.from_params(known, tensors), False
    found = infer_config(tensors, str(path)) if config is None else config
    check_tensors(tensors, found, str(path))
    return VGG7.from_params(found, tensors), config is None


def by_suffix(path: Path, table: dict[str, Format]) -> Format:
    """The entry of `table` for the suffix of `path`. Raises WeightsError on an unknown suffix."""
    if path.suffix not in table:
        *most, last = table
        expected = f"a name ending in {', '.join(most)} or {last}"
        raise WeightsError(str(path), expected, repr(path.suffix), "rename the file")
    return table[path.suffix]
