"""How is a tensor wrong? Try the known mistakes, and say in words which of them give its numbers."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis import factors, loss, traces
from numpy_vgg7.parity.diagnosis.context import FEW, Context, Wrong, wrong
from numpy_vgg7.parity.diagnosis.known import EITHER, MOST_NAMED, either, explanations
from numpy_vgg7.parity.diagnosis.orders import arrangements, reordered
from numpy_vgg7.parity.diagnosis.unknown import description
from numpy_vgg7.parity.diagnosis.update import gradients_norm, scaled_to, update_words
from numpy_vgg7.parity.layer.mistakes import Mistake

__all__ = ["Context", "Diagnosis", "diagnose", "examine"]


class Diagnosis(NamedTuple):
    """The words about a tensor, and the mistakes that explain it as far as they have a formula.

    `scaled` is the formula of a tensor that is the right one times a number.
    """

    words: str
    mistakes: tuple[Mistake, ...] = ()
    scaled: tuple[Mistake, ...] = ()


def diagnose(suspect: Array, truth: Array, context: Context) -> str:
    """What `suspect` is, in terms of the `truth` that it should be; continues "conv4.weight.grad ..."."""
    return examine(suspect, truth, context).words


def examine(suspect: Array, truth: Array, context: Context, likely: Sequence[Mistake] = ()) -> Diagnosis:
    """The same, with what is known of the mistake. Mistakes that were found elsewhere are tried first."""
    context = context.of(truth)
    found = wrong(suspect, truth)
    if suspect.dtype != truth.dtype:
        return Diagnosis(f"has dtype {suspect.dtype} instead of {truth.dtype}")
    if suspect.shape != truth.shape:
        return _of_shape(found, context)
    if not np.isfinite(suspect).all():
        return _not_finite(found, context)
    if not suspect.any():
        return Diagnosis("is zero everywhere")
    if np.abs(suspect - truth).max() <= 1e-3 * np.abs(truth).max():
        for dtype in ("float16", "float32"):
            if np.array_equal(suspect.astype(dtype).astype(suspect.dtype), suspect):
                return Diagnosis(f"went through {dtype}")
    if context.layer is None and context.labels is None and context.x is not None:
        return Diagnosis(update_words(suspect, truth, context) or description(suspect, truth, context))
    return _of_numbers(found, context, likely)


def _of_numbers(found: Wrong, context: Context, likely: Sequence[Mistake]) -> Diagnosis:
    """Shape and dtype are right, the numbers are not."""
    suspect, truth = found.suspect, found.truth
    number = factors.factor(found)
    rows = explanations(found, context, number is not None, likely)
    if number is not None:
        because = [*factors.reasons(number, context), *_norm(number, truth, context)]
        if because or truth.size >= FEW:
            causes = list(dict.fromkeys([*because, *(row.words for row in rows)]))[:MOST_NAMED]
            words = f"is exactly {number:.6g} times what it should be" + (": " if causes else "")
            return Diagnosis(words + EITHER.join(causes), tuple(rows), factors.scaled(number, context))
    for text, expected in arrangements(truth):
        if found.is_(expected):
            named = [] if context.like else rows  # the dictionary of single layers has arrangements, too
            return Diagnosis(text + (f": {either(named)}" if named else ""), tuple(rows))
    if rows:
        return Diagnosis(f"is wrong: {either(rows)}", tuple(rows))
    text = reordered(found, context) or traces.clipped(found) or loss.words(found, context)
    return Diagnosis(text or description(suspect, truth, context))


def _norm(number: float, truth: Array, context: Context) -> list[str]:
    """A gradient that was scaled to a norm of one digit."""
    if context.result not in ("weight", "bias") or number <= 0:
        return []
    norms = {
        "it is": float(np.sqrt((truth * truth).sum())) * number,
        "all gradients together are": gradients_norm(context),
    }
    return [words for text, norm in norms.items() for words in scaled_to(number, norm, text)]


def _of_shape(found: Wrong, context: Context) -> Diagnosis:
    rows = explanations(found, context)
    words = f"has shape {found.suspect.shape} instead of {found.truth.shape}"
    return Diagnosis(words + (f": {either(rows)}" if rows else ""), tuple(rows))


def _not_finite(found: Wrong, context: Context) -> Diagnosis:
    finite = np.isfinite(found.suspect)
    words = f"is not finite in {int((~finite).sum())} of {finite.size} elements"
    # Where nothing is finite there are no numbers that could tell one mistake from another.
    rows = explanations(found, context) if finite.any() else []
    return Diagnosis(words + (f": {either(rows)}" if rows else ""), tuple(rows))
