"""How is a tensor wrong? Try the known mistakes, and say in words which of them give its numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis import factors, traces
from numpy_vgg7.parity.diagnosis.context import FEW, Context, Wrong, wrong
from numpy_vgg7.parity.diagnosis.known import EITHER, either, explanations
from numpy_vgg7.parity.diagnosis.loss import decayed
from numpy_vgg7.parity.diagnosis.orders import arrangements, reordered
from numpy_vgg7.parity.diagnosis.unknown import description
from numpy_vgg7.parity.diagnosis.update import few_digits, gradients_norm, update_words
from numpy_vgg7.parity.layer.mistakes import Mistake

__all__ = ["Context", "Diagnosis", "diagnose", "examine"]


class Diagnosis(NamedTuple):
    """The words about a tensor, whether a known mistake explains it, and the mistakes with a formula."""

    words: str
    known: bool
    mistakes: tuple[Mistake, ...] = ()


def diagnose(suspect: Array, truth: Array, context: Context) -> str:
    """What `suspect` is, in terms of the `truth` that it should be; continues "conv4.weight.grad ..."."""
    return examine(suspect, truth, context).words


def examine(suspect: Array, truth: Array, context: Context, likely: Sequence[Mistake] = ()) -> Diagnosis:
    """The same, with what is known of the mistake. Mistakes that were found elsewhere are tried first."""
    context = context.of(truth)
    found = wrong(suspect, truth)
    if suspect.dtype != truth.dtype:
        return Diagnosis(f"has dtype {suspect.dtype} instead of {truth.dtype}", True)
    if suspect.shape != truth.shape:
        return _of_shape(found, context)
    finite = np.isfinite(suspect)
    if not finite.all():
        return _not_finite(found, context)
    if not suspect.any():
        return Diagnosis("is zero everywhere", True)
    if np.abs(suspect - truth).max() <= 1e-3 * np.abs(truth).max():
        for dtype in ("float16", "float32"):
            if np.array_equal(suspect.astype(dtype).astype(suspect.dtype), suspect):
                return Diagnosis(f"went through {dtype}", True)
    if context.layer is None and context.labels is None and context.x is not None:
        words = update_words(suspect, truth, context)
        return Diagnosis(words, True) if words else Diagnosis(description(suspect, truth, context), False)
    return _of_numbers(found, context, likely)


def _of_numbers(found: Wrong, context: Context, likely: Sequence[Mistake]) -> Diagnosis:
    """Shape and dtype are right, the numbers are not."""
    suspect, truth = found.suspect, found.truth
    number = factors.factor(found)
    rows = explanations(found, context, number is not None, likely)
    if number is not None:
        words = [
            *factors.reasons(number, context),
            *(row.words for row in rows),
            *_norm(number, truth, context),
        ]
        words = list(dict.fromkeys(words))
        if words or truth.size >= FEW:
            because = f": {EITHER.join(words[:3])}" if words else ""
            return Diagnosis(f"is exactly {number:.6g} times what it should be{because}", True, tuple(rows))
    for text, expected in arrangements(truth):
        if found.is_(expected):
            return Diagnosis(text, True, tuple(rows))
    if rows:
        return Diagnosis(f"is wrong: {either(rows)}", True, tuple(rows))
    text = reordered(found, context) or traces.clipped(found)
    if not text and context.result == "loss":
        text = decayed(found, context)
        text = text and f"is wrong: {text}"
    return Diagnosis(text, True) if text else Diagnosis(description(suspect, truth, context), False)


def _norm(number: float, truth: Array, context: Context) -> list[str]:
    """A gradient that was scaled to a norm of one digit."""
    if context.result not in ("weight", "bias") or not 0 < number < 1:
        return []
    norms = {
        "its norm is": float(np.sqrt((truth * truth).sum())) * number,
        "the norm of the gradients of all parameters is": gradients_norm(context),
    }
    return [f"{text} {norm:.1g}: clipped by norm" for text, norm in norms.items() if few_digits(norm)]


def _of_shape(found: Wrong, context: Context) -> Diagnosis:
    rows = explanations(found, context)
    words = f"has shape {found.suspect.shape} instead of {found.truth.shape}"
    return Diagnosis(words + (f": {either(rows)}" if rows else ""), True, tuple(rows))


def _not_finite(found: Wrong, context: Context) -> Diagnosis:
    suspect = found.suspect
    rows = explanations(found, context)
    words = f"is not finite in {int((~np.isfinite(suspect)).sum())} of {suspect.size} elements"
    return Diagnosis(words + (f": {either(rows)}" if rows else ""), True, tuple(rows))
