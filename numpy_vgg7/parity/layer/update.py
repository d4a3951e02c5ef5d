"""`check_sgd_step`: is one hand-written step of SGD with momentum right? It answers in words."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.layer.report import Finding, LayerReport

RATES = ((0.1, 0.8), (0.3, 0.9), (0.2, 0.0))  # learning rate and momentum of each call
RELATIVE = 1e-10  # far above rounding in float64, far below any mistake

# Formulas of usual mistakes: the new velocity, and what is subtracted from the parameter.
Formula = Callable[[Array, Array, float, float], tuple[Array, Array]]
MISTAKES: dict[str, Formula] = {
    "the momentum is missing": lambda g, v, lr, mu: (g, lr * g),
    "the sign is wrong: the step is added": lambda g, v, lr, mu: (mu * v + g, -lr * (mu * v + g)),
    "the learning rate is missing": lambda g, v, lr, mu: (mu * v + g, mu * v + g),
    "the velocity is not multiplied by the momentum": lambda g, v, lr, mu: (v + g, lr * (v + g)),
    "the gradient is multiplied by the momentum": lambda g, v, lr, mu: (mu * (v + g), lr * mu * (v + g)),
    "the gradient is multiplied by 1 - momentum": lambda g, v, lr, mu: (
        mu * v + (1 - mu) * g,
        lr * (mu * v + (1 - mu) * g),
    ),
    "the learning rate is part of the velocity": lambda g, v, lr, mu: (mu * v + lr * g, mu * v + lr * g),
    "it is Nesterov's momentum": lambda g, v, lr, mu: (mu * v + g, lr * (g + mu * (mu * v + g))),
    "the step takes the old velocity": lambda g, v, lr, mu: (mu * v + g, lr * v),
    "the step takes the gradient instead of the velocity": lambda g, v, lr, mu: (mu * v + g, lr * g),
    "the old velocity is returned": lambda g, v, lr, mu: (v, lr * (mu * v + g)),
}


class Call:
    """One call of a step, on copies of random arrays. `failure` says what went wrong apart from numbers."""

    def __init__(self, step: Callable[..., Any], seed: int, lr: float, momentum: float) -> None:
        rng = np.random.default_rng(seed)
        self.parameter, self.gradient, self.velocity = (rng.standard_normal((3, 2)) for _ in range(3))
        self.lr, self.momentum = lr, momentum
        self.failure = ""
        self.cause: Exception | None = None
        self.results: tuple[Array, ...] = ()
        given = [array.copy() for array in (self.parameter, self.gradient, self.velocity)]
        try:
            parameter, velocity = step(*given, lr, momentum)
            self.results = (np.array(parameter, dtype=np.float64), np.array(velocity, dtype=np.float64))
        except Exception as error:  # of any kind: it is the user's code, and the report says what it raised
            self.failure, self.cause = f"raises {type(error).__name__}: {error}", error
            return
        shapes = [array.shape for array in self.results]
        if shapes != [(3, 2), (3, 2)]:
            self.failure = f"returns shapes {shapes[0]} and {shapes[1]} instead of (3, 2) twice"
        names = ("parameter", "gradient", "velocity")
        for name, array in zip(names, given, strict=True):
            if not np.array_equal(array, getattr(self, name)):
                self.failure = f"changes its argument {name} in place"

    def differing(self, formula: Formula) -> list[str]:
        """Which of the results are not those of the formula."""
        velocity, taken = formula(self.gradient, self.velocity, self.lr, self.momentum)
        expected = {"parameter": self.parameter - taken, "velocity": velocity}
        return [
            name
            for (name, right), found in zip(expected.items(), self.results, strict=True)
            if not np.allclose(found, right, rtol=0, atol=RELATIVE * np.abs(right).max())
        ]


def definition(gradient: Array, velocity: Array, lr: float, momentum: float) -> tuple[Array, Array]:
    """The formula of `optim.SGD`."""
    direction, new = SGD(lr, lr, momentum).direction(gradient, gradient, velocity)
    return new, lr * direction


def check_sgd_step(step: Callable[..., Any], seed: int = 0) -> LayerReport:
    """Check a hand-written step of SGD with momentum and say in words what is wrong with it.

    It is called as `step(parameter, gradient, velocity, lr, momentum)`, with three arrays of one shape, and
    returns the new parameter and the new velocity. Both are compared with `numpy_vgg7.optim.SGD`, in float64
    and from a random velocity, for several rates. The arguments must stay as they are.
    """
    calls = [Call(step, seed + number, *rates) for number, rates in enumerate(RATES)]
    failed = next((call for call in calls if call.failure), None)
    finding = Finding("step", (), failed.failure, True) if failed else _wrong_numbers(calls)
    cause = failed.cause if failed else None
    return LayerReport("SGD with momentum", "float64", len(calls), (finding,) if finding else (), (), cause)


def _wrong_numbers(calls: list[Call]) -> Finding | None:
    wrong = tuple(dict.fromkeys(name for call in calls for name in call.differing(definition)))
    if not wrong:
        return None
    named = [words for words, formula in MISTAKES.items() if not any(c.differing(formula) for c in calls)]
    return Finding("step", wrong, named[0] if named else "no usual mistake gives these numbers", bool(named))
