"""How `check_layer` calls a layer: conventions of arguments and results, and what a call changes."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from numpy_vgg7.errors import LayerError
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.parity.layer.trials import Trial

# What an argument of a backward pass is, by its name. The names of parameters come first.
NAMES = {
    "d_out": r"d|g|dout|d[a-z]|d_?(out|output|loss|logits|y|z|a|h)|grad\w*|upstream\w*|delta",
    "cache": r"cache\w*|ctx|saved|memo",
    "x": r"x|inp|input|inputs|logits|scores",
    "out": r"out|output",
    "labels": r"y|t|labels?|targets?|y_true|one_hot",
    "weight": r"w|weights?|kernels?|filters?",
    "bias": r"b|bias",
    "probs": r"p|probs?|probabilities|softmax\w*|y_hat|y_pred",
}


@dataclass
class Run:
    """What a layer gave in one trial. `gradients` are by "x" and the user's names of parameters."""

    trial: Trial
    out: Array | None = None
    gradients: Arrays = field(default_factory=dict)
    error: Exception | None = None
    failed: str = ""  # "forward" or "backward", where there is an error
    returned: dict[str, Any] = field(default_factory=dict)  # by "out" and the names of gradients, not copied
    impure: list[tuple[str, str, str]] = field(default_factory=list)  # place, result, words


class ResultError(Exception):
    """A forward or backward pass that returned something other than the expected arrays."""


class Layer:
    """A hand-written layer, called by the conventions that `check_layer` documents."""

    def __init__(
        self, forward: Callable[..., Any], backward: Callable[..., Any], dtype: np.dtype, names: list[str]
    ) -> None:
        self.forward, self.backward, self.dtype = forward, backward, dtype
        self.names = names  # of the parameters that have a gradient

    def out_of(self, x: Array, params: Arrays) -> Array:
        """The output alone, for any kind of numbers."""
        with np.errstate(all="ignore"):
            out: Array = _split(self.forward(x, *params.values()))[0]
        return out

    def run(self, trial: Trial) -> Run:
        """Forward and backward on copies of the arguments, watching what happens to the copies."""
        run = Run(trial)

        def fresh(array: Array) -> Array:
            kept = np.issubdtype(array.dtype, np.integer)
            return np.array(
                array, dtype=array.dtype if kept else self.dtype, order="F" if trial.fortran else "C"
            )

        place = "forward"
        with np.errstate(all="ignore"):
            try:
                given = {"x": fresh(trial.x), **{name: fresh(a) for name, a in trial.params.items()}}
                result, cache, cached = _call_forward(self.forward, given)
                out = np.array(result, dtype=np.float64)
                self._watch(run, place, {"out": result}, given, {"x": trial.x, **trial.params})
                place = "backward"
                d_out = trial.d_out
                if d_out.shape != out.shape and trial.like != "softmax_cross_entropy":
                    seeded = np.random.default_rng([len(out.shape), out.size])
                    d_out = seeded.standard_normal(out.shape) if out.ndim else np.ones(())
                    d_out = d_out.astype(self.dtype).astype(np.float64)
                run.trial = _continued(trial, d_out, out, cache)
                run.out = out
                run.returned["out"] = result
                values = {"x": trial.x, **trial.params} if not cached else {}
                passed = {"d_out": fresh(d_out), **{name: fresh(a) for name, a in values.items()}}
                known = {**passed, "x": passed.get("x", given["x"]), "out": result}
                known |= {name: passed.get(name, given[name]) for name in trial.params}
                arguments = self._arguments(trial, known, cache, cached)
                saved = [(array, array.copy()) for array in _arrays(cache)]
                answer = self.backward(*arguments)
                if any(not np.array_equal(array, copy, equal_nan=True) for array, copy in saved):
                    run.impure.append(
                        (place, "", "changes the cache in place, so that a second call is wrong")
                    )
                gradients = self._named(answer, {"x": trial.x, **trial.params}, trial.like is None)
                run.returned |= gradients
                self._watch(run, place, gradients, passed, {"d_out": d_out, **values})
                run.gradients = {name: np.array(g, dtype=np.float64) for name, g in gradients.items()}
            except LayerError:
                raise
            except (
                Exception
            ) as error:  # of any kind: it is the user's code, and the report says what it raised
                run.error, run.failed = error, place
        return run

    def _watch(self, run: Run, place: str, results: Mapping[str, Any], given: Arrays, right: Arrays) -> None:
        """Note arguments that changed, and results that are views of arguments or of each other."""
        changed = [name for name, array in given.items() if not np.array_equal(array, right[name])]
        run.impure += [(place, "", f"changes its argument {name} in place") for name in changed]
        shown = {("out" if name == "out" else f"d_{name}"): result for name, result in results.items()}
        others = dict(given)
        for name, result in shown.items():
            for other, array in others.items():
                both = isinstance(result, np.ndarray) and isinstance(array, np.ndarray)
                reshaped = run.trial.like is None and both and result.size == array.size
                if both and other not in changed and not reshaped and np.shares_memory(result, array):
                    run.impure.append((place, name, f"returns {name} as a view of the memory of {other}"))
            others[name] = result

    def _arguments(self, trial: Trial, known: dict[str, Any], cache: Any, cached: bool) -> list[Any]:
        """The arguments of the backward pass, by their names, or else in the documented order."""
        names = _required(self.backward)
        params = list(trial.params)
        loss = trial.like == "softmax_cross_entropy"
        probs = cached and _is_probs(cache, trial)
        if cached:
            known |= {"cache": cache} | ({"probs": cache} if probs else {})
        known |= {role: known[name] for role, name in trial.roles.items()}
        named = [_meaning(name, known) for name in names or []]
        if names and all(meaning is not None for meaning in named):
            return [known[meaning] for meaning in named if meaning is not None]
        orders = [["d_out", "cache"]] if cached else [["x", *params, "d_out"]]
        if named[:1] == ["d_out"] and not cached:
            orders = [["d_out", "x", *params]]
        if loss:
            orders = [["x", params[0], "d_out"], ["x", params[0]]] if not cached else orders
            orders = [["probs", params[0]], ["probs", params[0], "d_out"]] if probs else orders
        orders.append(["d_out"])  # an object that keeps what it needs
        for order in orders:
            if names is None or len(order) == len(names):
                return [known[name] for name in order]
        expected = " or ".join(f"({', '.join(order)})" for order in orders)
        fix = "wrap it in a function that takes these"
        raise LayerError("backward", f"arguments {expected}", f"({', '.join(names or [])})", fix)

    def _named(self, answer: Any, arguments: Arrays, lenient: bool) -> dict[str, Any]:
        """The gradients by name, from a tuple in the order of the arguments, a dict, or one array.

        If `lenient`, one array may be d_x where there are parameters, which may need no gradient.
        """
        single = lenient and not isinstance(answer, (Mapping, tuple, list))
        expected = ["x"] if single else ["x", *self.names]
        if isinstance(answer, Mapping):
            found = {name: _entry(answer, name) for name in expected}
        else:
            parts = _flat(answer) if isinstance(answer, (tuple, list)) else [answer]
            if any(isinstance(part, Mapping) for part in parts):
                merged = {"x": parts[0]} | {
                    k: v for p in parts if isinstance(p, Mapping) for k, v in p.items()
                }
                return self._named(merged, arguments, lenient)
            while len(parts) > len(expected) and parts[-1] is None:
                parts.pop()  # labels have no gradient
            if len(parts) != len(expected):
                shown = ", ".join(f"d_{name}" for name in expected)
                raise ResultError(f"returns {len(parts)} arrays instead of {len(expected)}: ({shown})")
            found = dict(zip(expected, parts, strict=True))
            _complain_of_order(found, arguments)
        for name, gradient in found.items():
            if gradient is None:
                raise ResultError(f"returns no d_{name}")
            _check_numbers(gradient, f"d_{name}")
        return found


def _call_forward(forward: Callable[..., Any], given: Arrays) -> tuple[Any, Any, bool]:
    result = forward(*given.values())
    out, cache, cached = _split(result)
    _check_numbers(out, "out")
    return out, cache, cached


def _split(result: Any) -> tuple[Any, Any, bool]:
    """`out`, the cache, and whether there is one."""
    if isinstance(result, (tuple, list)) and len(result) >= 2:
        return result[0], (result[1] if len(result) == 2 else tuple(result[1:])), True
    return result, None, False


def _arrays(cache: Any) -> list[Array]:
    """The arrays of numbers in a cache."""
    if isinstance(cache, np.ndarray):
        return [cache] if cache.dtype.kind in "fiub" else []
    parts = cache.values() if isinstance(cache, Mapping) else cache
    return (
        [array for part in parts for array in _arrays(part)]
        if isinstance(cache, (Mapping, tuple, list))
        else []
    )


def _check_numbers(array: Any, name: str) -> None:
    found = np.asarray(array)
    if found.dtype.kind not in "fiub":
        kind = type(array).__name__ if found.dtype.kind == "O" else f"dtype {found.dtype}"
        raise ResultError(f"returns {name} as {kind} instead of an array of real numbers")


def _continued(trial: Trial, d_out: Array, out: Array, cache: Any) -> Trial:
    """The trial as its backward pass sees it."""
    own = None
    if trial.like in ("tanh", "arctan", "relu"):
        own = out if out.shape == trial.x.shape else None
    elif trial.like == "softmax_cross_entropy" and _is_probs(cache, trial):
        own = np.array(cache, dtype=np.float64)
    return replace(trial, d_out=d_out, own=own)


def _is_probs(cache: Any, trial: Trial) -> bool:
    return isinstance(cache, np.ndarray) and cache.shape == trial.x.shape and cache.dtype.kind == "f"


def _required(function: Callable[..., Any]) -> list[str] | None:
    """The names of the arguments that must be given, or None if they cannot be known."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        return None
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p.name for p in parameters if p.kind in positional and p.default is p.empty]


def _meaning(name: str, known: Mapping[str, Any]) -> str | None:
    """Which of the known values an argument of that name is, if the name tells."""
    plain = name.strip("_")
    if plain in known:
        return plain
    matches = [key for key, pattern in NAMES.items() if re.fullmatch(pattern, plain.lower())]
    return next((key for key in matches if key in known), None)


def _entry(answer: Mapping[str, Any], name: str) -> Any:
    """The gradient of `name` in a dict: under its name, or "d_name", "dname", "grad_name", "name.grad" ..."""
    forms = (name, f"d_{name}", f"d{name}", f"grad_{name}", f"g_{name}", f"{name}.grad", f"{name}_grad")
    shared = [form for form in forms if form in answer]
    if not shared:
        raise ResultError(f"returns a dict with {', '.join(map(str, answer))}: d_{name} is missing")
    return answer[shared[0]]


def _flat(parts: Any) -> list[Any]:
    flat: list[Any] = []
    for part in parts:
        flat += _flat(part) if isinstance(part, (tuple, list)) else [part]
    return flat


def _complain_of_order(found: dict[str, Any], arguments: Arrays) -> None:
    """Say so if the shapes are those of the gradients in another order."""
    shapes = {name: np.shape(gradient) for name, gradient in found.items()}
    right = {name: arguments[name].shape for name in found}
    if shapes == right or sorted(shapes.values()) != sorted(right.values()):
        return
    owner = {shape: f"d_{name}" for name, shape in right.items()}
    distinct = len(owner) == len(right)
    seen = ", ".join(owner[shape] if distinct else str(shape) for shape in shapes.values())
    expected = ", ".join(f"d_{name}" if distinct else str(shape) for name, shape in right.items())
    raise ResultError(f"returns ({seen}) instead of ({expected})")
