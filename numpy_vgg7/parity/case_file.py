"""Check another implementation: a case on disk, and the comparison of what it computes for the case.

A case file is safetensors, float64: the parameters ("conv1.weight"), "input" and "labels", the
reference trace under "reference/...", and one metadata key with configuration and learning rates. A
candidate is safetensors too: any tensors of a trace under their own names.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import CaseError, VGG7Error
from numpy_vgg7.files import write_bytes
from numpy_vgg7.functional import Arrays
from numpy_vgg7.inputs import as_images, as_labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.case import STEPS, Case
from numpy_vgg7.parity.compare import Comparison, compare
from numpy_vgg7.parity.localise import Culprit, localise

KEY = "numpy_vgg7_case"
PREFIX = "reference/"


@dataclass(frozen=True)
class CaseFile:
    """A case and the trace that it should have."""

    case: Case
    reference: Arrays


def write_case(path: Path, case: Case, reference: Arrays) -> None:
    """Write a case of dtype float64 with the reference trace. Raises OutputError."""
    tensors = {"input": case.images, "labels": case.labels, **case.model.params}
    tensors |= {PREFIX + name: array for name, array in reference.items()}
    record = {"config": json.loads(case.model.config.to_json()), "sgd": asdict(case.sgd)}
    contiguous = {name: np.array(array, order="C") for name, array in tensors.items()}
    write_bytes(path, safetensors.numpy.save(contiguous, metadata={KEY: json.dumps(record)}))


def read_case(path: Path) -> CaseFile:
    """Read what `write_case` wrote. Raises CaseError."""
    tensors, metadata = _read(path)
    try:
        record = json.loads(metadata[KEY])
        config = VGG7Config.from_json(json.dumps(record["config"]))
        sgd = SGD(**record["sgd"])
        reference = {n.removeprefix(PREFIX): a for n, a in tensors.items() if n.startswith(PREFIX)}
        model = VGG7(config, dtype="float64")
        model = VGG7.from_params(config, {name: tensors[name] for name in model.params})
        images = as_images(tensors["input"], config.image_size, "float64", "input")
        labels = as_labels(tensors["labels"], len(images), config.classes)
    except (KeyError, ValueError, TypeError, VGG7Error) as error:
        found = f"something else ({error})"
        raise _error(path, "a case that `parity case` wrote", found, "write it anew") from error
    case = Case(model, images, labels, sgd)
    order = [name for name in _names(case) if name in reference]
    return CaseFile(case, {name: reference[name] for name in order})


def find_case(candidate: Path) -> Path:
    """The one case file in the folder of a candidate. Raises CaseError where there is none, or several."""
    found = []
    for path in sorted(candidate.parent.glob("*.safetensors")):
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                if KEY in (file.metadata() or {}):
                    found.append(path)
        except (safetensors.SafetensorError, OSError):
            continue  # not a case, whatever it is; the candidate itself is read, and judged, elsewhere
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise _error(candidate, "one case file in the same folder", names, "name it with --case")
    return found[0]


def read_candidate(path: Path) -> Arrays:
    """The tensors of a candidate. Raises CaseError if it is no safetensors file or has no tensor."""
    tensors, metadata = _read(path)
    if KEY in metadata:
        found = "the case file itself"
        raise _error(path, "a file with your own tensors", found, "run your code and write its trace")
    if not tensors:
        raise _error(path, "at least one tensor of a trace", "none", "write your tensors by name")
    return tensors


def check(candidate: Arrays, file: CaseFile, partial: bool = False) -> tuple[Comparison, list[Culprit]]:
    """Judge a trace; name the places that don't follow from their own inputs.

    Every tensor of the trace is demanded but those that the case itself gives (input, parameters);
    where `partial` is true, only those that are there are judged. For localising, the reference stands
    in for what is missing.
    """
    given = {"input", *file.case.model.params}
    judged = {
        name: tensor
        for name, tensor in file.reference.items()
        if name in candidate or not (partial or name in given)
    }
    comparison = compare(candidate, judged)
    fits = {
        name: tensor
        for name, tensor in candidate.items()
        if name in judged
        and tensor.shape == judged[name].shape
        and tensor.dtype == judged[name].dtype
        and np.isfinite(tensor).all()
    }
    case = file.case
    culprits = localise(case.model.layers, case.sgd, case.labels, file.reference | fits, foreign=True)
    # A reference that stands in cannot be wrong, though it does not follow from the candidate's tensors.
    return comparison, [culprit for culprit in culprits if culprit.tensor in fits]


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing there"
        raise _error(path, "a file", found, "check the path")
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, ValueError, TypeError, AttributeError) as error:
        found = f"something else ({error})"
        raise _error(path, "a whole safetensors file", found, "write it anew") from error


def _names(case: Case) -> list[str]:
    """Names of a trace in the order of computation, which safetensors does not keep."""
    names = list(case.model.trace(case.images, case.labels))
    return names + [f"{name}.step{step}" for step in STEPS for name in case.model.params]


def _error(path: Path, expected: str, found: str, fix: str) -> CaseError:
    return CaseError(str(path), expected=expected, found=found, fix=fix)
