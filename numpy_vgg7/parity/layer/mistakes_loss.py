"""Usual mistakes in softmax with cross-entropy; rows of the dictionary in `mistakes.py`."""

from collections.abc import Callable

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.layer.trials import Trial

Formula = Callable[[Trial], Array]
EPSILONS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15)


def _normalised(exponentials: Array, axis: int | None = 1) -> Array:
    return exponentials / exponentials.sum(axis=axis, keepdims=axis is not None)


def _probs(t: Trial) -> Array:
    """Probabilities of the layer's own forward pass, or the right ones."""
    return F.softmax(t.x) if t.own is None else t.own


def _no_maximum(t: Trial) -> Array:
    return _normalised(np.exp(t.x))


def _one_maximum(t: Trial) -> Array:
    return _normalised(np.exp(t.x - t.x.max()))


def _column_maximum(t: Trial) -> Array:
    return _normalised(np.exp(t.x - t.x.max(axis=0)))


def _over_batch(t: Trial) -> Array:
    return _normalised(np.exp(t.x - t.x.max(axis=0)), 0)


def _over_all(t: Trial) -> Array:
    return _normalised(np.exp(t.x - t.x.max()), None)


def _base(number: float) -> Callable[[Trial], Array]:
    return lambda t: _normalised(number ** (t.x - t.x.max(axis=1, keepdims=True)))


def _twice(t: Trial) -> Array:
    return F.softmax(F.softmax(t.x))


def _tempered(temperature: float) -> Callable[[Trial], Array]:
    return lambda t: F.softmax(t.x / temperature)


def _squashed(t: Trial) -> Array:
    return 1 / (1 + np.exp(-t.x))


# Another softmax: what it is, and its probabilities. A loss and a gradient can be made from each.
SOFTMAXES: list[tuple[str, Callable[[Trial], Array]]] = [
    (
        "softmax does not subtract the largest logit of each row, so that exp overflows for large logits",
        _no_maximum,
    ),
    (
        "softmax subtracts one number from the whole batch, as its largest logit, instead of the largest of "
        "each row, so that a row of smaller logits underflows",
        _one_maximum,
    ),
    (
        "softmax subtracts the largest logit of each column instead of each row, so that exp can overflow or "
        "underflow",
        _column_maximum,
    ),
    ("softmax is taken over the batch (axis 0) instead of the classes (axis 1)", _over_batch),
    ("softmax is taken over the whole batch at once instead of each row", _over_all),
    ("softmax is to base 2 instead of e", _base(2.0)),
    ("softmax is to base 10 instead of e", _base(10.0)),
    ("softmax is applied twice", _twice),
    ("softmax has the temperature 2", _tempered(2.0)),
    ("softmax has the temperature 1/2", _tempered(0.5)),
    ("a sigmoid is used in place of softmax", _squashed),
]


def _of_label(t: Trial, probs: Array) -> Array:
    return probs[np.arange(t.n), t.labels]


def _loss(t: Trial, probs: Array) -> Array:
    return np.asarray(-np.log(_of_label(t, probs)).mean())


def _with_class(t: Trial, step: int) -> Array:
    """The one-hot labels with the classes shifted."""
    return np.roll(t.one_hot, step, axis=1)


def _through(t: Trial, d_probs: Array) -> Array:
    """The gradient of the logits from that of the probabilities."""
    probs = _probs(t)
    return probs * (d_probs - (d_probs * probs).sum(axis=1, keepdims=True))


def _binary(t: Trial) -> Array:
    probs = F.softmax(t.x)
    return -np.log(np.where(t.one_hot == 1, probs, 1 - probs))


def _binary_slope(t: Trial) -> Array:
    probs = _probs(t)
    return (probs - t.one_hot) / (probs * (1 - probs))


def _square(t: Trial) -> Array:
    return (F.softmax(t.x) - t.one_hot) ** 2


def _error(t: Trial) -> Array:
    return _probs(t) - t.one_hot


def _shifted_labels(step: int) -> Formula:
    return lambda t: _loss(t, np.roll(F.softmax(t.x), -step, axis=1))


def _reversed_labels(t: Trial) -> Array:
    return np.asarray(-np.log(F.softmax(t.x)[np.arange(t.n), t.labels[::-1]]).mean())


def _added_inside(eps: float) -> Formula:
    return lambda t: _loss(t, F.softmax(t.x) + eps)


def _cut_off(eps: float) -> Formula:
    return lambda t: _loss(t, np.maximum(F.softmax(t.x), eps))


def _added_below(eps: float) -> Formula:
    """eps in the denominator of softmax."""

    def formula(t: Trial) -> Array:
        exponentials = np.exp(t.x - t.x.max(axis=1, keepdims=True))
        return _loss(t, exponentials / (exponentials.sum(axis=1, keepdims=True) + eps))

    return formula


def _slope_with_eps(eps: float) -> Formula:
    return lambda t: _through(t, -t.one_hot / (_probs(t) + eps)) / t.n


TABLES: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    ("softmax_cross_entropy", "out"): [
        *((words, lambda t, probs=probs: _loss(t, probs(t))) for words, probs in SOFTMAXES),
        ("not averaged over the batch: one loss per sample", lambda t: -np.log(_of_label(t, F.softmax(t.x)))),
        *((f"{eps:g} is added to the probability in the logarithm", _added_inside(eps)) for eps in EPSILONS),
        *((f"probabilities are cut off at {eps:g}", _cut_off(eps)) for eps in EPSILONS[:11]),
        *((f"{eps:g} is added to the denominator of softmax", _added_below(eps)) for eps in EPSILONS[:9]),
        (
            "the binary cross-entropy of all classes, summed over the classes",
            lambda t: np.asarray(_binary(t).sum() / t.n),
        ),
        ("the binary cross-entropy of all classes, averaged", lambda t: np.asarray(_binary(t).mean())),
        ("the binary cross-entropy of all classes, summed", lambda t: np.asarray(_binary(t).sum())),
        ("the mean square error instead of the cross-entropy", lambda t: np.asarray(_square(t).mean())),
        (
            "the square error, summed over the classes, instead of the cross-entropy",
            lambda t: np.asarray(_square(t).sum() / t.n),
        ),
        ("the square error, summed, instead of the cross-entropy", lambda t: np.asarray(_square(t).sum())),
        (
            "half the square error, summed over the classes, instead of the cross-entropy",
            lambda t: np.asarray(_square(t).sum() / t.n / 2),
        ),
        ("the labels are shifted by one: label + 1 is used", _shifted_labels(1)),
        ("the labels are shifted by one: label - 1 is used", _shifted_labels(-1)),
        ("the labels are in reverse order", _reversed_labels),
        (
            "the probability itself, without the logarithm",
            lambda t: np.asarray(-_of_label(t, F.softmax(t.x)).mean()),
        ),
        (
            "1 - p instead of -log p",
            lambda t: np.asarray((1 - _of_label(t, F.softmax(t.x))).mean()),
        ),
        (
            "the logarithm of the mean probability instead of the mean of the logarithms",
            lambda t: np.asarray(-np.log(_of_label(t, F.softmax(t.x)).mean())),
        ),
        (
            "the probability of the most likely class instead of that of the label",
            lambda t: np.asarray(-np.log(F.softmax(t.x).max(axis=1)).mean()),
        ),
        (
            "the entropy of the probabilities: the labels have no effect",
            lambda t: np.asarray(-(F.softmax(t.x) * F.log_softmax(t.x)).sum() / t.n),
        ),
        (
            "the logit of the label without the logarithm of the sum of exponentials",
            lambda t: np.asarray(-t.x[np.arange(t.n), t.labels].mean()),
        ),
        ("exp of the loss", lambda t: np.exp(F.cross_entropy(t.x, t.labels))),
    ],
    ("softmax_cross_entropy", "x"): [
        *((words, lambda t, probs=probs: (probs(t) - t.one_hot) / t.n) for words, probs in SOFTMAXES),
        ("reversed: y - p instead of p - y", lambda t: -_error(t) / t.n),
        ("reversed: y - p instead of p - y; and the factor 1/N is missing", lambda t: -_error(t)),
        (
            "only the entry of the label is filled, p - 1 there: the diagonal of softmax's Jacobian without "
            "the rest",
            lambda t: t.one_hot * _error(t) / t.n,
        ),
        (
            "only the entry of the label is filled, p - 1 there, and the factor 1/N is missing: the diagonal "
            "of softmax's Jacobian without the rest",
            lambda t: t.one_hot * _error(t),
        ),
        ("the label is not subtracted: p instead of p - y", lambda t: _probs(t) / t.n),
        (
            "the gradient with respect to the probabilities: softmax's Jacobian is missing",
            lambda t: -t.one_hot / _probs(t) / t.n,
        ),
        (
            "softmax's derivative is applied to p - y once more, its diagonal p (1 - p)",
            lambda t: _error(t) * _probs(t) * (1 - _probs(t)) / t.n,
        ),
        (
            "softmax's derivative is applied to p - y once more: the gradient of half the square error",
            lambda t: _through(t, _error(t)) / t.n,
        ),
        (
            "the gradient of the square error, summed over the classes",
            lambda t: _through(t, 2 * _error(t)) / t.n,
        ),
        (
            "the gradient of the mean square error",
            lambda t: _through(t, 2 * _error(t)) / t.x.size,
        ),
        (
            "the gradient of the mean square error with respect to the probabilities: 2 (p - y) / (N K)",
            lambda t: 2 * _error(t) / t.x.size,
        ),
        (
            "the gradient of the binary cross-entropy, summed over the classes",
            lambda t: _through(t, _binary_slope(t)) / t.n,
        ),
        (
            "the gradient of the binary cross-entropy, averaged",
            lambda t: _through(t, _binary_slope(t)) / t.x.size,
        ),
        (
            "the gradient of the binary cross-entropy with respect to the probabilities",
            lambda t: _binary_slope(t) / t.n,
        ),
        (
            "the gradient of the binary cross-entropy with respect to the probabilities, averaged",
            lambda t: _binary_slope(t) / t.x.size,
        ),
        (
            "the labels are shifted by one: label + 1 is used",
            lambda t: (_probs(t) - _with_class(t, 1)) / t.n,
        ),
        (
            "the labels are shifted by one: label - 1 is used",
            lambda t: (_probs(t) - _with_class(t, -1)) / t.n,
        ),
        (
            "the most likely class is used in place of the label",
            lambda t: (_probs(t) - (np.arange(t.x.shape[1]) == t.x.argmax(axis=1)[:, None])) / t.n,
        ),
        ("the labels are in reverse order", lambda t: (_probs(t) - t.one_hot[::-1]) / t.n),
        ("the logits are used in place of the probabilities", lambda t: (t.x - t.one_hot) / t.n),
        (
            "the log-probabilities are used in place of the probabilities",
            lambda t: (F.log_softmax(t.x) - t.one_hot) / t.n,
        ),
        *(
            (f"{eps:g} is added to the probability that 1 is divided by", _slope_with_eps(eps))
            for eps in EPSILONS
        ),
        (
            "2 is subtracted at the label instead of 1",
            lambda t: (_probs(t) - 2 * t.one_hot) / t.n,
        ),
    ],
}

FITTED: dict[tuple[str, str], list[tuple[str, Formula, Formula]]] = {
    ("softmax_cross_entropy", "out"): [
        (
            "the labels are smoothed by {c}",
            lambda t: F.cross_entropy(t.x, t.labels),
            lambda t: np.asarray(-F.log_softmax(t.x).mean()) - F.cross_entropy(t.x, t.labels),
        ),
    ],
    ("softmax_cross_entropy", "x"): [
        (
            "the labels are smoothed by {c}",
            lambda t: _error(t) / t.n,
            lambda t: (t.one_hot - 1 / t.x.shape[1]) / t.n,
        ),
        ("{c} times the logits are added", lambda t: _error(t) / t.n, lambda t: t.x),
    ],
}
