"""The float64 check: one trace compared with another, tensor by tensor, in the order of computation."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.parity.tolerances import ELEMENT64, ELEMENT64_FLOOR, LANE64


@dataclass(frozen=True)
class TensorResult:
    """One tensor's verdict. `note` says why it failed where that is not a matter of size."""

    name: str
    kind: str  # "value", "gradient" or "update"
    passed: bool
    max_relative_error: float  # max|a-b| / max|b|; infinite where no numbers could be compared
    outside: int = 0  # elements out of bounds
    worst: str = ""  # the place of the largest error, with both values
    note: str = ""


@dataclass(frozen=True)
class Comparison:
    """The verdict on a trace, tensors in the order of computation."""

    tensors: tuple[TensorResult, ...]

    @property
    def passed(self) -> bool:
        """Whether every tensor passed, and there were any."""
        return bool(self.tensors) and all(tensor.passed for tensor in self.tensors)

    @property
    def first_divergence(self) -> str | None:
        """The first tensor that failed: values forward, then gradients backward, then updates."""
        return next((tensor.name for tensor in self.tensors if not tensor.passed), None)

    @property
    def max_relative_error(self) -> float:
        """The worst of all tensors."""
        return max((tensor.max_relative_error for tensor in self.tensors), default=np.inf)


def kind_of(name: str) -> str:
    """The kind of a tensor by its name."""
    if name.endswith(".grad"):
        return "gradient"
    return "update" if ".step" in name else "value"


def compare(
    candidate: Arrays, reference: Arrays, tolerance: float = LANE64, element: float = ELEMENT64
) -> Comparison:
    """Compare every tensor of two traces. A name that only one of them has fails."""
    unexpected = [name for name in candidate if name not in reference]
    results = [judge(name, candidate.get(name), reference[name], tolerance, element) for name in reference]
    results += [_failure(name, "unexpected: the reference has no such tensor") for name in unexpected]
    return Comparison(tuple(results))


def judge(
    name: str, a: Array | None, b: Array, tolerance: float = LANE64, element: float = ELEMENT64
) -> TensorResult:
    """The verdict on one tensor `a`, given the reference `b`.

    An error may be `tolerance` times the largest reference element, and `element` times the element itself
    where that is not small. Shape, dtype and finiteness must agree before any number is compared. A gradient
    that is zero everywhere in the reference proves nothing, and fails, and so does a tensor without elements.
    """
    if a is None:
        return _failure(name, "missing")
    if a.shape != b.shape:
        return _failure(name, f"shape {a.shape}, reference {b.shape}")
    if a.dtype != b.dtype:
        return _failure(name, f"dtype {a.dtype}, reference {b.dtype}")
    if not b.size:
        return _failure(name, "empty: there are no elements to compare")
    for side, array in (("", a), ("reference ", b)):
        if not np.isfinite(array).all():
            return _failure(name, f"{side}not finite")
    size, difference = np.abs(b), np.abs(a - b)
    largest = float(size.max())
    if largest == 0 and kind_of(name) == "gradient":
        return _failure(name, "vacuous: the reference gradient is zero everywhere")
    bound = np.where(
        size > ELEMENT64_FLOOR * largest,
        np.minimum(tolerance * largest, element * size),
        tolerance * largest,
    )
    outside = int((difference > bound).sum())
    index = tuple(int(i) for i in np.unravel_index(difference.argmax(), difference.shape))
    worst = f"{list(index)}: {float(a[index])!r}, reference {float(b[index])!r}"
    error = float(difference.max()) / largest if largest else (np.inf if outside else 0.0)
    return TensorResult(name, kind_of(name), outside == 0, error, outside, worst)


def _failure(name: str, note: str) -> TensorResult:
    return TensorResult(name, kind_of(name), False, np.inf, note=note)
