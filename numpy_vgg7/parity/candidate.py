"""A candidate: the tensors of another implementation, by the names of a trace.

It is a safetensors, npz or PyTorch file, or a mapping of names to arrays.
"""

import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.errors import CaseError, VGG7Error
from numpy_vgg7.parity.case_file import KEY, CaseFile, Tensors, read_safetensors
from numpy_vgg7.parity.second import PREFIX as SECOND
from numpy_vgg7.reading import LONGEST_TEXT, FileKind, read_npz
from numpy_vgg7.suggestions import closest
from numpy_vgg7.weights.state_dict import read_pt_tensors


def read_candidate(path: Path) -> Tensors:
    """The tensors of a file, by the reader for its suffix. Raises CaseError.

    A file with an unknown suffix is read as safetensors.
    """
    read = READERS.get(path.suffix, read_safetensors_candidate)
    try:
        tensors = read(path)
    except CaseError:
        raise
    except VGG7Error as error:
        raise CaseError(str(path), error.expected, error.found, error.fix) from error
    return as_tensors(tensors, str(path))


def read_safetensors_candidate(path: Path) -> Tensors:
    """The tensors of a safetensors file that is not a case. Raises CaseError."""
    tensors, metadata = read_safetensors(path)
    if KEY in metadata:
        fix = "run your code and write its trace"
        raise CaseError(str(path), "a file with your own tensors", "the case file itself", fix)
    return tensors


READERS: dict[str, Callable[[Path], Tensors]] = {
    ".safetensors": read_safetensors_candidate,
    ".npz": read_npz,
    ".pt": read_pt_tensors,
    ".pth": read_pt_tensors,
}


def as_tensors(tensors: Mapping[str, Any], source: str = "candidate") -> Tensors:
    """Arrays by name, from NumPy arrays, PyTorch tensors or numbers. Raises CaseError where there is none."""
    arrays = {_printable(name): _array(tensor, f"{source}: {name}") for name, tensor in tensors.items()}
    if not arrays:
        raise CaseError(
            source, "at least one tensor of a trace", "none", "save your tensors under the names of the trace"
        )
    return arrays


def read_names(path: Path) -> dict[str, str]:
    """Names by theirs: a TOML file of lines `"their.name" = "conv1.weight"`. Raises CaseError."""
    fix = 'write lines such as "d_act3" = "act3.grad"'
    kind = FileKind("TOML file", CaseError, fix, LONGEST_TEXT)
    with kind.parsing(path):
        table = tomllib.loads(kind.text(path))
    names = {}
    pending: list[tuple[str, Any]] = list(table.items())
    while pending:
        name, value = pending.pop(0)
        if isinstance(value, dict):  # a name with dots and without quotes
            pending += [(f"{name}.{key}", inner) for key, inner in value.items()]
        elif isinstance(value, str):
            names[name] = value
        else:
            raise CaseError(f"{path}: {name}", "the name of a tensor, in quotes", repr(value), fix)
    return names


def renamed(tensors: Tensors, names: Mapping[str, str], known: Iterable[str]) -> Tensors:
    """The tensors by our names. A name in the map also holds for the second batch. Raises CaseError."""
    known = list(known)
    found = dict(tensors)
    for theirs, ours in names.items():
        if ours not in known:
            raise CaseError(f"names: {theirs}", "a tensor of the trace", ours, _instead(ours, known))
        if theirs not in tensors:
            fix = _instead(theirs, tensors)
            raise CaseError(f"names: {theirs}", "a tensor of the candidate", "no such tensor", fix)
        for prefix in ("", SECOND):
            if prefix + theirs in found and theirs != ours:
                if prefix + ours in tensors and ours not in names:
                    fix = "remove one of them"
                    raise CaseError(f"names: {theirs}", f"no other tensor named {ours}", "both", fix)
                found.pop(prefix + theirs)
        found |= {p + ours: tensors[p + theirs] for p in ("", SECOND) if p + theirs in tensors}
    return found


def require_own(tensors: Tensors, file: CaseFile) -> None:
    """Raise CaseError if the candidate has nothing but what the case gave."""
    given = {prefix + name for prefix, part in file.parts.items() for name in part.given}
    if tensors.keys() <= given:
        found = f"only what the case gave ({', '.join(sorted(tensors)[:3])}, ...): nothing of yours to judge"
        fix = "add what your code computes from it, such as conv1 or conv1.weight.grad"
        raise CaseError("candidate", "at least one tensor that your code computed", found, fix)


def suggestion(name: str, known: Iterable[str]) -> str | None:
    """The known name that was probably meant: "d_act3", "act3_gradient" or "act3.gard" for "act3.grad"."""
    return closest(name, known, _key)


def _key(name: str) -> str:
    """A name without what people write differently: case, separators, and where "grad" stands."""
    words = re.findall(r"[a-z]+|\d+", name.lower().replace("gradient", "grad").replace("second/", "2nd"))
    if words and len(words[0]) > 1 and words[0][0] == "d" and not words[0].startswith("den"):
        words = ["d", words[0][1:], *words[1:]]
    words = [part for word in words for part in (("d", word[1]) if word in ("dw", "db") else (word,))]
    derivative = bool({"d", "grad", "delta"} & set(words))
    words = [WORDS.get(word, word) for word in words if word not in ("d", "grad", "delta")]
    return "".join(words) + ("grad" if derivative else "")


WORDS = {"w": "weight", "b": "bias", "relu": "act", "tanh": "act", "linear": "fc", "softmax": "probs"}


def _instead(name: str, known: Iterable[str]) -> str:
    close = suggestion(name, known)
    return f"did you mean {close}?" if close else "correct the map"


def _array(tensor: Any, source: str) -> NDArray[Any]:
    try:
        if hasattr(tensor, "detach"):  # a PyTorch tensor, which may need gradients
            tensor = tensor.detach().cpu().resolve_neg().numpy()
        return np.asarray(tensor)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CaseError(source, "an array of numbers", str(error), "convert it to NumPy") from error


def _printable(name: object) -> str:
    return str(name).encode("utf-8", "backslashreplace").decode()
