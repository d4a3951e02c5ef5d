"""Which known mistakes give exactly the numbers of a wrong tensor?"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any
from unittest import mock

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis import loss, traces
from numpy_vgg7.parity.diagnosis.context import Context, Wrong, with_number
from numpy_vgg7.parity.layer.mistakes import TABLES, Mistake, mistakes

EITHER = " or, with the same numbers: "
MOST_NAMED = 3
# `parity prove` puts bugs into these functions. Mistakes are computed without them.
_RIGHT: dict[str, Any] = {name: f for name, f in vars(F).items() if isinstance(f, FunctionType)}


@contextmanager
def right_functions() -> Iterator[None]:
    """The definition as it was when this module was imported, inside a block."""
    with mock.patch.multiple(F, **_RIGHT):
        yield


def explanations(
    found: Wrong, context: Context, proportional: bool = False, likely: Sequence[Mistake] = ()
) -> list[Mistake]:
    """All mistakes that give the tensor. A mistake with a free number counts only if no other fits.

    `proportional` says that the tensor is the right one times a number, so that a fitted number says nothing.
    If any of the `likely` mistakes fits, no other is tried.
    """
    with right_functions(), np.errstate(all="ignore"):
        again = [row for row in likely if _gives(row, found, context)]
        if again:
            return again
        plain, free = [], []
        for row in _rows(context, proportional):
            if row.direction is not None:
                free.append(row)
            elif _gives(row, found, context):
                plain.append(row)
        if not plain and context.result == "probs":
            plain = list(loss.tempered(found, context))
        if plain or proportional:
            return _distinct(plain)
        for row in free:
            fitted = _with_fitted(row, found, context)
            if fitted:
                return [fitted]
    return []


def either(rows: list[Mistake]) -> str:
    """The words of mistakes that give the same numbers."""
    return EITHER.join(row.words for row in rows[:MOST_NAMED])


def _rows(context: Context, proportional: bool) -> Iterator[Mistake]:
    missing = context.layer is not None and context.layer.shapes().keys() - context.params.keys()
    if context.x is None or missing:
        return
    if context.result == "probs":
        yield from loss.softmax_rows()
        return
    if context.labels is not None:
        key = ("softmax_cross_entropy", {"loss": "out", "logits": "x"}[context.result])
        if context.result == "loss":  # one number, to which nothing is fitted
            for words, formula in TABLES[key]:
                yield Mistake(words, formula)
            yield from loss.loss_rows()
        else:
            yield from mistakes(*key)
        return
    if context.like:
        key = (context.like, context.result)
        if proportional:
            for words, formula in TABLES.get(key, []):
                yield Mistake(words, formula)
        else:
            yield from mistakes(*key)
    yield from traces.rows(context)


def _gives(row: Mistake, found: Wrong, context: Context) -> bool:
    expected = _computed(row, context)
    return expected is not None and found.is_(expected)


def _computed(row: Mistake, context: Context) -> Array | None:
    """What a mistake gives, or None where the shapes do not allow it."""
    try:
        return np.asarray(row.formula(context.trial), dtype=np.float64)
    except (ValueError, IndexError):  # of NumPy: a transposed weight that is not square, for example
        return None


def _with_fitted(row: Mistake, found: Wrong, context: Context) -> Mistake | None:
    assert row.direction is not None
    base = _computed(row, context)
    direction = _computed(Mistake(row.words, row.direction), context)
    if base is None or direction is None or row.words.startswith("{c} times what"):
        return None
    number = found.fitted(base, direction)
    return None if number is None else with_number(row, number)


def _distinct(rows: list[Mistake]) -> list[Mistake]:
    return list({row.words: row for row in rows}.values())
