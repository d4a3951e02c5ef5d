"""Mistakes of the optimizer, in terms of the step that a parameter should have made."""

from collections.abc import Iterator

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis.context import Context, Wrong
from numpy_vgg7.parity.diagnosis.factors import VISIBLE

# Steps are small differences of large numbers: they fit less sharply than the tensors themselves.
STEP_FITS = 1e-6
DIGITS = (
    1e-5  # relative difference from a number of one digit; PyTorch adds 1e-6 to the norm that it divides by
)
ADAM = (0.0, 1e-8, 1e-7, 1e-10, 1e-6)  # what is added to the size of the gradient
MOMENTA = (0.9, 0.95, 0.99)


def update_words(suspect: Array, truth: Array, context: Context) -> str:
    """How an updated parameter moved from `context.x`, or nothing if no known mistake fits."""
    start = context.x
    assert start is not None
    step, right = suspect - start, truth - start
    if not step.any():
        return "did not move"
    # A step is known to the rounding of the parameter.
    found = Wrong(step, right, 4e-16 * float(np.abs(start).max()))
    factor = _ratio(found, right)
    if factor is not None:
        reasons = list(_reasons(factor, found, context)) if abs(factor - 1) > VISIBLE else []
        if abs(factor - 1) > VISIBLE:
            return f"moved by {factor:.6g} times the right step" + (
                f": {' or, with the same numbers: '.join(reasons)}" if reasons else ""
            )
    words = list(dict.fromkeys(_rows(found, context)))
    return " or, with the same numbers: ".join(words[:3])


def _same(step: Array, expected: Array, found: Wrong) -> bool:
    gap = float(np.abs(step - expected).max())
    deviation = float(np.abs(found.suspect - found.truth).max())
    most = max(STEP_FITS * float(np.abs(expected).max()), 2 * found.slack)
    return gap <= most and gap <= 1e-2 * deviation


def _ratio(found: Wrong, expected: Array) -> float | None:
    """The number c for which the step is c * expected."""
    size = float((expected * expected).sum())
    if not size:
        return None
    factor = float((found.suspect * expected).sum()) / size
    return factor if factor and _same(found.suspect, factor * expected, found) else None


def _reasons(factor: float, found: Wrong, context: Context) -> Iterator[str]:
    own, *others = context.rates or (0.0,)
    n = context.batch
    known = [
        ("the gradient is added instead of subtracted", -1.0),
        ("the step is made twice", 2.0),
        ("the step is divided by the batch size N", 1 / n),
        ("the step is multiplied by the batch size N", float(n)),
        *((f"1 - {m:g}, as with a dampened momentum of {m:g}", 1 - m) for m in MOMENTA),
        *((f"1 + {m:g}, as with Nesterov's momentum of {m:g} in its first step", 1 + m) for m in MOMENTA),
    ]
    if own:
        known += [("the learning rate is missing", 1 / own), ("the learning rate is applied twice", own)]
        known += [(f"the learning rate is {rate:g}, that of the other layers", rate / own) for rate in others]
        known += [("the learning rate is missing and the gradient added", -1 / own)]
    for words, value in known:
        if value != 1 and abs(factor - value) <= STEP_FITS * abs(value):
            yield words
    if own and factor > 0:
        gradient = found.truth / own
        norm = factor * float(np.sqrt((gradient * gradient).sum()))
        yield from scaled_to(factor, norm, "the gradient is")
        total = factor * gradients_norm(context)
        yield from scaled_to(factor, total, "all gradients together are")


def scaled_to(factor: float, norm: float, subject: str) -> Iterator[str]:
    """Why a gradient may have been multiplied by `factor`, if that gave it a norm of one digit."""
    if not few_digits(norm):
        return
    if factor < 1:
        yield f"{subject} clipped to the norm {norm:.1g}"
    if abs(norm - 1) <= DIGITS:
        yield f"{subject} divided by the norm"


def few_digits(value: float) -> bool:
    """Whether a number is one of one digit, such as 0.01 or 5."""
    return value > 0 and abs(value - float(f"{value:.0e}")) <= DIGITS * value


def gradients_norm(context: Context) -> float:
    """The norm of the gradients of all parameters of the trace."""
    grads = [g for n, g in context.trace.items() if n.endswith((".weight.grad", ".bias.grad"))]
    return float(np.sqrt(sum(float((g * g).sum()) for g in grads)))


def _rows(found: Wrong, context: Context) -> Iterator[str]:
    start, g = context.x, context.d_out
    assert start is not None
    step, right = found.suspect, found.truth
    own = context.rates[0] if context.rates else 0.0
    shown = f", {{:.6g}} times the learning rate of {own:g}" if own else ""
    decay = _ratio(Wrong(step - right, right * 0, found.slack), start)
    if decay is not None and decay < 0:
        words = f"also lost {-decay:.6g} times itself: weight decay"
        yield words + (f" of {-decay / own:.6g}" if own else "")
    if decay is not None and decay > 0:
        yield f"also grew by {decay:.6g} times itself: weight decay with the wrong sign"
    if g is None:
        return
    for eps in ADAM:
        size = _ratio(found, -g / (np.abs(g) + eps)) if (np.abs(g) + eps).all() else None
        if size is not None and size > 0 and g.size > 1:
            text = f"moved by {size:.6g} against the sign of the gradient" + shown.format(size / (own or 1))
            yield f"{text}, as Adam does in its first step" + (f" (eps = {eps:g})" if eps else "")
            break
    if own:
        most = float(np.abs(step).max()) / own
        cut = np.clip(g, -most, most)
        if (np.abs(g) > most * (1 + 1e-9)).sum() > 0 and _same(step, -own * cut, found):
            yield f"moved by a gradient that is clipped: cut off at {most:.6g} in size"
        if g.ndim == 2 and g.shape[0] == g.shape[1] and _same(step, -own * g.T, found):
            yield "moved by the transposed gradient"
        for name, other in context.trace.items():
            if other.shape != g.shape:
                continue
            gradient = name.endswith(".grad") and not np.array_equal(other, g)
            if gradient and _same(step, -own * other, found):
                yield f"moved by {name} in place of its own gradient"
            parameter = name.endswith((".weight", ".bias")) and not np.array_equal(other, start)
            if parameter and _same(step + start, other - own * g, found):
                yield f"was computed from {name} in place of itself"
        if _same(step + start, -own * g, found):
            yield "is the step itself: it is not added to the parameter"
        if _same(step + start, own * g, found):
            yield "is the learning rate times the gradient: it is not subtracted from the parameter"
    if _same(step + start, g, found):
        yield "is the gradient"
