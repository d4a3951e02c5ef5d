"""What a layer should compute: the definition, or the derivative of the layer's own forward pass.

Both come with a tolerance that follows from rounding: SLACK * u * sqrt(n) * (the largest sum of |terms|), n
being the number of terms of a sum and u the unit roundoff of the candidate's dtype.
"""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.parity.layer.trials import ELEMENTWISE, Trial

# Correct layers in fifteen styles use up to 20 % of the tolerance in float32, 4 % in float64, over 200 seeds.
# The smallest mistake of the examples, log(p + 1e-12), is far outside of it in float64.
SLACK = {"float64": 64.0, "float32": 16.0}
STEP = 1e-30  # into the complex plane


def definition(trial: Trial) -> Arrays:
    """The output and the gradients of a layer like `trial.like`: "out", "x" and "weight", "bias".

    Where `trial.own` is given, gradients follow from that output of the layer's own forward pass.
    """
    x, d_out = trial.x, trial.d_out
    if trial.like == "conv2d":
        out = F.conv2d(x, trial.w, trial.b, trial.groups)
        d_x, d_weight, d_bias = F.conv2d_backward(x, trial.w, d_out, trial.groups)
        return {"out": out, "x": d_x, "weight": d_weight, "bias": d_bias}
    if trial.like == "linear":
        d_x, d_weight, d_bias = F.linear_backward(x, trial.w, d_out)
        return {"out": F.linear(x, trial.w, trial.b), "x": d_x, "weight": d_weight, "bias": d_bias}
    if trial.like == "avg_pool2d":
        return {"out": F.avg_pool2d(x), "x": F.avg_pool2d_backward(d_out)}
    if trial.like == "softmax_cross_entropy":
        probs = F.softmax(x) if trial.own is None else trial.own
        return {
            "out": F.cross_entropy(x, trial.labels),
            "x": F.cross_entropy_backward(probs, trial.labels),
        }
    function = ACTIVATIONS[trial.like or ""]
    out = function.forward(x)
    return {"out": out, "x": function.backward(x, out if trial.own is None else trial.own, d_out)}


def tolerances(trial: Trial, dtype: np.dtype) -> dict[str, float]:
    """By how much a correct layer of that dtype may differ from `definition`, per tensor."""
    x, d_out = trial.x, trial.d_out
    if trial.like in ELEMENTWISE:
        terms = {"out": 1 + np.abs(definition(trial)["out"]), "x": np.abs(d_out)}
        products = x.size
    elif trial.like == "softmax_cross_entropy":
        # exp(z - log sum exp z) has the relative error of its exponent, which is of the size of z.
        size = 1 + np.abs(x).max()
        terms = {"out": size + np.zeros(()), "x": (F.softmax(x) * size + trial.one_hot) / trial.n}
        products = x.size
    else:
        params = {name: np.abs(array) for name, array in trial.params.items()}
        terms = definition(replace(trial, x=np.abs(x), params=params, d_out=np.abs(d_out)))
        products = x.size if trial.like == "avg_pool2d" else d_out.size * trial.w[0].size
    unit = np.finfo(dtype).eps / 2
    return {
        name: SLACK[dtype.name] * unit * float(np.sqrt(max(1.0, products / array.size)) * array.max())
        for name, array in terms.items()
    }


class OwnDerivative(NamedTuple):
    """Whether a gradient is the derivative of a layer's own forward pass, and how that was found."""

    method: str
    agrees: bool


Function = Callable[[Array], Array]  # the output as a function of one argument


def own_derivative(
    forward: Function, at: Array, d_out: Array, gradient: Array, dtype: np.dtype, smooth: Array
) -> OwnDerivative:
    """Is `gradient` the derivative of `forward` at `at`, given the upstream gradient `d_out`?

    Four random directions decide, along the elements that are `smooth`, since there is none at a kink. If
    `forward` cannot take complex numbers, or is not analytic, central differences replace the complex step.
    """
    rng = np.random.default_rng(12)
    exact = _is_analytic(forward, at, rng)
    method = "complex step" if exact else "central differences"
    slope = _complex_slope if exact else _central_slope
    finite = gradient.shape == at.shape and bool(np.isfinite(gradient).all())
    agrees = finite
    for _ in range(4 if finite else 0):
        direction = rng.standard_normal(at.shape) * smooth
        moved = d_out * slope(forward, at, direction)
        terms = float(np.abs(moved).sum() + np.abs(gradient * direction).sum())
        unit = np.finfo(dtype).eps / 2
        bound = 4 * SLACK[dtype.name] * unit * terms
        if not exact:
            bound += 300 * _precision(forward, at) ** (2 / 3) * terms
        agrees = agrees and bool(abs(moved.sum() - (gradient * direction).sum()) <= bound)
    return OwnDerivative(method, agrees)


def own_gradient(forward: Function, at: Array, d_out: Array) -> Array:
    """The derivative of sum(d_out * forward(at)), element by element: as many calls as `at` has elements."""
    exact = _is_analytic(forward, at, np.random.default_rng(13))
    slope = _complex_slope if exact else _central_slope
    found = np.empty(at.shape)
    for place in np.ndindex(at.shape):
        unit = np.zeros(at.shape)
        unit[place] = 1
        found[place] = (d_out * slope(forward, at, unit)).sum()
    return found


def _complex_slope(forward: Function, at: Array, direction: Array) -> Array:
    return np.asarray(forward(at + 1j * STEP * direction)).imag / STEP


def _central_slope(forward: Function, at: Array, direction: Array) -> Array:
    h = _precision(forward, at) ** (1 / 3) * (float(np.abs(at).max(initial=0)) or 1.0)
    ahead, behind = (np.asarray(forward(at + step * direction)) for step in (h, -h))
    return np.asarray((ahead - behind) / (2 * h))


def _precision(forward: Function, at: Array) -> float:
    """The spacing of numbers in what `forward` returns."""
    out = np.asarray(forward(at))
    return float(np.finfo(out.dtype if out.dtype.kind == "f" else np.float64).eps)


def _is_analytic(forward: Function, at: Array, rng: np.random.Generator) -> bool:
    """Whether the complex step can be used: it must agree with differences, as it does not for |x|."""
    direction = rng.standard_normal(at.shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error", np.exceptions.ComplexWarning)
        try:
            exact = _complex_slope(forward, at, direction)
        except Exception:  # of any kind: the code is the user's, and cannot take complex numbers
            return False
    rough = _central_slope(forward, at, direction)
    scale = float(np.abs(rough).max(initial=0))
    precision = _precision(forward, at) ** (1 / 3)
    return exact.shape == rough.shape and bool((np.abs(exact - rough) <= 10 * precision * scale).all())
