"""A tensor that is the right one times a number, and the reasons that the number may have."""

from collections.abc import Callable
from math import log

import numpy as np

from numpy_vgg7.parity.diagnosis.context import FEW, Context, Wrong
from numpy_vgg7.parity.layer.mistakes import Mistake
from numpy_vgg7.parity.layer.truth import definition

VISIBLE = 1e-5  # by how much a factor must differ from 1
SAME = 1e-9  # relative difference of two numbers that are the same
Reason = tuple[str, Callable[[Context], float]]


def _n(c: Context) -> float:
    return float(c.batch)


def _positions(c: Context) -> float:
    """Pixels of one feature map of the output."""
    return float(np.prod(c.d_out.shape[2:])) if c.d_out is not None else 1.0


def _classes(c: Context) -> float:
    return float(c.x.shape[1]) if c.x is not None else 1.0


SIGN: Reason = ("the sign is flipped", lambda c: -1.0)
OF_PARAMETERS: list[Reason] = [
    SIGN,
    ("the factor 1/N is applied twice: a mean over the batch instead of the sum", lambda c: 1 / _n(c)),
    ("it is multiplied by the batch size N", _n),
]
OF_CONV: list[Reason] = [
    *OF_PARAMETERS,
    ("a mean over batch and space instead of the sum", lambda c: 1 / _n(c) / _positions(c)),
    ("a mean over space instead of the sum", lambda c: 1 / _positions(c)),
]
OF_D_X: list[Reason] = [SIGN, ("it is divided by the batch size N", lambda c: 1 / _n(c))]
OF_WINDOW: list[Reason] = [
    SIGN,
    ("it is divided by 2, the side of a window, instead of 4", lambda c: 2.0),
    ("the factor 1/4 of the average pool is applied twice", lambda c: 0.25),
    ("it is divided by 9 instead of 4", lambda c: 4 / 9),
]

REASONS: dict[tuple[str, str], list[Reason]] = {
    ("Conv2d", "out"): [SIGN],
    ("Conv2d", "weight"): [*OF_CONV, ("it is divided by 9, the taps of a kernel", lambda c: 1 / 9)],
    ("Conv2d", "bias"): OF_CONV,
    ("Conv2d", "x"): [
        *OF_D_X,
        ("it is divided by 9, the taps of a kernel", lambda c: 1 / 9),
        ("it is multiplied by 9, the taps of a kernel", lambda c: 9.0),
        ("it is divided by the number of output channels", lambda c: 1 / len(c.params["weight"])),
    ],
    ("Linear", "weight"): OF_PARAMETERS,
    ("Linear", "bias"): OF_PARAMETERS,
    ("Linear", "x"): [
        *OF_D_X,
        ("it is divided by the number of outputs", lambda c: 1 / len(c.params["weight"])),
    ],
    ("AvgPool2d", "out"): [
        ("the factor 1/4 of the average pool is missing: the sum of each window", lambda c: 4.0),
        *OF_WINDOW,
    ],
    ("AvgPool2d", "x"): [
        ("the factor 1/4 of the average pool is missing", lambda c: 4.0),
        *OF_WINDOW,
        ("it is multiplied by the batch size N", _n),
        ("it is divided by the batch size N as well", lambda c: 1 / _n(c)),
        ("it is divided by the batch size N instead of 4", lambda c: 4 / _n(c)),
    ],
    ("arctan", "out"): [
        ("it is multiplied by 2/pi", lambda c: 2 / np.pi),
        ("in degrees instead of radians", lambda c: 180 / np.pi),
    ],
    ("loss", "loss"): [
        ("the factor 1/N is missing: a sum over the batch instead of the mean", _n),
        ("the factor 1/N is applied twice", lambda c: 1 / _n(c)),
        ("it is divided by the number of classes K as well", lambda c: 1 / _classes(c)),
        (
            "it is divided by the number of classes K instead of the batch size N",
            lambda c: _n(c) / _classes(c),
        ),
        ("the logarithm is to base 10", lambda c: 1 / log(10)),
        ("the logarithm is to base 2", lambda c: 1 / log(2)),
        ("the sign is missing: log p instead of -log p", lambda c: -1.0),
        ("it is halved", lambda c: 0.5),
        ("it is doubled", lambda c: 2.0),
    ],
    ("loss", "logits"): [
        ("reversed: y - p instead of p - y", lambda c: -1.0),
        ("reversed: y - p instead of p - y, and the factor 1/N is missing", lambda c: -_n(c)),
        ("the factor 1/N is missing: a sum over the batch instead of the mean", _n),
        ("the factor 1/N is applied twice", lambda c: 1 / _n(c)),
        ("it is divided by the number of classes K as well: by N*K", lambda c: 1 / _classes(c)),
        (
            "it is divided by the number of classes K instead of the batch size N",
            lambda c: _n(c) / _classes(c),
        ),
        ("a factor 2, as of the square error without the derivative of softmax", lambda c: 2.0),
    ],
}
ELSEWHERE: list[Reason] = [
    SIGN,
    ("it is divided by the batch size N", lambda c: 1 / _n(c)),
    ("it is multiplied by the batch size N", _n),
]


def scaled(number: float, context: Context) -> tuple[Mistake, ...]:
    """The formula of a result of a layer that is multiplied by this number."""
    if not context.like or context.result == "probs":
        return ()
    result = {"loss": "out", "logits": "x"}[context.result] if context.labels is not None else context.result
    return (Mistake(f"{number:.6g} times what it should be", lambda t: number * definition(t)[result]),)


def factor(found: Wrong) -> float | None:
    """The number that the right tensor was multiplied by, if it was, and visibly."""
    if found.suspect.shape != found.truth.shape or not found.truth.any():
        return None
    if found.truth.size < FEW:
        number = float(np.ravel(found.suspect)[0] / np.ravel(found.truth)[0]) if found.truth.flat[0] else 1.0
        number = number if found.is_(number * found.truth) else 1.0
    else:
        number = found.fitted(np.zeros_like(found.truth), found.truth) or 1.0
    return number if abs(number - 1) > VISIBLE else None


def reasons(number: float, context: Context) -> list[str]:
    """What may have multiplied a tensor by this number."""
    kind = "loss" if context.labels is not None else context.kind
    known = REASONS.get((kind, context.result), ELSEWHERE)
    return [text for text, value in known if same(number, value(context)) and not same(value(context), 1)]


def same(a: float, b: float) -> bool:
    """Whether two numbers differ by rounding only."""
    return abs(a - b) <= SAME * abs(b)
