"""A case on disk: what another implementation is given, and the trace that it should have.

A case file is safetensors, float64: the parameters ("conv1.weight"), "input" and "labels", the reference
trace under "reference/...", and one metadata key with configuration, learning rates, seed and a checksum.
The second batch (see `second.py`) has the same layout under "second/...". Files of earlier versions, without
it or without the checksum, are read, too.
"""

import hashlib
import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import CaseError, ConfigError, VGG7Error, remedy
from numpy_vgg7.files import write_bytes
from numpy_vgg7.functional import Arrays
from numpy_vgg7.inputs import Note, as_images, as_labels, warn
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import Conv2d, Layer, parameter_shapes, trace_names
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.case import STEPS, Case
from numpy_vgg7.parity.second import PREFIX as SECOND
from numpy_vgg7.reading import FileKind
from numpy_vgg7.weights.safetensors_file import read_all, read_metadata
from numpy_vgg7.weights.tensors import widen

KEY = "numpy_vgg7_case"
SUM = "sha256"  # in the metadata
PREFIX = "reference/"
# Of the optimizer; a case has no other settings.
SGD_FIELDS = ("lr_conv", "lr_fc", "momentum", "weight_decay", "nesterov")
KIND = FileKind("safetensors file", CaseError, "write it anew")

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class CaseFile:
    """A case, its trace in the order of computation, and the same for its second batch."""

    case: Case
    reference: Arrays
    second: "CaseFile | None" = None
    seed: int | None = None

    @property
    def given(self) -> Arrays:
        """What the case gives: input, labels and parameters."""
        return {"input": self.case.images, "labels": self.case.labels, **self.case.model.params}

    @property
    def parts(self) -> dict[str, "CaseFile"]:
        """The batches by the prefix of their names: "" and "second/"."""
        return {"": self} if self.second is None else {"": self, SECOND: self.second}


def write_case(
    path: Path, case: Case, reference: Arrays, second: CaseFile | None = None, seed: int | None = None
) -> None:
    """Write a case of dtype float64 with the reference trace. Raises OutputError."""
    file = CaseFile(case, reference, second, seed)
    tensors: Arrays = {}
    for prefix, part in file.parts.items():
        tensors |= {prefix + name: array for name, array in part.given.items()}
        tensors |= {prefix + PREFIX + name: array for name, array in part.reference.items()}
    record: dict[str, Any] = {
        "config": json.loads(case.model.config.to_json()),
        "sgd": {name: getattr(case.sgd, name) for name in SGD_FIELDS},
        "seed": seed,
    }
    # safetensors writes wrong values for arrays that are not C-contiguous.
    contiguous = {name: np.array(array, order="C") for name, array in tensors.items()}
    record[SUM] = _checksum(contiguous, record)
    write_bytes(path, safetensors.numpy.save(contiguous, metadata={KEY: json.dumps(record)}))


def read_case(path: Path, note: Note = warn) -> CaseFile:
    """Read what `write_case` wrote. Raises CaseError. A file without a checksum is noted."""
    tensors, metadata = read_safetensors(path)
    try:
        record = _record(metadata.get(KEY))
        written = record.pop(SUM, None)
        if not record.keys() <= {"config", "sgd", "seed"}:
            raise CaseError(
                "metadata", "config, sgd, seed and sha256", ", ".join(record), "the case is damaged"
            )
        if written is None:
            note(f"{path}: a case of an earlier version, without a checksum: damage would not be noticed")
        elif written != (found := _checksum(tensors, record)):
            raise CaseError("checksum", str(written), found, "the case is damaged")
        config = VGG7Config.from_json(json.dumps(record["config"]))
        sgd, seed = _sgd(record["sgd"]), record.get("seed")
        if seed is not None and type(seed) is not int:
            raise ConfigError("seed", "a whole number", seed, "correct it")
        second = None
        if any(name.startswith(SECOND) for name in tensors):
            inner = {n.removeprefix(SECOND): t for n, t in tensors.items() if n.startswith(SECOND)}
            second = _part(inner, config, sgd, ())
        first = _part(tensors, config, sgd, STEPS)
        return CaseFile(first.case, first.reference, second, seed)
    except VGG7Error as error:
        found = f"something else ({error})"
        raise _error(path, "a case that `parity case` wrote", found, "write it anew") from error


def _checksum(tensors: Tensors, record: dict[str, Any]) -> str:
    """SHA-256 of the metadata, and of the names, dtypes, shapes and bytes of all tensors."""
    found = hashlib.sha256(json.dumps(record, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        found.update(json.dumps([name, tensor.dtype.str, tensor.shape]).encode())
        found.update(tensor.tobytes())
    return found.hexdigest()


def find_case(candidate: Path) -> Path:
    """The one case file in the folder of a candidate. Raises CaseError where there is none, or several."""
    found = []
    for path in sorted(_neighbours(candidate)):
        with suppress(CaseError):  # not a case, whatever it is; the candidate itself is read elsewhere
            if KEY in read_metadata(path, KIND):
                found.append(path)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise _error(candidate, "one case file in the same folder", names, "name it with --case")
    return found[0]


def read_safetensors(path: Path) -> tuple[Tensors, dict[str, str]]:
    """Tensors and metadata of a safetensors file. Raises CaseError if it is none."""
    tensors, metadata = read_all(path, KIND)
    return widen(tensors)[0], metadata


def _neighbours(candidate: Path) -> list[Path]:
    try:
        return [path for path in candidate.parent.iterdir() if path.suffix == ".safetensors"]
    except OSError as error:
        raise _error(candidate.parent, "a readable folder", error, remedy(error, "check the path")) from error


def trace_shapes(layers: tuple[Layer, ...], config: VGG7Config, batch: int) -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a trace, in the order of computation, without computing it."""
    side, channels = config.image_size, 1
    shapes: dict[str, tuple[int, ...]] = {"input": (batch, 1, side, side)}
    features: tuple[int, ...] | None = None
    for layer in layers:
        own = layer.shapes()
        shapes |= {f"{layer.name}.{key}": shape for key, shape in own.items()}
        if isinstance(layer, Conv2d):
            channels = layer.out_channels
        elif layer.name.startswith("pool"):
            side //= 2
        elif layer.name == "flatten":
            features = (channels * side**2,)
        elif own:
            features = own["weight"][:1]
        shapes[layer.name] = (batch, *(features or (channels, side, side)))
    shapes |= {"probs": shapes["logits"], "loss": ()}
    return {name: shapes[name.removesuffix(".grad")] for name in trace_names(layers)}


def _record(text: str | None) -> dict[str, Any]:
    try:
        record = json.loads(text or "")
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"metadata {KEY}", "JSON", error, "correct it") from error
    if not isinstance(record, dict) or not {"config", "sgd"} <= record.keys():
        found = type(record).__name__
        raise ConfigError(f"metadata {KEY}", "an object with config and sgd", found, "correct it")
    return record


def _sgd(record: object) -> SGD:
    try:
        if not isinstance(record, dict) or not record.keys() <= set(SGD_FIELDS):
            raise TypeError(f"not all keys among {', '.join(SGD_FIELDS)}")
        sgd = SGD(**record)
    except TypeError as error:
        raise ConfigError("sgd", "learning rates", error, "correct it") from error
    for name in SGD_FIELDS:
        value = getattr(sgd, name)
        kinds = (bool,) if name == "nesterov" else (int, float)
        if type(value) not in kinds or not abs(value) < math.inf:
            raise ConfigError(f"sgd: {name}", "a finite number", repr(value), "correct it")
    return sgd


def _part(tensors: Tensors, config: VGG7Config, sgd: SGD, steps: tuple[int, ...]) -> CaseFile:
    """One batch, every tensor of it checked before anything of its size is allocated."""
    layers = config.layers()
    params = {name: _tensor(tensors, name, shape) for name, shape in parameter_shapes(layers).items()}
    given = tensors.get("input", np.zeros(0))
    images = as_images(given, config.image_size, "float64", "input")
    if images.dtype != given.dtype:
        raise CaseError("input", "float64", given.dtype, "correct it")
    labels = as_labels(tensors.get("labels", np.zeros(0)), len(images), config.classes)
    shapes = trace_shapes(layers, config, len(images))
    shapes |= {f"{name}.step{step}": parameter.shape for step in steps for name, parameter in params.items()}
    reference = dict(_references(tensors, shapes, params | {"input": images}))
    return CaseFile(Case(VGG7.from_params(config, params), images, labels, sgd, steps), reference)


def _references(
    tensors: Tensors, shapes: dict[str, tuple[int, ...]], given: Arrays
) -> Iterator[tuple[str, NDArray[Any]]]:
    """The reference trace. What the case gives need not stand in it once more."""
    for name, shape in shapes.items():
        in_file = PREFIX + name
        if name in given and in_file not in tensors:
            yield name, given[name]
        else:
            yield name, _tensor(tensors, in_file, shape)


def _tensor(tensors: Tensors, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    tensor = tensors.get(name)
    if tensor is None or tensor.shape != shape or tensor.dtype != np.float64:
        found = "none" if tensor is None else f"{tensor.dtype} of shape {tensor.shape}"
        raise CaseError(name, f"float64 of shape {shape}", found, "correct it")
    if not np.isfinite(tensor).all():
        raise CaseError(name, "finite numbers", "NaN or infinity", "correct it")
    return tensor


def _error(path: Path, expected: str, found: object, fix: str) -> CaseError:
    return CaseError(str(path), expected=expected, found=found, fix=fix)
