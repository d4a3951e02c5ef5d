"""Mistakes in softmax, and in the loss where a trace tells more than a single layer."""

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.diagnosis.context import Context, Wrong
from numpy_vgg7.parity.layer.mistakes import Mistake
from numpy_vgg7.parity.layer.mistakes_loss import EPSILONS, SOFTMAXES
from numpy_vgg7.parity.layer.trials import Trial

DECIMALS = 2  # of a weight decay or a label smoothing that can be recognised in a single number
VISIBLE = 1e-9  # of the loss: a smaller excess has too few digits to be recognised
MOST_SHOWN = 8
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


def softmax_rows() -> Iterator[Mistake]:
    """Another softmax."""
    for words, probs in SOFTMAXES:
        yield Mistake(words, probs)
    for words, function in OTHERS:
        yield Mistake(words, partial(_of_logits, function=function))
    for words, with_eps in WITH_EPS:
        for eps in EPSILONS:
            yield Mistake(
                words.format(eps=f"{eps:g}"), partial(_of_logits, function=partial(with_eps, eps=eps))
            )


def _of_logits(trial: Trial, function: Callable[[Array], Array]) -> Array:
    return function(trial.x)


def _eps_below(x: Array, eps: float) -> Array:
    e = _shifted(x)
    return np.asarray(e / (e.sum(axis=1, keepdims=True) + eps))


def _eps_below_plain(x: Array, eps: float) -> Array:
    return np.asarray(np.exp(x) / (np.exp(x).sum(axis=1, keepdims=True) + eps))


def _eps_added(x: Array, eps: float) -> Array:
    return F.softmax(x) + eps


def _eps_clipped(x: Array, eps: float) -> Array:
    return F.softmax(x).clip(eps, 1 - eps)


WITH_EPS: list[tuple[str, Callable[..., Array]]] = [
    ("eps = {eps} is added to the denominator of softmax", _eps_below),
    ("eps = {eps} is added to the denominator of softmax (no maximum subtracted)", _eps_below_plain),
    ("eps = {eps} is added to the probabilities", _eps_added),
    ("the probabilities are clipped to {eps} .. 1 - {eps}", _eps_clipped),
]


def tempered(found: Wrong, context: Context) -> Iterator[Mistake]:
    """A softmax of the logits times some number."""
    x, probs = context.x, found.suspect
    if x is None or probs.shape != x.shape or not (np.isfinite(probs) & (probs > 0)).all():
        return
    logs, logits = (a - a.mean(axis=1, keepdims=True) for a in (np.log(probs), x))
    size = float((logits * logits).sum())
    number = float((logs * logits).sum()) / size if size else 0.0
    if not number or not found.is_(F.softmax(number * x)):
        return
    base = f"; it is softmax to base {np.exp(number):.6g} instead of e" if number > 0 else ""
    words = f"softmax of the logits times {number:.6g} (a temperature of {1 / number:.6g}){base}"
    yield Mistake(words, lambda t: F.softmax(number * t.x))


def loss_rows() -> Iterator[Mistake]:
    """Losses beside those in the dictionary of single layers. Each is one number, so nothing is fitted."""
    for index, which in ((0, "first"), (-1, "last")):
        for words, of_parts in OF_IMAGE:
            yield Mistake(words.format(which=which), partial(_of_one, of_parts=of_parts, index=index))
    for step, which in ((1, "previous"), (-1, "next")):
        yield Mistake(
            f"each image has the label of the {which} one in the batch",
            partial(_of_neighbours, step=step),
        )
    yield Mistake("the median instead of the mean", lambda t: np.asarray(np.median(_each(t))))
    yield Mistake("the largest of the batch instead of the mean", lambda t: np.asarray(_each(t).max()))
    for eps in EPSILONS:
        for name, most in (("below", 1.0), ("on both sides", 1 - eps)):
            words = f"the probabilities are clipped at eps = {eps:g} {name} before the logarithm"
            yield Mistake(words, partial(_clipped, eps=eps, most=most))
    for share in SMOOTHING:
        yield Mistake(f"the labels are smoothed by {share:g}", partial(_smoothed, share=share))


def _of_neighbours(trial: Trial, step: int) -> Array:
    return F.cross_entropy(trial.x, np.roll(trial.labels, step))


# Of the loss of one image, the sum of the others, and the batch size.
OF_IMAGE: list[tuple[str, Callable[[float, float, int], float]]] = [
    ("of the {which} image of the batch only", lambda one, others, n: one),
    ("of the {which} image of the batch only, divided by N", lambda one, others, n: one / n),
    ("the {which} image of the batch is left out", lambda one, others, n: others / n),
    (
        "the {which} image of the batch is left out, and the rest averaged",
        lambda one, others, n: others / max(1, n - 1),
    ),
]


def _each(trial: Trial) -> Array:
    return -F.log_softmax(trial.x)[np.arange(trial.n), trial.labels]


def _of_one(trial: Trial, of_parts: Callable[[float, float, int], float], index: int) -> Array:
    losses = _each(trial)
    return np.asarray(of_parts(float(losses[index]), float(losses.sum() - losses[index]), trial.n))


def _clipped(trial: Trial, eps: float, most: float) -> Array:
    probs = F.softmax(trial.x).clip(eps, most)
    return np.asarray(-np.log(probs[np.arange(trial.n), trial.labels]).mean())


def _smoothed(trial: Trial, share: float) -> Array:
    right = F.cross_entropy(trial.x, trial.labels)
    return np.asarray((1 - share) * right - share * F.log_softmax(trial.x).mean())


def words(found: Wrong, context: Context) -> str:
    """What explains the loss or its gradient, though not by a formula of the logits and labels alone."""
    text = decayed(found, context) if context.result == "loss" else ""
    text = other_labels(found, context) if context.result == "logits" else text
    return text and f"is wrong: {text}"


def other_labels(found: Wrong, context: Context) -> str:
    """The labels that were used, if the gradient is p - y with others."""
    probs, labels = context.own, context.labels
    if probs is None or labels is None or found.suspect.shape != probs.shape:
        return ""
    used = (probs - len(labels) * found.suspect).argmax(axis=1)
    if not found.is_(F.cross_entropy_backward(probs, used)):
        return ""
    shown = f"{used[:MOST_SHOWN].tolist()} are used instead of {labels[:MOST_SHOWN].tolist()}"
    return f"the labels {shown}" + (" (the first of the batch)" if len(labels) > MOST_SHOWN else "")


def decayed(found: Wrong, context: Context) -> str:
    """Whether the loss has a norm of the parameters added, with a decay of few digits."""
    excess = float(found.suspect) - float(found.truth)
    groups: dict[str, Callable[[str], bool]] = {
        "all parameters": lambda name: True,
        "the weights": lambda name: name.endswith(".weight"),
        "the weights of the convolutions": lambda name: name.startswith("conv") and name.endswith("weight"),
        "the weights of the linear layers": lambda name: name.startswith("fc") and name.endswith("weight"),
    }
    parameters = {n: p for n, p in context.trace.items() if n.endswith((".weight", ".bias"))}
    rounding = 1e-14 * abs(float(found.truth))
    for what, chosen in groups.items():
        own = [p for name, p in parameters.items() if chosen(name)]
        for norm, size in NORMS:
            total = sum(float(size(p).sum()) for p in own)
            if not total or excess <= VISIBLE * abs(float(found.truth)):
                continue
            decay = excess / total
            whole = float(f"{decay:.{DECIMALS - 1}e}")
            if abs(decay - whole) * total <= rounding + 1e-9 * excess:
                return f"weight decay is added: {norm.format(decay=f'{whole:g}')} of {what}"
    return ""


NORMS: list[tuple[str, Callable[[Array], Array]]] = [
    ("1/2 * {decay} times the sum of squares", lambda p: p * p / 2),
    ("{decay} times the sum of squares", lambda p: p * p),
    ("{decay} times the sum of absolute values (L1)", np.abs),
]
