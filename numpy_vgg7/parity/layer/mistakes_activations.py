"""Usual mistakes in activations; rows of the dictionary in `mistakes.py`."""

import math
from collections.abc import Callable
from functools import partial

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.layer.trials import Trial

Formula = Callable[[Trial], Array]
Slope = Callable[[Trial], Array]


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _normal(x: Array) -> Array:
    """The distribution function of the standard normal distribution."""
    return 0.5 * (1 + _erf(x / math.sqrt(2)))


_GELU = math.sqrt(2 / math.pi)


def _gelu_tanh(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(_GELU * (x + 0.044715 * x**3)))


def _gelu_tanh_slope(x: Array) -> Array:
    inner = np.tanh(_GELU * (x + 0.044715 * x**3))
    return 0.5 * (1 + inner) + 0.5 * x * (1 - inner**2) * _GELU * (1 + 3 * 0.044715 * x**2)


def _gelu_slope(x: Array) -> Array:
    return _normal(x) + x * np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)


def _tanh_by_exponentials(x: Array) -> Array:
    return (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))


# Other functions than the right one. A backward pass for one of them has its slope.
FUNCTIONS: list[tuple[str, Callable[[Array], Array], Callable[[Array], Array]]] = [
    ("ReLU6: cut off at 6", lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6)),
    ("GELU", lambda x: x * _normal(x), _gelu_slope),
    ("GELU in its tanh approximation", _gelu_tanh, _gelu_tanh_slope),
    ("hardtanh: cut off at -1 and 1", lambda x: np.clip(x, -1, 1), lambda x: np.abs(x) < 1),
    ("cut off at 0 and 1", lambda x: np.clip(x, 0, 1), lambda x: (x > 0) & (x < 1)),
    ("softplus", lambda x: np.logaddexp(0, x), _sigmoid),
    (
        "ELU",
        lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
        lambda x: np.where(x > 0, 1, np.exp(np.minimum(x, 0))),
    ),
    (
        "SiLU (swish)",
        lambda x: x * _sigmoid(x),
        lambda x: _sigmoid(x) * (1 + x * (1 - _sigmoid(x))),
    ),
    ("a sigmoid", _sigmoid, lambda x: _sigmoid(x) * (1 - _sigmoid(x))),
    ("tanh", np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    ("arctan", np.arctan, lambda x: 1 / (1 + x * x)),
    ("softsign, x / (1 + |x|)", lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2),
    ("the identity", lambda x: x, np.ones_like),
    ("ReLU", lambda x: np.maximum(x, 0), lambda x: x > 0),
    ("the absolute value", np.abs, np.sign),
    ("the step function, 1 where x > 0", lambda x: (x > 0) * 1.0, np.zeros_like),
    ("the square of ReLU", lambda x: np.maximum(x, 0) ** 2, lambda x: 2 * np.maximum(x, 0)),
    ("min(x, 0): the other sign is kept", lambda x: np.minimum(x, 0), lambda x: x < 0),
    ("tanh(x/2)", lambda x: np.tanh(x / 2), lambda x: (1 - np.tanh(x / 2) ** 2) / 2),
    (
        "1.7159 tanh(2x/3)",
        lambda x: 1.7159 * np.tanh(2 * x / 3),
        lambda x: 1.7159 * 2 / 3 * (1 - np.tanh(2 * x / 3) ** 2),
    ),
    ("the tangent", np.tan, lambda x: 1 + np.tan(x) ** 2),
    ("the hyperbolic sine", np.sinh, np.cosh),
    ("the sine", np.sin, np.cos),
    ("the inverse sine", np.arcsin, lambda x: 1 / np.sqrt(1 - x * x)),
    ("the inverse hyperbolic tangent", np.arctanh, lambda x: 1 / (1 - x * x)),
    (
        "the inverse hyperbolic sine, with the slope 1 / sqrt(1 + x^2)",
        np.arcsinh,
        lambda x: 1 / np.sqrt(1 + x * x),
    ),
]
OWN = {"relu": ("ReLU",), "tanh": ("tanh",), "arctan": ("arctan",)}

# Slopes that are not those of another function, by activation.
SLOPES: dict[str, list[tuple[str, Slope]]] = {
    "relu": [
        ("the slope at x = 0 is 1; it should be 0", lambda t: t.x >= 0),
        ("the slope at x = 0 is 1/2; it should be 0", lambda t: (t.x > 0) + 0.5 * (t.x == 0)),
        (
            "zero where the upstream gradient is negative, too (guided backpropagation)",
            lambda t: (t.x > 0) & (t.d_out > 0),
        ),
        ("gated by the sign of d_out instead of x", lambda t: t.d_out > 0),
        ("passed where x <= 0 instead of where x > 0", lambda t: t.x <= 0),
        ("multiplied by the output instead of the slope", lambda t: np.maximum(t.x, 0)),
        ("multiplied by x instead of the slope", lambda t: t.x),
        ("passed where x > 1 instead of x > 0", lambda t: t.x > 1),
    ],
    "tanh": [
        ("the slope is 1 - x^2: x in place of tanh(x)", lambda t: 1 - t.x**2),
        ("the slope is 1 - tanh(tanh(x))^2: tanh is applied twice", lambda t: 1 - np.tanh(_own(t)) ** 2),
        ("the slope is 1 - tanh(x): the square is missing", lambda t: 1 - _own(t)),
        ("the slope is 1 + tanh(x)^2: the sign is wrong", lambda t: 1 + _own(t) ** 2),
        (
            "the slope is out * (1 - out), as for a sigmoid of this output",
            lambda t: _own(t) * (1 - _own(t)),
        ),
        ("the slope is tanh(x)^2: 1 minus it is missing", lambda t: _own(t) ** 2),
        ("the slope is (1 - tanh(x))^2", lambda t: (1 - _own(t)) ** 2),
        ("the slope is 1 - d_out^2: d_out in place of tanh(x)", lambda t: 1 - t.d_out**2),
        ("the slope is 1 - tanh(d_out)^2: d_out in place of x", lambda t: 1 - np.tanh(t.d_out) ** 2),
        ("the slope is the square of what it should be", lambda t: (1 - _own(t) ** 2) ** 2),
        ("multiplied by the output instead of the slope", lambda t: _own(t)),
        ("divided by the slope instead of multiplied", lambda t: 1 / (1 - _own(t) ** 2)),
    ],
    "arctan": [
        ("the slope is 1 / (1 + out^2): the output in place of x", lambda t: 1 / (1 + _own(t) ** 2)),
        ("the slope is 1 / (1 + x): the square is missing", lambda t: 1 / (1 + t.x)),
        ("the slope is 1 / (1 + |x|): the square is missing", lambda t: 1 / (1 + np.abs(t.x))),
        ("the slope is 1 / x^2: 1 is missing", lambda t: 1 / t.x**2),
        ("the slope is 1 - out^2, as for tanh", lambda t: 1 - _own(t) ** 2),
        ("multiplied by 1 + x^2 instead of divided", lambda t: 1 + t.x**2),
        ("the slope is 1 / (1 + d_out^2): d_out in place of x", lambda t: 1 / (1 + t.d_out**2)),
        ("the slope is the square of what it should be", lambda t: 1 / (1 + t.x**2) ** 2),
        ("the slope is 1 / (1 + tan(x)^2)", lambda t: 1 / (1 + np.tan(t.x) ** 2)),
        ("the slope is x / (1 + x^2)", lambda t: t.x / (1 + t.x**2)),
        ("multiplied by the output instead of the slope", lambda t: _own(t)),
    ],
}


def _own(trial: Trial) -> Array:
    """The output of the activation, the layer's own where there is one."""
    right = np.tanh if trial.like == "tanh" else np.arctan
    return right(trial.x) if trial.own is None else trial.own


def _activation(like: str) -> dict[tuple[str, str], list[tuple[str, Formula]]]:
    others = [row for row in FUNCTIONS if row[0] not in OWN[like]]
    values: list[tuple[str, Formula]] = [
        (f"it is {words}" if ":" in words else f"it is {words}, not {_name(like)}", partial(_value, f=f))
        for words, f, _ in others
    ]
    slopes: list[tuple[str, Formula]] = []
    for words, slope in SLOPES[like]:
        slopes.append((words, partial(_times, slope=slope)))
        slopes.append((f"{words}; and d_out has no effect", partial(_alone, slope=slope)))
    for words, _, slope_of in others:
        text = "the slope is missing: it is d_out itself" if words == "the identity" else ""
        text = text or f"the slope is that of another function, {words}"
        slopes.append((text, partial(_times, slope=partial(_value, f=slope_of))))
    if like == "tanh":
        values.append(
            (
                "not a number for large |x|: e^x overflows in (e^x - e^-x) / (e^x + e^-x); use np.tanh",
                lambda t: _tanh_by_exponentials(t.x),
            )
        )
    slopes.append(("the output instead of a gradient", lambda t: F.relu(t.x) if like == "relu" else _own(t)))
    return {(like, "out"): values, (like, "x"): slopes}


def _value(trial: Trial, f: Callable[[Array], Array]) -> Array:
    return f(trial.x)


def _times(trial: Trial, slope: Slope) -> Array:
    return trial.d_out * slope(trial)


def _alone(trial: Trial, slope: Slope) -> Array:
    return slope(trial) * np.ones(trial.x.shape)


def _name(like: str) -> str:
    return "ReLU" if like == "relu" else like


TABLES: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    **_activation("relu"),
    **_activation("tanh"),
    **_activation("arctan"),
}

FITTED: dict[tuple[str, str], list[tuple[str, Formula, Formula]]] = {
    ("relu", "out"): [
        (
            "it is a leaky ReLU: the slope is {c} where x < 0",
            lambda t: F.relu(t.x),
            lambda t: np.minimum(t.x, 0),
        )
    ],
    ("relu", "x"): [
        (
            "as for a leaky ReLU: the slope is {c} where x < 0",
            lambda t: t.d_out * (t.x > 0),
            lambda t: t.d_out * (t.x < 0),
        ),
        (
            "as for a leaky ReLU: the slope is {c} where x <= 0",
            lambda t: t.d_out * (t.x > 0),
            lambda t: t.d_out * (t.x <= 0),
        ),
    ],
}
