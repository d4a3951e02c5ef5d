"""Which layer is wrong? Run each layer alone on the tensors of a trace, and compare with the trace.

Each layer gets the input and the upstream gradient that are in the trace, so errors do not accumulate. With
the trace of a reference this tests the definition. With the trace of a foreign implementation it tests that
one: the definition says what follows from its own tensors. `kernel_alone.py` does the same with the engine's
kernels.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.network import Layer, Layers, layer_params, parameter_groups, parameter_shapes
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.compare import judge
from numpy_vgg7.parity.diagnose import Context, diagnose
from numpy_vgg7.parity.tolerances import LOCAL64


@dataclass(frozen=True)
class Culprit:
    """A place that is wrong, the tensor that shows it, and in words how."""

    place: str  # "conv3 forward", "pool2 backward", "loss forward", "optimiser", ...
    tensor: str
    diagnosis: str


class Local(NamedTuple):
    """One result of one layer that was run alone."""

    place: str
    tensor: str
    computed: Array
    context: Context


def localise(layers: Layers, sgd: SGD, labels: Labels, trace: Arrays, foreign: bool = False) -> list[Culprit]:
    """All places where definition and trace disagree, in the order of computation.

    `trace` is complete, float64. Where `foreign` is true the trace is the suspect, else the definition.
    """
    return disagreements(run_alone(layers, sgd, labels, trace), trace, foreign)


def disagreements(results: Iterable[Local], trace: Arrays, foreign: bool = False) -> list[Culprit]:
    """The results that are not those in the trace, see `localise`."""
    culprits = []
    for place, tensor, computed, context in results:
        suspect, truth = (trace[tensor], computed) if foreign else (computed, trace[tensor])
        if not _agree(tensor, suspect, truth):
            culprits.append(Culprit(place, tensor, f"{tensor} {diagnose(suspect, truth, context)}"))
    return culprits


def first_of(culprits: list[Culprit]) -> Culprit | None:
    """The first culprit, with the diagnoses of wrong gradients elsewhere added to its own."""
    if not culprits:
        return None
    words = [culprits[0].diagnosis, *(c.diagnosis for c in culprits if c.tensor.endswith(".grad"))]
    return replace(culprits[0], diagnosis="; ".join(dict.fromkeys(words)))


def run_alone(layers: Layers, sgd: SGD, labels: Labels, trace: Arrays) -> Iterator[Local]:
    """Every layer's results from the inputs in the trace: forward, loss, backward, optimiser."""
    steps = list(zip(pairwise(["input", *(layer.name for layer in layers)]), layers, strict=True))
    for (before, name), layer in steps:
        out = layer.forward(params_in(trace, layer), trace[before].copy())
        yield Local(f"{name} forward", name, out, Context(layer, len(labels), x=trace[before]))
    context = Context(None, len(labels))
    yield Local("loss forward", "probs", F.softmax(trace["logits"].copy()), context)
    yield Local("loss forward", "loss", F.cross_entropy(trace["logits"].copy(), labels), context)
    probs = trace["probs"].copy()
    yield Local("loss backward", "logits.grad", F.cross_entropy_backward(probs, labels), context)
    yield Local("loss backward", "probs", probs, context)  # is it still what it was?
    for (before, name), layer in reversed(steps):
        params, d_out = params_in(trace, layer), trace[f"{name}.grad"].copy()
        d_x, gradients = layer.backward(params, trace[before].copy(), trace[name].copy(), d_out)
        context = Context(layer, len(labels), trace[before], trace[f"{name}.grad"], params)
        yield Local(f"{name} backward", f"{name}.grad", d_out, context)  # is it still what it was?
        for key in layer.shapes():
            found = gradients.get(key, np.zeros(0))
            yield Local(f"{name} backward", f"{name}.{key}.grad", found, context)
        yield Local(f"{name} backward", f"{before}.grad", d_x, context)
    params = {name: trace[name].copy() for name in parameter_shapes(layers)}
    gradients = {name: trace[f"{name}.grad"] for name in params}
    sgd.step(params, gradients, sgd.init(params), parameter_groups(layers))
    for name, parameter in params.items():
        yield Local("optimiser", f"{name}.step1", parameter, Context(None, len(labels), x=trace[name]))


def params_in(trace: Arrays, layer: Layer) -> Arrays:
    """Copies of a layer's parameters by key."""
    return {key: parameter.copy() for key, parameter in layer_params(layer, trace).items()}


def _agree(tensor: str, suspect: Array, truth: Array) -> bool:
    if truth.shape == suspect.shape and not truth.any() and not suspect.any():
        return True
    return judge(tensor, suspect, truth, LOCAL64).passed
