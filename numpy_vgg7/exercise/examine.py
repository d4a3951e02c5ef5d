"""`python -m numpy_vgg7.exercise.examine ANSWER PATH` executes a learner's network and says what is wrong.

First each function alone, by `check_layer`. If all of them are right, the whole network, by its trace.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from numpy_vgg7 import network
from numpy_vgg7.child import load, raised, respond
from numpy_vgg7.errors import CodeError, LayerError
from numpy_vgg7.exercise.verdict import Hint
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.compare import judge
from numpy_vgg7.parity.layer.check import check_layer
from numpy_vgg7.parity.localise import localise

PLACE = "network"
RATES = SGD(lr_conv=0.01, lr_fc=0.07)
BATCHES = (3, 5)  # neither is the ratio of the rates
NETWORK: tuple[network.Layer, ...] = (
    network.Conv2d("conv1", 1, 3),
    network.Activation("act1", "relu"),
    network.AvgPool2d("pool1"),
    network.Flatten("flatten"),
    network.Linear("fc2", 3 * 4 * 4, 7),
    network.Activation("act2", "tanh"),
    network.Linear("fc3", 7, 6),
    network.Activation("logits", "arctan"),
)
SIDE, CLASSES = 8, 6


@dataclass(frozen=True)
class Alone:
    """What `check_layer` gives to a function and its backward pass: the shapes of x and the parameters."""

    like: str
    x: tuple[int, ...]
    params: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def arrays(self) -> tuple[Array, dict[str, Array]]:
        """Random arguments."""
        rng = np.random.default_rng(len(self.x))
        if self.like == "softmax_cross_entropy":
            return rng.standard_normal(self.x), {"labels": rng.integers(0, self.x[1], self.x[0])}
        params = {name: rng.standard_normal(shape) for name, shape in self.params.items()}
        return rng.standard_normal(self.x), params


LAYERS = (
    Alone("conv2d", (2, 3, 5, 4), {"weight": (4, 3, 3, 3), "bias": (4,)}),
    Alone("relu", (3, 4, 2)),
    Alone("avg_pool2d", (2, 3, 4, 6)),
    Alone("linear", (5, 6), {"weight": (4, 6), "bias": (4,)}),
    Alone("tanh", (3, 4)),
    Alone("arctan", (3, 4)),
    Alone("softmax_cross_entropy", (4, 5)),
)
WHOLE = ("forward", "backward", "sgd_step")


def examine(path: Path) -> dict[str, Any]:
    """What is wrong. CodeError if the code cannot be executed or lacks something."""
    code = Code(path, load(path))
    functions = [name for layer in LAYERS for name in (layer.like, f"{layer.like}_backward")]
    for name in (*functions, *WHOLE):
        code.function(name)
    found = [hint for layer in LAYERS for hint in alone(code, layer)]
    for batch in BATCHES:
        found = found or list(together(code, batch))
    return {"findings": [asdict(hint) for hint in found]}


@dataclass(frozen=True)
class Code:
    """A learner's code."""

    path: Path
    module: ModuleType

    def function(self, name: str) -> Callable[..., Any]:
        """One of its functions. CodeError if there is none."""
        found = getattr(self.module, name, None)
        if not callable(found):
            raise self.error(f"a function {name}", "none" if found is None else type(found).__name__)
        return found  # type: ignore[no-any-return]

    def error(self, expected: str, found: object) -> CodeError:
        """The error for a file that is not as an exercise must be."""
        return CodeError(str(self.path), expected, found, "restore it: names and results must stay")


def alone(code: Code, layer: Alone) -> Iterator[Hint]:
    """What is wrong in one function and its backward pass."""
    forward, backward = code.function(layer.like), code.function(f"{layer.like}_backward")
    x, params = layer.arrays()
    try:
        report = check_layer(forward, backward, x, params, layer.like)
    except LayerError as error:
        raise code.error(f"{layer.like}_backward with {error.expected}", error.found) from error
    if report.cause:
        raise raised(code.path, report.cause, layer.like) from report.cause
    for finding in report.findings:
        yield Hint(f"{layer.like} {finding.place}", f"{layer.like} {finding}")


def together(code: Code, batch: int) -> Iterator[Hint]:
    """What is wrong in the network, where each function is right: forward, backward and update."""
    rng = np.random.default_rng(batch)
    params = {
        name: rng.standard_normal(shape) / 2 for name, shape in network.parameter_shapes(NETWORK).items()
    }
    images, labels = rng.uniform(size=(batch, 1, SIDE, SIDE)), rng.integers(0, CLASSES, batch)
    right = expected_trace(params, images, labels)
    calls = Calls(code, right)
    values = calls("forward", "{}", params, images, labels)
    gradients = calls("backward", "{}.grad", params, values, labels)
    of_params = {name: gradients[name] for name in params}
    updated = calls("sgd_step", "{}.step1", params, of_params, RATES.lr_conv, RATES.lr_fc)
    trace = params | values | {f"{name}.grad": d for name, d in gradients.items()}
    trace |= {f"{name}.step1": parameter for name, parameter in updated.items()}
    if calls.impure:
        yield from calls.impure
        return
    lost = [name for name in right if not np.isfinite(trace[name]).all()]
    if lost:
        yield Hint(PLACE, f"{PLACE}: {lost[0]} is not finite")
        return
    culprits = localise(NETWORK, RATES, labels, trace, foreign=True)
    for culprit in culprits:
        yield Hint(f"{PLACE}, {culprit.place}", f"{PLACE}, {culprit.place}: {culprit.diagnosis}")
    wrong = [name for name in right if not judge(name, trace[name], right[name]).passed]
    if wrong and not culprits:
        yield Hint(PLACE, f"{PLACE}: {wrong[0]} is wrong")


def expected_trace(params: Arrays, images: Array, labels: Labels) -> Arrays:
    """The trace by the definition, with one step of SGD."""
    trace = network.trace(NETWORK, params, images, labels)
    updated = copy.deepcopy(params)
    gradients = {name: trace[f"{name}.grad"] for name in params}
    RATES.step(updated, gradients, RATES.init(params), network.parameter_groups(NETWORK))
    return trace | {f"{name}.step1": parameter for name, parameter in updated.items()}


class Calls:
    """Calls of the functions that return dictionaries of arrays, with the shapes that these must have."""

    def __init__(self, code: Code, right: Arrays) -> None:
        self.code, self.right = code, right
        self.impure: list[Hint] = []  # functions that changed their arguments

    def __call__(self, name: str, pattern: str, *arguments: Any) -> Arrays:
        """What a function returns under the names of the trace that fit the pattern, in float64."""
        function, given = self.code.function(name), copy.deepcopy(arguments)
        try:
            with np.errstate(all="ignore"):
                found = function(*given)
        except Exception as error:  # of any kind, since the code is the learner's
            raise raised(self.code.path, error, name) from error
        if not same(given, arguments):
            words = f"{PLACE}, {name}: changes its arguments in place"
            self.impure.append(Hint(f"{PLACE}, {name}", words))
        if not isinstance(found, Mapping):
            raise self.code.error(f"{name} to return a dictionary", type(found).__name__)
        return {key: self.array(name, found, key, pattern) for key in self.names(pattern)}

    def names(self, pattern: str) -> list[str]:
        """The keys of a dictionary whose entries are in the trace under names of that pattern."""
        suffix = pattern.removeprefix("{}")
        if suffix:
            return [name.removesuffix(suffix) for name in self.right if name.endswith(suffix)]
        params = network.parameter_shapes(NETWORK)
        others = (".grad", ".step1")
        return [name for name in self.right if name not in params and not name.endswith(others)]

    def array(self, name: str, found: Mapping[Any, Any], key: str, pattern: str) -> Array:
        """An entry of a dictionary. CodeError if it is missing or of another shape."""
        shape = self.right[pattern.format(key)].shape
        if key not in found:
            raise self.code.error(f'{name} to return "{key}"', f"only {', '.join(map(str, found))}")
        try:
            array = np.array(found[key], dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise self.code.error(f'{name} to return "{key}" as an array of numbers', error) from error
        if array.shape != shape:
            raise self.code.error(f'{name} to return "{key}" of shape {shape}', f"shape {array.shape}")
        return array


def same(one: Any, other: Any) -> bool:
    """Whether arrays, or dictionaries and tuples of them, are equal."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, tuple):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(np.array_equal(one, other, equal_nan=True))


if __name__ == "__main__":
    respond(examine)
