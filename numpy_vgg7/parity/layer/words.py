"""Which mistake explains a wrong tensor? If the dictionary has none, what can be said with certainty?"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.layer.mistakes import Mistake, mistakes
from numpy_vgg7.parity.layer.trials import ELEMENTWISE, Trial

# A mistake explains a tensor if it leaves no more than this part of the deviation, beside rounding.
REMAINDER = {"float64": 1e-6, "float32": 1e-3}
DECISIVE = 20.0  # a deviation of fewer tolerances than this is not named
VISIBLE = {"float64": 1e-5, "float32": 1e-3}  # by how much a factor must differ from 1


class Evidence(NamedTuple):
    """A tensor in one trial: what the layer gave, what is right, and how much rounding may change."""

    trial: Trial
    found: Array
    truth: Array
    tolerance: float

    @property
    def deviation(self) -> float:
        """The largest difference from the truth; infinite where it cannot be compared."""
        if self.found.shape != self.truth.shape:
            return float("inf")
        return _gap(self.found, self.truth)

    @property
    def wrong(self) -> bool:
        """Whether it differs by more than rounding; NaN where the truth is not NaN does."""
        return not self.deviation <= self.tolerance


def _gap(a: Array, b: Array) -> float:
    """The largest difference; infinite if they are not finite in the same places."""
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        return float("inf")
    return float(np.abs(a[finite] - b[finite]).max(initial=0))


def explanations(like: str, tensor: str, evidence: Sequence[Evidence], dtype: np.dtype) -> list[str]:
    """The sentences of all mistakes that give these numbers in every trial."""
    return matching(mistakes(like, tensor), evidence, dtype)


def matching(rows: Iterable[Mistake], evidence: Sequence[Evidence], dtype: np.dtype) -> list[str]:
    """The sentences of the rows that fit. A row with a free number counts only if no other row fits."""
    if not any(item.wrong and item.deviation > DECISIVE * item.tolerance for item in evidence):
        return []
    small_first = sorted(evidence, key=lambda item: item.trial.x.size)
    plain, fitted = [], []
    with np.errstate(all="ignore"):
        for row in rows:
            if row.direction is None:
                if all(_fits(row.formula, item, dtype) for item in small_first):
                    plain.append(row.words)
            elif not plain:
                number = _number(row, small_first)
                if number is not None and _visible(row, number, dtype):
                    formula = _with_number(row, number)
                    if all(_fits(formula, item, dtype) for item in small_first):
                        fitted.append(row.words.format(c=f"{number:.6g}"))
    return list(dict.fromkeys(plain or fitted[:1]))


def _visible(row: Mistake, number: float, dtype: np.dtype) -> bool:
    return not row.words.startswith("{c} times what") or abs(number - 1) > VISIBLE[dtype.name]


def _with_number(row: Mistake, number: float) -> Callable[[Trial], Array]:
    direction = row.direction
    assert direction is not None
    return lambda trial: row.formula(trial) + number * direction(trial)


def _number(row: Mistake, evidence: Sequence[Evidence]) -> float | None:
    """The number that fits best in the trial where its effect is largest."""
    best: tuple[float, float] | None = None
    for item in evidence:
        base, direction = _computed(row.formula, item.trial), _computed(row.direction, item.trial)
        if base is None or direction is None or item.found.shape != base.shape:
            continue
        size = float((direction * direction).sum())
        if not np.isfinite(size) or not size or not np.isfinite(item.found).all():
            continue
        if best is None or size > best[0]:
            best = size, float(((item.found - base) * direction).sum()) / size
    return None if best is None else best[1]


def _computed(formula: Callable[[Trial], Array] | None, trial: Trial) -> Array | None:
    """What a formula gives, or None where the shapes do not allow it."""
    if formula is None:
        return None
    try:
        return np.asarray(formula(trial), dtype=np.float64)
    except (ValueError, IndexError):  # of NumPy: a transposed weight that is not square, for example
        return None


def _fits(formula: Callable[[Trial], Array], item: Evidence, dtype: np.dtype) -> bool:
    expected = _computed(formula, item.trial)
    if expected is None or expected.shape != item.found.shape:
        return False
    deviation = item.deviation
    if not np.isfinite(deviation):
        deviation = float(np.abs(expected[np.isfinite(expected)]).max(initial=0))
    return _gap(item.found, expected) <= item.tolerance + REMAINDER[dtype.name] * deviation


# Places that a mistake may be limited to.
PLACES: list[tuple[str, Callable[[Evidence], Array | bool]]] = [
    ("where x is exactly 0", lambda e: _pointwise(e) and (e.trial.x == 0)),
    ("where x is negative", lambda e: _pointwise(e) and (e.trial.x < 0)),
    ("where x is positive", lambda e: _pointwise(e) and (e.trial.x > 0)),
    ("where x is not positive", lambda e: _pointwise(e) and (e.trial.x <= 0)),
    ("where |x| is at least 7", lambda e: _pointwise(e) and (np.abs(e.trial.x) >= 7)),
    ("where |x| is 1000", lambda e: _pointwise(e) and (np.abs(e.trial.x) == 1000)),
    ("at the label of each row", lambda e: _of_loss(e) and (e.trial.one_hot == 1)),
    ("at classes other than the label", lambda e: _of_loss(e) and (e.trial.one_hot == 0)),
    ("in the first row of the image", lambda e: _line(e, 2, 0)),
    ("in the last row of the image", lambda e: _line(e, 2, -1)),
    ("in the first column of the image", lambda e: _line(e, 3, 0)),
    ("in the last column of the image", lambda e: _line(e, 3, -1)),
    ("in the first entry of axis 0", lambda e: _line(e, 0, 0)),
    ("in the last entry of axis 0", lambda e: _line(e, 0, -1)),
    ("in the first entry of axis 1", lambda e: _line(e, 1, 0)),
    ("in the last entry of axis 1", lambda e: _line(e, 1, -1)),
    ("in the border of the image", lambda e: _border(e)),
]


def _pointwise(item: Evidence) -> bool:
    return item.trial.like in ELEMENTWISE and item.found.shape == item.trial.x.shape


def _of_loss(item: Evidence) -> bool:
    return item.trial.like == "softmax_cross_entropy" and item.found.shape == item.trial.x.shape


def _line(item: Evidence, axis: int, index: int) -> Array:
    mask = np.zeros(item.found.shape, dtype=bool)
    if axis < mask.ndim and mask.shape[axis] > 1:
        np.moveaxis(mask, axis, 0)[index] = True
    return mask


def _border(item: Evidence) -> Array:
    if item.found.ndim != 4 or min(item.found.shape[2:]) < 3 or item.found.shape[2:] == (3, 3):
        return np.zeros(item.found.shape, dtype=bool)
    mask = np.ones(item.found.shape, dtype=bool)
    mask[:, :, 1:-1, 1:-1] = False
    return mask


def description(evidence: Sequence[Evidence]) -> str:
    """What is certain about a wrong tensor that no mistake of the dictionary explains; it guesses nothing."""
    wrong = [item for item in evidence if item.wrong]
    item = max(wrong, key=lambda item: (item.found.shape != item.truth.shape, item.trial.n))
    parts = []
    if item.found.shape != item.truth.shape:
        parts.append(f"has shape {item.found.shape} instead of {item.truth.shape}")
        if item.found.size == item.truth.size:
            reshaped = item._replace(found=item.found.reshape(item.truth.shape))
            parts.append("with other numbers" if reshaped.wrong else "with the right numbers")
    else:
        lost = [e for e in wrong if not np.isfinite(e.found).all()]
        if lost:
            count = int((~np.isfinite(lost[0].found)).sum())
            parts.append(f"is not finite in {count} of {lost[0].found.size} elements")
            item = lost[0]
        else:
            parts.append(_amount(item))
        place = next((words for words, mask in PLACES if _limited_to(mask, wrong)), "")
        if place:
            parts.append(f"only {place}")
    if len(wrong) < len(evidence):
        parts.append(_trials_of(wrong, evidence))
    return ", ".join(parts) + f" (seen with {item.trial.title})"


def _amount(item: Evidence) -> str:
    off = np.abs(item.found - item.truth)
    if not item.found.ndim:
        return f"is {float(item.found):.9g} instead of {float(item.truth):.9g}"
    count = int((off > item.tolerance).sum())
    largest = float(np.abs(item.truth).max(initial=0)) or 1.0
    return f"differs in {count} of {off.size} elements, by up to {off.max() / largest:.2g} of the largest"


def _limited_to(mask: Callable[[Evidence], Array | bool], wrong: Sequence[Evidence]) -> bool:
    """Whether all differences are at those places, and the other places could have shown some."""
    for item in wrong:
        if item.found.shape != item.truth.shape:
            return False
        places = np.broadcast_to(mask(item), item.found.shape)
        off = ~(np.abs(item.found - item.truth) <= item.tolerance)
        if (off & ~places).any() or places.all():
            return False
    return True


# What a trial can be that others are not.
KINDS: list[tuple[str, Callable[[Trial], bool]]] = [
    ("for a batch of one", lambda t: t.n == 1),
    ("for batches of more than one", lambda t: t.n > 1),
    ("for arrays in Fortran order", lambda t: t.fortran),
    ("where H and W differ", lambda t: t.x.ndim == 4 and t.x.shape[2] != t.x.shape[3]),
    ("for logits of 1000 in size", lambda t: t.like == "softmax_cross_entropy" and np.abs(t.x).max() > 500),
    ("for x of 1000 in size", lambda t: t.like in ELEMENTWISE and np.abs(t.x).max() > 500),
]


def _trials_of(wrong: Sequence[Evidence], evidence: Sequence[Evidence]) -> str:
    seen = {id(item) for item in wrong}
    for words, is_such in KINDS:
        if all(is_such(item.trial) == (id(item) in seen) for item in evidence):
            return words
    return f"in {len(wrong)} of {len(evidence)} trials"
