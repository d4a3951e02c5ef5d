"""A reference that needs no other framework: derivatives by a step into the complex plane.

For an analytic f, f(x + i h d) = f(x) + i h f'(x) d - ..., so Im f(x + i h d) / h is the derivative along
d without any difference of close numbers: with h = 1e-30 it is exact to rounding (Squire and Trapp
1998). The forward pass is that of the definition. ReLU decides on the real part and softmax subtracts the
real maximum, so that both stay analytic.
"""

from typing import NamedTuple

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import forward, layer_params
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.tolerances import (
    COMPLEX_STEP,
    COMPLEX_STEP_DIRECTIONS,
    COMPLEX_STEP_ENTRIES,
    COMPLEX_STEP_SIZE,
)


class Checked(NamedTuple):
    """A parameter's gradient against the complex step."""

    name: str
    max_relative_error: float

    @property
    def passed(self) -> bool:
        """Whether the error is within bounds; NaN is not."""
        return self.max_relative_error <= COMPLEX_STEP


def complex_step(case: Case, trace: Arrays, seed: int, entries: int = COMPLEX_STEP_ENTRIES) -> list[Checked]:
    """Check the gradient of each parameter in up to `entries` entries and 4 random directions.

    `trace` holds the gradients to be checked, those of `network.trace` or `VGG7.trace`. Errors are relative
    to the gradient's largest entry for entries, to its norm for directions of length 1.
    """
    rng = np.random.default_rng([seed, 3])
    model = case.model
    before = [trace["input"], *(trace[layer.name] for layer in model.layers)]
    checked = []
    for index, layer in enumerate(model.layers):
        for key in layer.shapes():
            name = f"{layer.name}.{key}"
            parameter, gradient = model.params[name], trace[f"{name}.grad"]
            errors = []
            for direction, scale in _directions(parameter, gradient, rng, entries):
                stepped = parameter + 1j * COMPLEX_STEP_SIZE * direction
                tape = forward(model.layers[index:], model.params | {name: stepped}, before[index])
                loss = F.cross_entropy(tape[-1].out, case.labels)
                slope = float(loss.imag) / COMPLEX_STEP_SIZE
                errors.append(abs(slope - float((gradient * direction).sum())) / scale)
            checked.append(Checked(name, float(np.max(errors))))
    return checked


def local_complex_step(case: Case, seed: int) -> list[str]:
    """Names of the layers whose backward pass is not the derivative of their own forward pass.

    For random upstream u and direction d, u . (Im f(x + ihd) / h) must be (backward of u) . d, for the
    input and every parameter of each layer alone.
    """
    rng = np.random.default_rng([seed, 6])
    wrong, x = [], case.images
    for layer in case.model.layers:
        params = layer_params(layer, case.model.params)
        out = layer.forward(params, x)
        upstream = rng.standard_normal(out.shape)
        d_x, gradients = layer.backward(params, x, out, upstream.copy())
        for key in ("x", *layer.shapes()):
            point, gradient = (x, d_x) if key == "x" else (params[key], gradients[key])
            direction = rng.standard_normal(point.shape)
            stepped = point + 1j * COMPLEX_STEP_SIZE * direction
            moved = (
                layer.forward(params, stepped) if key == "x" else layer.forward(params | {key: stepped}, x)
            )
            terms = upstream * moved.imag / COMPLEX_STEP_SIZE
            bound = COMPLEX_STEP * float(np.abs(terms).sum())
            wrong_shape = gradient.shape != direction.shape
            if wrong_shape or not abs(terms.sum() - (gradient * direction).sum()) <= bound:
                wrong.append(layer.name)
                break
        x = out
    return wrong


def _directions(
    parameter: Array, gradient: Array, rng: np.random.Generator, entries: int
) -> list[tuple[Array, float]]:
    """Unit entries and random directions, each with the size that its derivative is measured by."""
    tiny = np.finfo(np.float64).tiny
    found: list[tuple[Array, float]] = []
    largest = float(np.abs(gradient).max())
    for place in rng.permutation(parameter.size)[:entries]:
        unit = np.zeros_like(parameter)
        unit.flat[place] = 1
        found.append((unit, max(largest, tiny)))
    for _ in range(COMPLEX_STEP_DIRECTIONS):
        direction = rng.standard_normal(parameter.shape)
        direction /= np.linalg.norm(direction)
        found.append((direction, max(float(np.linalg.norm(gradient)), tiny)))
    return found
