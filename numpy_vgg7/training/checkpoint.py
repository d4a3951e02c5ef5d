"""A checkpoint: the state of a training in a file, with a checksum, and bound to its settings and data."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from numpy_vgg7.data import Dataset
from numpy_vgg7.errors import TrainingError
from numpy_vgg7.files import write_bytes
from numpy_vgg7.functional import Arrays
from numpy_vgg7.inputs import Note
from numpy_vgg7.model import VGG7
from numpy_vgg7.reading import FileKind
from numpy_vgg7.training.loop import Epoch, State
from numpy_vgg7.weights.record import KEY
from numpy_vgg7.weights.safetensors_file import parse, safetensors_bytes

# What a checkpoint belongs to: the settings of its training by name, and hashes of its images and labels:
# `data` of those that it trains on and chooses the best epoch by, `test` of those that only scores are of.
Binding = dict[str, Any]

KIND = FileKind("checkpoint of the training in this folder", TrainingError, "start the training again")
BLANK = "0" * 64  # the place of the checksum in the file that it is of


def fingerprint(*parts: Dataset) -> str:
    """SHA-256 of pixels, labels and weights of data sets."""
    digest = hashlib.sha256()
    for part in parts:
        weights = np.ones(0) if part.weights is None else part.weights
        for array in (part.pixels, part.labels.astype(np.int64), weights):
            digest.update(f"{array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def write(path: Path, state: State, binding: Binding) -> None:
    """Write a checkpoint. Raises OutputError."""
    parts = {"params": state.params, "velocity": state.velocity, "average": state.average}
    tensors = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
    record = {"sha256": BLANK, "binding": binding, "history": state.history}
    content = safetensors_bytes(tensors, json.dumps(record))
    write_bytes(path, content.replace(BLANK.encode(), _sha256(content), 1))


def read(path: Path, model: VGG7, binding: Binding, note: Note) -> State:
    """Read and verify a checkpoint. One from before there were checksums is noted.

    Raises TrainingError if it is damaged, or of another training.
    """
    content = KIND.read(path)
    tensors, metadata = parse(content, path, KIND)
    parts: dict[str, Arrays] = {"params": {}, "velocity": {}}
    if any(name.startswith("average/") for name in tensors):
        parts["average"] = {}
    with KIND.parsing(path):
        rows = _verified(content, path, json.loads(metadata[KEY]), binding, note)
        history = [Epoch(int(row[0]), *map(float, row[1:])) for row in rows]
        for part, arrays in parts.items():
            for name, parameter in model.params.items():
                arrays[name] = tensors[f"{part}/{name}"]
                if arrays[name].shape != parameter.shape or arrays[name].dtype != parameter.dtype:
                    raise ValueError(f"{part}/{name} with another shape or dtype")
                if not np.isfinite(arrays[name]).all():
                    raise ValueError(f"{part}/{name} not finite")
    return State(**parts, history=history)


def _verified(content: bytes, path: Path, record: Any, binding: Binding, note: Note) -> Any:
    """The history in the metadata of a checkpoint. Raises TrainingError, and what odd metadata raise."""
    if isinstance(record, list):  # from before there were checksums
        note(
            f"{path}: written by an older version, without a checksum: cannot verify that it is undamaged "
            "and belongs to these settings and data"
        )
        return record
    digest = str(record["sha256"]).encode()
    found = _sha256(content.replace(digest, BLANK.encode(), 1))
    if found != digest:
        expected, fix = f"SHA-256 {digest[:12].decode()}...", "it is damaged: start the training again"
        raise TrainingError(str(path), expected, f"{found[:12].decode()}...", fix)
    _compare(path, record["binding"], binding, note)
    return record["history"]


def _compare(path: Path, found: Binding, binding: Binding, note: Note) -> None:
    """Raise TrainingError if a checkpoint is of other settings or data. What cannot be compared is noted."""
    if "data" not in found:
        raise ValueError("no hash of its data")
    changed = [name for name in binding if name in found and found[name] != binding[name]]
    for name in changed:
        if name == "data":
            expected, fix = "the images and labels of its training", "restore them, or start again"
            raise TrainingError(f"{path}: data", expected, "others", fix)
        if name != "test":
            expected, fix = (
                f"{binding[name]}, as in config.json",
                "it belongs to another training: start again",
            )
            raise TrainingError(f"{path}: {name}", expected, found[name], fix)
    if "test" in changed:
        note(f"{path}: the test set has changed since the checkpoint; the scores will be of the new one")
    for name in sorted(binding.keys() ^ found.keys()):
        why = "not in the checkpoint" if name in binding else "unknown to this version"
        note(f"{path}: {name}: {why}: cannot verify that it is the same in this training")


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()
