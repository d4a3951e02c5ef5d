"""Which layer is wrong? Run each layer alone on the tensors of a trace, and look at what comes out.

Errors don't build up: a layer is given the very input and upstream gradient that stand in the trace.
With the referee's trace this tests the product. With the trace of a foreign implementation it tests
that one, since the product's layers, once proved, say what must follow from its own tensors.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array, Arrays, Labels, cross_entropy, cross_entropy_backward, softmax
from numpy_vgg7.network import Layer
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
    """One output of one layer that was run alone."""

    place: str
    tensor: str
    computed: Array
    context: Context


def localise(
    layers: list[Layer], sgd: SGD, labels: Labels, trace: Arrays, foreign: bool = False
) -> list[Culprit]:
    """All places where layer and trace disagree, in the order of computation.

    `trace` is complete, float64. Where `foreign` is true the trace is the suspect, else the product.
    """
    culprits = []
    for place, tensor, computed, context in run_alone(layers, sgd, labels, trace):
        suspect, truth = (trace[tensor], computed) if foreign else (computed, trace[tensor])
        if not _agree(tensor, suspect, truth):
            culprits.append(Culprit(place, tensor, f"{tensor} {diagnose(suspect, truth, context)}"))
    return culprits


def run_alone(layers: list[Layer], sgd: SGD, labels: Labels, trace: Arrays) -> Iterator[Local]:
    """Every layer's outputs from the inputs in the trace: forward, loss, backward, optimiser."""
    names = ["input", *(layer.name for layer in layers)]
    caches = {}
    for (before, name), layer in zip(pairwise(names), layers, strict=True):
        out, caches[name] = layer.forward(_params(layer, trace), trace[before].copy())
        yield Local(f"{name} forward", name, out, Context(layer, len(labels), x=trace[before]))
    context = Context(None, len(labels))
    yield Local("loss forward", "probs", softmax(trace["logits"].copy()), context)
    yield Local("loss forward", "loss", cross_entropy(trace["logits"].copy(), labels), context)
    probs = trace["probs"].copy()
    yield Local("loss backward", "logits.grad", cross_entropy_backward(probs, labels, len(labels)), context)
    yield Local("loss backward", "probs", probs, context)  # is it still what it was?
    for (before, name), layer in reversed(list(zip(pairwise(names), layers, strict=True))):
        params, d_out = _params(layer, trace), trace[f"{name}.grad"].copy()
        d_x, gradients = layer.backward(params, caches[name], d_out)
        context = Context(layer, len(labels), trace[before], trace[f"{name}.grad"], params, caches[name])
        yield Local(f"{name} backward", f"{name}.grad", d_out, context)  # is it still what it was?
        for key in layer.shapes():
            found = gradients.get(key, np.zeros(0))
            yield Local(f"{name} backward", f"{name}.{key}.grad", found, context)
        yield Local(f"{name} backward", f"{before}.grad", d_x, context)
    params = {name: trace[name].copy() for name in _parameter_names(layers)}
    gradients = {name: trace[f"{name}.grad"] for name in params}
    sgd.step(params, gradients, sgd.init(params))
    for name, parameter in params.items():
        yield Local("optimiser", f"{name}.step1", parameter, Context(None, len(labels), x=trace[name]))


def _agree(tensor: str, suspect: Array, truth: Array) -> bool:
    if truth.shape == suspect.shape and not truth.any() and not suspect.any():
        return True
    return judge(tensor, suspect, truth, LOCAL64).passed


def _params(layer: Layer, trace: Arrays) -> Arrays:
    return {key: trace[f"{layer.name}.{key}"].copy() for key in layer.shapes()}


def _parameter_names(layers: list[Layer]) -> list[str]:
    return [f"{layer.name}.{key}" for layer in layers for key in layer.shapes()]
