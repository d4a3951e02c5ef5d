"""Mistakes in softmax, and in the loss where a trace tells more than a single layer."""

from collections.abc import Callable, Iterator

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis.context import Context, Wrong
from numpy_vgg7.parity.layer_mistakes import Mistake
from numpy_vgg7.parity.layer_mistakes_loss import EPSILONS, SOFTMAXES

DECIMALS = 2  # of a weight decay or a label smoothing that can be recognised in a single number
VISIBLE = 1e-9  # of the loss: a smaller excess has too few digits to be recognised
SMOOTHING = (0.01, 0.05, 0.1, 0.2)


def _shifted(x: Array) -> Array:
    return np.asarray(np.exp(x - x.max(axis=1, keepdims=True)))


def _parts(numbers: Array, axis: int = 1) -> Array:
    """Each row divided by its sum."""
    return np.asarray(numbers / numbers.sum(axis=axis, keepdims=True))


OTHERS: list[tuple[str, Callable[[Array], Array]]] = [
    ("the logarithm of softmax: log-probabilities instead of probabilities", F.log_softmax),
    ("exp is not divided by its sum", np.exp),
    ("exp, with the largest logit subtracted, is not divided by its sum", _shifted),
    ("the logits themselves: softmax is missing", lambda x: x),
    ("the logits divided by their sum: exp is missing", _parts),
    ("a sigmoid, divided by its sum, in place of softmax", lambda x: _parts(1 / (1 + np.exp(-x)))),
    ("the softmax of -x", lambda x: F.softmax(-x)),
    ("the squares of the logits, divided by their sum", lambda x: _parts(x * x)),
    ("1 for the largest logit, else 0", lambda x: (x == x.max(axis=1, keepdims=True)) * 1.0),
    ("the square root of the probabilities", lambda x: np.sqrt(F.softmax(x))),
    ("the squares of the probabilities", lambda x: F.softmax(x) ** 2),
]


def softmax_rows(context: Context) -> Iterator[Mistake]:
    """Another softmax."""
    for words, probs in SOFTMAXES:
        yield Mistake(words, probs)
    for words, function in OTHERS:
        yield Mistake(words, lambda t, function=function: function(t.x))  # type: ignore[misc]
    for eps in EPSILONS:
        for what, exponentials in (("", _shifted), (" (no maximum subtracted)", np.exp)):
            words = f"eps = {eps:g} is added to the denominator of softmax{what}"

            def formula(t, eps=eps, exponentials=exponentials):  # type: ignore[no-untyped-def]
                e = exponentials(t.x)
                return e / (e.sum(axis=1, keepdims=True) + eps)

            yield Mistake(words, formula)
        yield Mistake(
            f"eps = {eps:g} is added to the probabilities",
            lambda t, eps=eps: F.softmax(t.x) + eps,  # type: ignore[misc]
        )
        yield Mistake(
            f"the probabilities are clipped to {eps:g} .. 1 - {eps:g}",
            lambda t, eps=eps: F.softmax(t.x).clip(eps, 1 - eps),  # type: ignore[misc]
        )


def tempered(found: Wrong, context: Context) -> Mistake | None:
    """A softmax of the logits times some number."""
    x, probs = context.x, found.suspect
    if x is None or probs.shape != x.shape or not (np.isfinite(probs) & (probs > 0)).all():
        return None
    logs, logits = (a - a.mean(axis=1, keepdims=True) for a in (np.log(probs), x))
    size = float((logits * logits).sum())
    number = float((logs * logits).sum()) / size if size else 0.0
    if not number or not found.is_(F.softmax(number * x)):
        return None
    base = f"; it is softmax to base {np.exp(number):.6g} instead of e" if number > 0 else ""
    words = f"softmax of the logits times {number:.6g} (a temperature of {1 / number:.6g}){base}"
    return Mistake(words, lambda t: F.softmax(number * t.x))


def loss_rows(context: Context) -> Iterator[Mistake]:
    """Losses beside those in the dictionary of single layers. Each is one number, so nothing is fitted."""
    n = context.batch
    for index, which in ((0, "first"), (n - 1, "last")):
        if n > 1:
            yield Mistake(f"of the {which} image of the batch only", lambda t, i=index: _of_image(t, i))  # type: ignore[misc]
            yield Mistake(
                f"of the {which} image of the batch only, divided by N",
                lambda t, i=index: _of_image(t, i) / n,  # type: ignore[misc]
            )
            yield Mistake(
                f"the {which} image of the batch is left out",
                lambda t, i=index: (F.cross_entropy(t.x, t.labels) * n - _of_image(t, i)) / n,  # type: ignore[misc]
            )
            yield Mistake(
                f"the {which} image of the batch is left out, and the rest averaged",
                lambda t, i=index: (F.cross_entropy(t.x, t.labels) * n - _of_image(t, i)) / (n - 1),  # type: ignore[misc]
            )
    yield Mistake("the median instead of the mean", lambda t: np.median(_each(t)))
    yield Mistake("the largest of the batch instead of the mean", lambda t: _each(t).max())
    for name, clip in (("below", True), ("on both sides", False)):
        for eps in EPSILONS:
            words = f"the probabilities are clipped at eps = {eps:g} {name} before the logarithm"
            yield Mistake(words, lambda t, eps=eps, clip=clip: _clipped(t, eps, clip))  # type: ignore[misc]
    for share in SMOOTHING:
        yield Mistake(
            f"the labels are smoothed by {share:g}",
            lambda t, s=share: (1 - s) * F.cross_entropy(t.x, t.labels) - s * F.log_softmax(t.x).mean(),  # type: ignore[misc]
        )


def _each(t):  # type: ignore[no-untyped-def]
    return -F.log_softmax(t.x)[np.arange(t.n), t.labels]


def _of_image(t, index: int):  # type: ignore[no-untyped-def]
    return _each(t)[index]


def _clipped(t, eps: float, below: bool):  # type: ignore[no-untyped-def]
    probs = F.softmax(t.x).clip(eps, None if below else 1 - eps)
    return -np.log(probs[np.arange(t.n), t.labels]).mean()


def decayed(found: Wrong, context: Context) -> str:
    """Whether the loss has a sum of squares of the parameters added, with a decay of few digits."""
    excess = float(found.suspect) - float(found.truth)
    groups = {
        "all parameters": lambda name: True,
        "the weights": lambda name: name.endswith(".weight"),
        "the weights of the convolutions": lambda name: name.startswith("conv") and name.endswith("weight"),
        "the weights of the linear layers": lambda name: name.startswith("fc") and name.endswith("weight"),
    }
    parameters = {n: p for n, p in context.trace.items() if n.endswith((".weight", ".bias"))}
    rounding = 1e-14 * abs(float(found.truth))
    for what, chosen in groups.items():
        squares = sum(float((p * p).sum()) for name, p in parameters.items() if chosen(name))
        for half, shown in ((0.5, "1/2 * "), (1.0, "")):
            if not squares or excess <= VISIBLE * abs(float(found.truth)):
                continue
            decay = excess / (half * squares)
            whole = float(f"{decay:.{DECIMALS - 1}e}")
            if abs(decay - whole) * half * squares <= rounding + 1e-9 * excess:
                return f"weight decay is added: {shown}{whole:g} times the sum of squares of {what}"
    return ""
