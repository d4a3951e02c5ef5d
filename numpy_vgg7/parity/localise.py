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
    if foreign:
        from numpy_vgg7.parity.foreign import localise_foreign

        return localise_foreign(layers, sgd, labels, trace)
    return disagreements(run_alone(layers, sgd, labels, trace), trace)


def disagreements(results: Iterable[Local], trace: Arrays) -> list[Culprit]:
    """The results that are not those in the trace."""
    return [
        Culprit(place, tensor, f"{tensor} {diagnose(computed, trace[tensor], context)}")
        for place, tensor, computed, context in results
        if not agree(tensor, computed, trace[tensor])
    ]


def first_of(culprits: list[Culprit]) -> Culprit | None:
    """The first culprit, with the diagnoses of wrong gradients elsewhere added to its own."""
    if not culprits:
        return None
    words = [culprits[0].diagnosis, *(c.diagnosis for c in culprits if c.tensor.endswith(".grad"))]
    return replace(culprits[0], diagnosis="; ".join(dict.fromkeys(words)))


def run_alone(layers: Layers, sgd: SGD, labels: Labels, trace: Arrays) -> Iterator[Local]:
    """Every layer's results from the inputs in the trace: forward, loss, backward, optimiser."""
    steps = list(zip(pairwise(["input", *(layer.name for layer in layers)]), layers, strict=True))
    batch = len(labels)
    for (before, name), layer in steps:
        params = params_in(trace, layer)
        out = layer.forward(params, trace[before].copy())
        context = Context(
            layer, batch, trace[before], None, params, "out", name=name, trace=trace, first=before == "input"
        )
        yield Local(f"{name} forward", name, out, context)
    yield from _loss_alone(labels, trace)
    for (before, name), layer in reversed(steps):
        params, d_out = params_in(trace, layer), trace[f"{name}.grad"].copy()
        d_x, gradients = layer.backward(params, trace[before].copy(), trace[name].copy(), d_out)
        context = Context(
            layer, batch, trace[before], trace[f"{name}.grad"], params, own=trace[name], trace=trace
        )
        yield Local(f"{name} backward", f"{name}.grad", d_out, context)  # is it still what it was?
        for key in layer.shapes():
            found = gradients.get(key, np.zeros(0))
            tensor = f"{name}.{key}.grad"
            yield Local(f"{name} backward", tensor, found, replace(context, result=key, name=tensor))
        tensor = f"{before}.grad"
        yield Local(f"{name} backward", tensor, d_x, replace(context, result="x", name=tensor))
    yield from _first_step(layers, sgd, batch, trace)


def _loss_alone(labels: Labels, trace: Arrays) -> Iterator[Local]:
    """Softmax, the loss and its gradient from the logits and probabilities in the trace."""
    logits, probs = trace["logits"].copy(), trace["probs"].copy()
    context = Context(None, len(labels), trace["logits"], labels=labels, trace=trace)
    place = "loss forward"
    yield Local(place, "probs", F.softmax(logits), replace(context, result="probs", name="probs"))
    yield Local(place, "loss", F.cross_entropy(logits, labels), replace(context, result="loss", name="loss"))
    context = replace(context, own=trace["probs"], result="logits", name="logits.grad")
    yield Local("loss backward", "logits.grad", F.cross_entropy_backward(probs, labels), context)
    yield Local("loss backward", "probs", probs, replace(context, result=""))  # is it still what it was?


def _first_step(layers: Layers, sgd: SGD, batch: int, trace: Arrays) -> Iterator[Local]:
    """Every parameter after one step with the gradients in the trace."""
    params = {name: trace[name].copy() for name in parameter_shapes(layers)}
    gradients = {name: trace[f"{name}.grad"] for name in params}
    groups = parameter_groups(layers)
    sgd.step(params, gradients, sgd.init(params), groups)
    rates = sgd.learning_rates(groups)
    for name, parameter in params.items():
        others = sorted(set(rates.values()) - {rates[name]})
        tensor = f"{name}.step1"
        context = Context(
            None, batch, trace[name], gradients[name], result="step", name=tensor, trace=trace,
            rates=(rates[name], *others),
        )  # fmt: skip
        yield Local("optimiser", tensor, parameter, context)


def params_in(trace: Arrays, layer: Layer) -> Arrays:
    """Copies of a layer's parameters by key."""
    return {key: parameter.copy() for key, parameter in layer_params(layer, trace).items()}


def agree(tensor: str, suspect: Array, truth: Array) -> bool:
    """Whether a result of a layer alone is right."""
    if truth.shape == suspect.shape and not truth.any() and not suspect.any():
        return True
    return judge(tensor, suspect, truth, LOCAL64).passed
