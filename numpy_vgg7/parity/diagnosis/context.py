"""What a tensor was computed from, and when two tensors are the same."""

from dataclasses import dataclass, field, replace

import numpy as np

from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.network import Activation, AvgPool2d, Conv2d, Layer, Linear
from numpy_vgg7.parity.layer.mistakes import Mistake
from numpy_vgg7.parity.layer.trials import ELEMENTWISE, Trial

FITS = 1e-9  # of the largest element: a mistake fits or it doesn't, float64 leaves nothing between
REMAINDER = 1e-3  # of the deviation from the truth, which may itself be small
LIKE = {Conv2d: "conv2d", Linear: "linear", AvgPool2d: "avg_pool2d"}


@dataclass(frozen=True)
class Context:
    """What computed a tensor, and what it was given, as far as there is one.

    `layer` is None for softmax, the loss (then there are `labels`) and the optimizer. `result` says which
    result the tensor is: "out", "x", "weight" or "bias" (gradients), "probs", "loss", "logits" or "step";
    without it, the shape decides. `own` is the output that the backward pass had.
    """

    layer: Layer | None
    batch: int
    x: Array | None = None  # of an updated parameter, what it was before
    d_out: Array | None = None  # of an updated parameter, its gradient
    params: Arrays = field(default_factory=dict)
    result: str = ""
    own: Array | None = None
    labels: Labels | None = None
    name: str = ""  # of the tensor
    trace: Arrays = field(default_factory=dict)  # the trace that the tensor is in
    rates: tuple[float, ...] = ()  # the learning rate of the parameter, then those of other groups
    first: bool = False  # whether the layer's input are the images

    @property
    def kind(self) -> str:
        """The layer's class, or the function of an activation."""
        return self.layer.function if isinstance(self.layer, Activation) else type(self.layer).__name__

    @property
    def like(self) -> str:
        """What `check_layer` calls such a layer; empty where it knows none."""
        if self.layer is None:
            return "softmax_cross_entropy" if self.labels is not None else ""
        if isinstance(self.layer, Activation):
            return self.layer.function if self.layer.function in ELEMENTWISE else ""
        return LIKE.get(type(self.layer), "")

    @property
    def trial(self) -> Trial:
        """The arguments of the layer, as `check_layer` has them."""
        assert self.x is not None
        params = dict(self.params) if self.labels is None else {"labels": self.labels}
        d_out = np.ones(()) if self.d_out is None else self.d_out
        return Trial(self.like, self.x, params, {key: key for key in params}, d_out, self.own)

    def of(self, truth: Array) -> "Context":
        """This context with `result` filled in, if need be by the shape of the right tensor."""
        if self.layer is None:
            return self
        if self.d_out is None:  # formulas that compute all results of a layer need one
            return replace(self, result="out", d_out=np.zeros(truth.shape))
        if self.result:
            return self
        arrays = self.params if self.x is None else {"x": self.x, **self.params}
        shapes = {key: array.shape for key, array in arrays.items()}
        result = next((key for key, shape in shapes.items() if shape == truth.shape), "x")
        return replace(self, result=result)


@dataclass(frozen=True)
class Wrong:
    """A tensor as it is and as it should be. `slack` is what rounding may change."""

    suspect: Array
    truth: Array
    slack: float

    def is_(self, expected: Array) -> bool:
        """Whether `expected` explains the tensor: what is left is small, also beside what was wrong."""
        if expected.shape != self.suspect.shape:
            return False
        if not np.isfinite(expected).all():
            return bool(np.array_equal(expected, self.suspect, equal_nan=True))
        if not np.isfinite(self.suspect).all():
            return False
        gap = float(np.abs(self.suspect - expected).max())
        largest = float(np.abs(expected).max())
        if self.suspect.shape == self.truth.shape:
            deviation = float(np.abs(self.suspect - self.truth).max())
            return gap <= min(FITS * largest, self.slack + 1e-6 * deviation, REMAINDER * deviation)
        return gap <= FITS * largest

    def fitted(self, base: Array, direction: Array) -> float | None:
        """The number c for which base + c * direction explains the tensor, if there is one."""
        if base.shape != self.suspect.shape or direction.shape != base.shape or base.size < FEW:
            return None
        size = float((direction * direction).sum())
        if not np.isfinite(size) or not size or not np.isfinite(self.suspect).all():
            return None
        number = float(((self.suspect - base) * direction).sum()) / size
        return number if self.is_(base + number * direction) else None


FEW = 4  # elements: a number that is fitted to fewer explains anything


def wrong(suspect: Array, truth: Array) -> Wrong:
    """The tensors, with the slack of one layer in float64."""
    return Wrong(suspect, truth, 2e-14 * float(np.abs(truth).max(initial=0)))


def with_number(row: Mistake, number: float) -> Mistake:
    """A mistake whose number is known."""
    direction = row.direction
    assert direction is not None
    return Mistake(
        row.words.format(c=f"{number:.6g}"), lambda trial: row.formula(trial) + number * direction(trial)
    )
