"""`check_sgd_step` passes right steps of SGD with momentum, and names what is wrong with others."""

import numpy as np
import pytest

from numpy_vgg7.parity import check_sgd_step
from numpy_vgg7.parity.layer.update import MISTAKES


def right(parameter, gradient, velocity, lr, momentum):
    velocity = momentum * velocity + gradient
    return parameter - lr * velocity, velocity


def test_a_right_step_passes():
    report = check_sgd_step(right)
    assert report.ok, report
    assert str(report) == "PASS (like SGD with momentum, float64, 3 calls)"


@pytest.mark.parametrize("words", MISTAKES)
def test_a_usual_mistake_is_named(words):
    def step(parameter, gradient, velocity, lr, momentum):
        velocity, taken = MISTAKES[words](gradient, velocity, lr, momentum)
        return parameter - taken, velocity

    (finding,) = check_sgd_step(step).findings
    assert finding.named
    assert finding.words == words, "two formulas of the table give the same numbers"


def in_place(parameter, gradient, velocity, lr, momentum):
    velocity *= momentum
    velocity += gradient
    return parameter - lr * velocity, velocity


def unfinished(parameter, gradient, velocity, lr, momentum):
    raise NotImplementedError("not written yet")


OTHERS = {
    "changes its argument velocity in place": in_place,
    "raises NotImplementedError: not written yet": unfinished,
    "raises TypeError: cannot unpack non-iterable NoneType object": lambda *arguments: None,
    "returns shapes (3,) and (3, 2) instead of (3, 2) twice": lambda w, g, v, lr, mu: (w[:, 0], v),
    "step, parameter: no usual mistake gives these numbers": lambda *a: (right(*a)[0] + 1e-6, right(*a)[1]),
    "step, parameter and velocity: no usual mistake": lambda w, g, v, lr, mu: (np.full((3, 2), np.nan), w),
}


@pytest.mark.parametrize("words", OTHERS)
def test_anything_else_is_described(words):
    report = check_sgd_step(OTHERS[words])
    assert words in str(report)
    with pytest.raises(AssertionError, match="SGD with momentum"):
        report.assert_ok()
