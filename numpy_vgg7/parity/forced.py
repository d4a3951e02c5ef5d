"""Each layer alone on a candidate's own tensors, with how much its results may differ.

What the candidate has is used as it is, so an error does not spread: a tensor is right if it follows from
those that it was computed from. Where an input is missing, what follows by the definition stands in.

In float32 every tensor carries an uncertainty. That of a stored number is half a unit in its last place, that
of a result is what its inputs' uncertainties can make of it plus the rounding bound of the layer (see
`bounds.py`; for tanh, arctan, softmax and the loss, whose accuracy no standard promises, a few units in the
last place).
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import Activation, Conv2d, Layer, parameter_groups
from numpy_vgg7.parity.bounds import TINY, UNIT, Operands, definition, rounding_bounds, sum_bounds
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.diagnose import Context
from numpy_vgg7.parity.tolerances import LANE64

LIBRARY = 8 * UNIT  # relative error of tanh, arctan, exp and log, and of the few operations around them


class Result(NamedTuple):
    """What one tensor should be, given what it was computed from."""

    place: str
    tensor: str
    inputs: tuple[str, ...]
    computed: Array
    allowed: Array  # how much each element may differ
    context: Context


class Forced:
    """The walk over a trace. `known` may be changed between two results: later ones use what is there."""

    def __init__(self, case: Case, known: Arrays, float32: bool) -> None:
        self.case, self.known, self.float32 = case, known, float32
        self.values: Arrays = {}
        self.errors: Arrays = {}
        self.allowed: Arrays = {}
        for name, array in {"input": case.images, **case.model.params}.items():
            self._store(name, array.astype("float32").astype("float64") if float32 else array)

    def results(self) -> Iterator[Result]:
        """Every tensor but those that the case gives, in the order of computation."""
        layers, batch = self.case.model.layers, len(self.case.labels)
        names = ["input", *(layer.name for layer in layers)]
        steps = list(zip(pairwise(names), layers, strict=True))
        for (before, name), layer in steps:
            computed, allowed = self._forward(layer, before)
            params = {key: self.values[f"{name}.{key}"] for key in layer.shapes()}
            context = Context(layer, batch, x=self.values[before], params=params)
            inputs = (before, *(f"{name}.{key}" for key in layer.shapes()))
            yield from self._settle(f"{name} forward", name, inputs, computed, allowed, context)
        yield from self._loss()
        for (before, name), layer in reversed(steps):
            yield from self._backward(layer, before, name)
        yield from self._first_step()

    def _settle(
        self,
        place: str,
        tensor: str,
        inputs: tuple[str, ...],
        computed: Array,
        allowed: Array,
        context: Context,
    ) -> Iterator[Result]:
        self.allowed[tensor] = allowed
        yield Result(place, tensor, inputs, computed, allowed, context)
        if tensor in self.known:
            self._store(tensor, self.known[tensor])
        else:
            self.values[tensor], self.errors[tensor] = computed, allowed * self.float32

    def _store(self, tensor: str, array: Array) -> None:
        self.values[tensor] = array
        self.errors[tensor] = np.abs(array) * UNIT * self.float32

    def _forward(self, layer: Layer, before: str) -> tuple[Array, Array]:
        x, error = self.values[before], self.errors[before]
        params = {key: self.values[f"{layer.name}.{key}"] for key in layer.shapes()}
        out = layer.forward(params, x)
        if not self.float32:
            return out, _exact(out)
        if isinstance(layer, Activation):
            exact = layer.function in ("relu", "identity")
            return out, error if exact else error + LIBRARY * np.abs(out) + TINY
        allowed = self._spread(layer, before, np.zeros_like(out), np.zeros_like(out))[""]
        return out, allowed + self._bounds(layer, params, x, np.zeros_like(out))[""]

    def _loss(self) -> Iterator[Result]:
        labels = self.case.labels
        logits, error = self.values["logits"], self.errors["logits"]
        context = Context(None, len(labels), x=logits, labels=labels)
        probs, loss = F.softmax(logits), F.cross_entropy(logits, labels)
        place, inputs = "loss forward", ("logits",)
        most = error.max(axis=1, keepdims=True)
        gaps = logits.max(axis=1, keepdims=True) - logits
        # exp multiplies the absolute error of its argument; then a sum of K terms is divided by.
        relative = np.expm1(np.minimum(2 * most + (gaps + logits.shape[1]) * UNIT + LIBRARY, 1))
        sharp = relative * probs + 2.0**-126  # the smallest normal float32
        log_sum = np.abs(logits).max() + np.abs(loss)
        slack = float(most.max() + log_sum * 2 * UNIT + (logits.shape[1] + len(labels)) * UNIT + LIBRARY)
        if not self.float32:
            sharp, slack = _exact(probs), float(_exact(loss))
        yield from self._settle(place, "probs", inputs, probs, sharp, replace(context, result="probs"))
        bound = np.asarray(slack)
        yield from self._settle(place, "loss", inputs, loss, bound, replace(context, result="loss"))
        context = replace(context, result="logits", own=self.values["probs"])
        d_logits = F.cross_entropy_backward(self.values["probs"], labels)
        allowed = (sharp + self.errors["probs"]) / len(labels) + 4 * UNIT * np.abs(d_logits)
        allowed = allowed if self.float32 else _exact(d_logits)
        yield from self._settle("loss backward", "logits.grad", ("probs", "loss"), d_logits, allowed, context)

    def _backward(self, layer: Layer, before: str, name: str) -> Iterator[Result]:
        x, out, d_out = self.values[before], self.values[name], self.values[f"{name}.grad"]
        params = {key: self.values[f"{name}.{key}"] for key in layer.shapes()}
        d_x, gradients = layer.backward(params, x, out, d_out)
        found = {f"{name}.{key}.grad": gradients[key] for key in layer.shapes()} | {f"{before}.grad": d_x}
        if not self.float32:
            allowed = {key: _exact(array) for key, array in found.items()}
        elif isinstance(layer, Activation):
            allowed = {f"{before}.grad": self._activation(layer, before, name)}
        else:
            spread = self._spread(layer, before, out, d_out)
            bounds = self._bounds(layer, params, x, d_out)
            suffixes = {f"{name}.{key}.grad": f".{key}.grad" for key in params} | {f"{before}.grad": "d_x"}
            allowed = {tensor: spread[suffix] + bounds[suffix] for tensor, suffix in suffixes.items()}
        inputs = (f"{name}.grad", before, name)
        context = Context(layer, len(self.case.labels), x, d_out, params)
        for tensor, computed in found.items():
            yield from self._settle(f"{name} backward", tensor, inputs, computed, allowed[tensor], context)

    def _activation(self, layer: Activation, before: str, name: str) -> Array:
        x, error = self.values[before], self.errors[before]
        d_out, d_error = np.abs(self.values[f"{name}.grad"]), self.errors[f"{name}.grad"]
        if layer.function == "identity":
            return d_error
        if layer.function == "relu":  # within its uncertainty, an input may be on either side of 0
            return np.where(np.abs(x) < error, d_out + d_error, d_error * (x > 0))
        slope_error = 2 * self.errors[name] + error * (layer.function == "arctan")
        allowed: Array = d_error + d_out * (slope_error + LIBRARY) + TINY
        return allowed

    def _spread(self, layer: Layer, before: str, out: Array, d_out: Array) -> Arrays:
        """What the uncertainties of its inputs make of the results of a layer that is linear in each."""
        keys = layer.shapes()
        zero = np.zeros_like(d_out)
        d_error = self.errors.get(f"{layer.name}.grad", zero) if d_out.any() else zero
        x, error = np.abs(self.values[before]), self.errors[before]
        params = {key: np.abs(self.values[f"{layer.name}.{key}"]) for key in keys}
        wider = {key: params[key] + self.errors[f"{layer.name}.{key}"] for key in keys}
        most = definition(layer, Operands(wider, x + error, np.abs(d_out) + d_error))
        least = definition(layer, Operands(params, x, np.abs(d_out)))
        return {key: most[key] - least[key] for key in most}

    def _bounds(self, layer: Layer, params: Arrays, x: Array, d_out: Array) -> Arrays:
        """The rounding bounds of a layer, by whichever algorithm a convolution is computed."""
        given = Operands(params, x, d_out)
        bounds = rounding_bounds(layer, given)
        assert bounds is not None, f"{layer.name} has no rounding bound"
        if isinstance(layer, Conv2d):
            plain = sum_bounds(layer, given)
            return {key: np.maximum(bounds[key], plain[key]) for key in plain}
        return bounds

    def _first_step(self) -> Iterator[Result]:
        case = self.case
        if 1 not in case.steps:
            return
        names = list(case.model.params)
        params = {name: self.values[name].copy() for name in names}
        gradients = {name: self.values[f"{name}.grad"] for name in names}
        groups = parameter_groups(case.model.layers)
        sgd, rates = case.sgd, case.sgd.learning_rates(parameter_groups(case.model.layers))
        sgd.step(params, gradients, sgd.init(params), groups)
        growth = 1 + sgd.momentum * sgd.nesterov
        for name in names:
            moved = np.abs(params[name] - self.values[name])
            # The update may have summed its gradient in another order than the gradient that was written.
            gradient_error = self.errors[f"{name}.grad"] + 2 * self.allowed[f"{name}.grad"]
            error = gradient_error + sgd.weight_decay * self.errors[name]
            allowed = self.errors[name] + rates[name] * growth * error
            allowed = allowed + UNIT * (np.abs(params[name]) + 4 * moved)
            allowed = allowed if self.float32 else _exact(params[name])
            context = Context(None, len(case.labels), x=self.values[name])
            inputs = (f"{name}.grad", name)
            yield from self._settle("optimiser", f"{name}.step1", inputs, params[name], allowed, context)


def _exact(computed: Array) -> Array:
    """The tolerance of float64."""
    return np.full(np.shape(computed), LANE64 * float(np.abs(computed).max()))
