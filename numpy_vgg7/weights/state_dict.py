"""The state dict in what a file contains: tensors by name, wherever they are in a checkpoint."""

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.reading import WEIGHTS, most_bytes
from numpy_vgg7.weights.pickles import PickledArray, Unknown
from numpy_vgg7.weights.pytorch import FIX, SAVED, read_pt
from numpy_vgg7.weights.tensors import StoredTensor, Tensors, widen

# What implementations call the parameters of a layer, in lower case.
KEYS = dict.fromkeys(("weight", "kernel", "w"), "weight") | dict.fromkeys(("bias", "b"), "bias")
# "conv1.weight", "conv1/kernel:0", "conv1_w"; "W1"
_NAMES = (
    re.compile(rf"(?P<layer>.+)[._/](?P<key>{'|'.join(KEYS)})(:0)?", re.IGNORECASE),
    re.compile(rf"(?P<key>{'|'.join(KEYS)})_?(?P<layer>\d+)", re.IGNORECASE),
)
NUMBERED = re.compile(r"arr_\d+")  # the names that numpy.savez gives
DEPTH = 4  # of dictionaries in dictionaries


def layer_and_key(name: str) -> tuple[str, str] | None:
    """The layer in the name of a parameter, and "weight" or "bias"; None for other names."""
    for pattern in _NAMES:
        if match := pattern.fullmatch(name):
            return match["layer"].replace("/", "."), KEYS[match["key"].lower()]
    return None


def unwrap(tree: Any, source: str, file_size: int) -> tuple[Tensors, list[str]]:
    """The tensors of the only state dict in `tree`; also return a line for each step.

    Tensors may have any names where there are no others. Raises WeightsError where there is no state dict, or
    more than one, and where one claims more bytes than the file can contain.
    """
    if not isinstance(tree, dict):
        raise WeightsError(source, SAVED, _kind(tree), FIX)
    found = _state_dicts(tree)
    if not found and any(_is_tensor(value) for value in tree.values()):
        found = {"": _flat(tree)}
    if not found:
        expected = "a state_dict: tensors with names such as conv1.weight"
        raise WeightsError(source, expected, _entries(tree), "save the state dict of the network")
    if len(found) > 1:
        fix = "save the one that you want by itself: torch.save(checkpoint[KEY], FILE)"
        raise WeightsError(source, "one state_dict", f"{len(found)}: {_list(found)}", fix)
    ((place, state),) = found.items()
    steps = [f"took the state dict {place!r} of the checkpoint"] if place else []
    tensors = _read_all(state, source, file_size)
    others = [name for name in state if name not in tensors]
    for name in others:
        if isinstance(state[name], (Unknown, list)) and layer_and_key(name):
            fix = "convert it to a dense float32 tensor before saving"
            raise WeightsError(f"{source}: {name}", "a tensor of floats", _word(state[name]), fix)
    if others:
        steps.append(f"ignored entries that are not tensors: {_list(others)}")
    counters = [name for name, t in tensors.items() if t.ndim == 0 and t.dtype.kind in "iu"]
    if counters:
        steps.append(f"ignored counters: {_list(counters)}")
    return {name: tensor for name, tensor in tensors.items() if name not in counters}, steps


def read_pt_tensors(path: Path) -> Tensors:
    """The tensors of a dictionary in a PyTorch file, whatever their names. Raises WeightsError."""
    tree, _ = read_pt(path)
    if not isinstance(tree, dict) or not all(_is_tensor(value) for value in tree.values()):
        found = _entries(tree) if isinstance(tree, dict) else _kind(tree)
        raise WeightsError(str(path), "a dictionary of tensors", found, "save that with torch.save")
    return widen(_read_all(tree, str(path), path.stat().st_size))[0]


def _state_dicts(tree: dict[Any, Any]) -> dict[str, dict[str, Any]]:
    """The state dicts by their place in the tree; one that is there twice, as the same object, is one."""
    found: dict[str, dict[str, Any]] = {}
    seen, level = {id(tree)}, [("", tree)]
    for _ in range(DEPTH + 1):
        below: list[tuple[str, dict[Any, Any]]] = []
        for place, node in level:
            flat = _flat(node)
            if any(_is_tensor(value) and _is_weight(name) for name, value in flat.items()):
                found[place] = flat
                continue
            for key, value in node.items():
                if isinstance(value, dict) and id(value) not in seen:
                    seen.add(id(value))
                    below.append((f"{place}.{key}" if place else str(key), value))
        level = below
    return found


def _flat(tree: dict[Any, Any]) -> dict[str, Any]:
    """Names and values, where a value may be a layer: {"conv1": {"weight": ..., "bias": ...}}."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        layer = isinstance(value, dict) and value and all(_is_parameter(*item) for item in value.items())
        flat |= {f"{name}.{key}": tensor for key, tensor in value.items()} if layer else {str(name): value}
    return flat


def _is_parameter(key: Any, value: Any) -> bool:
    return isinstance(key, str) and key.lower() in KEYS and _is_tensor(value)


def _is_weight(name: str) -> bool:
    return (layer_and_key(name) or ("", ""))[1] == "weight" or bool(NUMBERED.fullmatch(name))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, (np.ndarray, StoredTensor, PickledArray))


def _read_all(state: dict[str, Any], source: str, file_size: int) -> Tensors:
    """The tensors in a dictionary. Those that share a storage may claim more than there is."""
    found = {name: value for name, value in state.items() if _is_tensor(value)}
    claimed = sum(value.nbytes for value in found.values())
    if claimed > most_bytes(file_size, WEIGHTS):
        claim = f"tensors that claim {claimed:,} bytes in a file of {file_size:,}"
        raise WeightsError(source, "a complete file", claim, "export it again")
    return {name: _read(value) for name, value in found.items()}


def _read(value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, StoredTensor):
        return value.read()
    return value.array if isinstance(value, PickledArray) and value.array is not None else np.asarray(value)


def _kind(value: Any) -> str:
    return f"a pickled {value.name}, which is never executed" if isinstance(value, Unknown) else _word(value)


def _list(names: Iterable[str]) -> str:
    first = [repr(name) for name in islice(names, 9)]
    return ", ".join(first[:8] + ["..."] * (len(first) > 8))


def _entries(tree: dict[Any, Any]) -> str:
    names = [f"{key!r}: {_word(value)}" for key, value in list(tree.items())[:6]]
    return "a dictionary of " + (", ".join(names) or "nothing")


def _word(value: Any) -> str:
    if isinstance(value, Unknown):
        return value.name
    return (
        f"a tensor with {value.ndim} dimensions" if isinstance(value, StoredTensor) else type(value).__name__
    )
