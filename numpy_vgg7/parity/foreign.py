"""Which mistakes has another implementation, given its own tensors? What follows from one is none.

Every layer gets the input and the upstream gradient of the trace, so that errors do not spread. What remains:
a wrong forward pass whose own derivative is used backward, a loss of wrong probabilities, a batch in another
order, tensors under each other's names.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7 import network
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.network import Layers
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.compare import judge
from numpy_vgg7.parity.diagnose import Diagnosis, examine
from numpy_vgg7.parity.diagnosis.context import Context, wrong
from numpy_vgg7.parity.diagnosis.known import right_functions
from numpy_vgg7.parity.diagnosis.orders import permutation
from numpy_vgg7.parity.diagnosis.trajectory import later_steps
from numpy_vgg7.parity.layer.mistakes import Mistake
from numpy_vgg7.parity.layer.trials import Trial
from numpy_vgg7.parity.localise import Culprit, Local, agree, run_alone

STEP = 1e-6  # of central differences, times the largest element
FOLLOWS = 1e-6  # of the sum of sizes of all terms: what such a difference can tell
DIRECTIONS = 3


def localise_foreign(layers: Layers, sgd: SGD, labels: Labels, trace: Arrays) -> list[Culprit]:
    """All mistakes in the order of computation, each once. `trace` is complete, float64."""
    right = _right(layers, sgd, labels, trace)
    exchanged, trace = _with_names_right(right, trace)
    labels = _order_of_labels(layers, sgd, labels, trace)
    walk = _Walk(trace, labels, right)
    culprits = [culprit for local in run_alone(layers, sgd, labels, trace) for culprit in walk.judge(local)]
    found = exchanged + culprits
    return found or later_steps(layers, sgd, labels, trace)


class _Walk:
    """The judgement of one result after the other; what was wrong forward is remembered for the backward."""

    def __init__(self, trace: Arrays, labels: Labels, right: Arrays) -> None:
        self.trace, self.labels, self.right = trace, labels, right
        self.forward: dict[str, Diagnosis] = {}  # by the tensor
        self.likely: dict[tuple[str, str], tuple[Mistake, ...]] = {}  # by the kind of layer and of result

    def judge(self, local: Local) -> Iterator[Culprit]:
        """The culprit, if the result is wrong and does not follow from another one that is."""
        place, tensor, truth, context = local
        suspect = self.trace[tensor]
        if agree(tensor, suspect, truth) or judge(tensor, suspect, self.right[tensor]).passed:
            return  # or is right though what it was computed from is written wrongly
        if self._follows(tensor, suspect, context):
            return
        kind = context.kind, context.result
        diagnosis = examine(suspect, truth, context, self.likely.get(kind, ()))
        self.likely[kind] = diagnosis.mistakes or self.likely.get(kind, ())
        if place.endswith("forward"):
            self.forward[tensor] = diagnosis
        elif not diagnosis.known and self._unknown_before(context):
            return  # it may be the derivative of a forward pass that is wrong in an unknown way
        yield Culprit(place, tensor, f"{tensor} {diagnosis.words}")

    def _unknown_before(self, context: Context) -> bool:
        names = ("probs", "loss") if context.labels is not None else (self._layer(context),)
        return any(name in self.forward and not self.forward[name].mistakes for name in names)

    def _layer(self, context: Context) -> str:
        return context.layer.name if context.layer else ""

    def _follows(self, tensor: str, suspect: Array, context: Context) -> bool:
        """Whether a result is right given what was wrong forward."""
        if context.labels is not None:
            return self._loss_follows(tensor, suspect, context)
        before = self.forward.get(self._layer(context))
        if before is None or context.d_out is None:
            return False
        return any(_is_derivative(mistake.formula, context, suspect) for mistake in before.mistakes)

    def _loss_follows(self, tensor: str, suspect: Array, context: Context) -> bool:
        probs = self.trace["probs"]
        if tensor == "loss" and "probs" in self.forward:
            with np.errstate(all="ignore"):
                own = -np.log(probs[np.arange(len(self.labels)), self.labels]).mean()
            return bool(np.isclose(float(suspect), own, rtol=1e-12, atol=0, equal_nan=True))
        if tensor != "logits.grad" or not self.forward.keys() & {"probs", "loss"}:
            return False
        right = F.cross_entropy_backward(F.softmax(self.trace["logits"]), self.labels)
        if agree(tensor, suspect, right):
            return True
        context = replace(context, d_out=np.ones(()))
        formulas = [m.formula for m in self._diagnosis("loss").mistakes]
        formulas += [_loss_of(m.formula) for m in self._diagnosis("probs").mistakes]
        return any(_is_derivative(formula, context, suspect) for formula in formulas)

    def _diagnosis(self, tensor: str) -> Diagnosis:
        return self.forward.get(tensor, Diagnosis("", False))


def _loss_of(softmax: Callable[[Trial], Array]) -> Callable[[Trial], Array]:
    """The loss of the probabilities of a wrong softmax."""

    def formula(trial: Trial) -> Array:
        return np.asarray(-np.log(softmax(trial)[np.arange(trial.n), trial.labels]).mean())

    return formula


def _is_derivative(formula: Callable[[Trial], Array], context: Context, gradient: Array) -> bool:
    """Whether a gradient is the derivative of a wrong forward pass, by central differences."""
    trial = replace(context.trial, own=None)
    key = context.result
    at = trial.params[key] if key in trial.params and context.labels is None else trial.x
    if at.shape != gradient.shape or context.d_out is None or not np.isfinite(gradient).all():
        return False
    rng = np.random.default_rng(0)
    size = STEP * float(np.abs(at).max())
    with right_functions(), np.errstate(all="ignore"):
        for _ in range(DIRECTIONS):
            direction = rng.standard_normal(at.shape)
            ahead, behind = (
                _evaluated(formula, trial, key, at + sign * size * direction) for sign in (1, -1)
            )
            if ahead is None or behind is None or ahead.shape != context.d_out.shape:
                return False
            terms = context.d_out * (ahead - behind) / (2 * size)
            scale = float(np.abs(terms).sum() + np.abs(gradient * direction).sum())
            if not abs(float(terms.sum() - (gradient * direction).sum())) <= FOLLOWS * scale:
                return False
    return True


def _evaluated(formula: Callable[[Trial], Array], trial: Trial, key: str, value: Array) -> Array | None:
    moved = (
        replace(trial, params=trial.params | {key: value}) if key in trial.params else replace(trial, x=value)
    )
    try:
        return np.asarray(formula(moved))
    except (ValueError, IndexError):  # of NumPy, as where a mistake needs a shape
        return None


def _right(layers: Layers, sgd: SGD, labels: Labels, trace: Arrays) -> Arrays:
    """The trace that follows from the parameters and images alone, with the first update."""
    params = {name: trace[name].copy() for name in network.parameter_shapes(layers)}
    right = network.trace(layers, params, trace["input"], labels)
    gradients = {name: right[f"{name}.grad"] for name in params}
    sgd.step(params, gradients, sgd.init(params), network.parameter_groups(layers))
    return right | {f"{name}.step1": parameter for name, parameter in params.items()}


def _with_names_right(right: Arrays, trace: Arrays) -> tuple[list[Culprit], Arrays]:
    """Tensors that are under each other's names, and the trace without that."""
    names = [n for n in right if not judge(n, trace[n], right[n]).passed and right[n].any()]
    culprits, found = [], dict(trace)
    for one, other in combinations(names, 2):
        if not (trace[one].shape == trace[other].shape and trace[one].any() and trace[other].any()):
            continue
        if judge(one, trace[one], right[other]).passed and judge(other, trace[other], right[one]).passed:
            found[one], found[other] = trace[other], trace[one]
            words = f"{one} and {other} are exchanged: each has the values of the other"
            culprits.append(Culprit("names", one, words))
    return culprits, found


def _order_of_labels(layers: Layers, sgd: SGD, labels: Labels, trace: Arrays) -> Labels:
    """The labels in the order of the images, where a layer put these into another one."""
    for local in run_alone(layers, sgd, labels, trace):
        if local.place == "loss forward":
            break
        suspect = trace[local.tensor]
        if not agree(local.tensor, suspect, local.computed):
            order = permutation(wrong(suspect, local.computed), 0)
            if order is None:
                break
            moved = labels[order]
            if agree("loss", trace["loss"], F.cross_entropy(trace["logits"], moved)):
                return moved
            right = F.cross_entropy_backward(trace["probs"], moved)
            if agree("logits.grad", trace["logits.grad"], right):
                return moved
    return labels
