"""Judging one trace by another, tensor by tensor, in the order of computation."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays

TOLERANCE = 1e-12  # of the largest reference element; a correct float64 network stays below 2e-14


@dataclass(frozen=True)
class TensorResult:
    """One tensor's verdict. `note` says why it failed where that is not a matter of size."""

    name: str
    kind: str  # "value", "gradient" or "update"
    passed: bool
    max_relative_error: float  # max|a-b| / max|b|; infinite where no numbers could be compared
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


def compare(candidate: Arrays, reference: Arrays, tolerance: float = TOLERANCE) -> Comparison:
    """Hold every tensor of two traces against each other; names on one side only fail too."""
    unexpected = [name for name in candidate if name not in reference]
    results = [_judge(name, candidate.get(name), reference[name], tolerance) for name in reference]
    results += [_failure(name, "unexpected: the reference has no such tensor") for name in unexpected]
    return Comparison(tuple(results))


def _judge(name: str, a: Array | None, b: Array, tolerance: float) -> TensorResult:
    if a is None:
        return _failure(name, "missing")
    if a.shape != b.shape:
        return _failure(name, f"shape {a.shape}, reference {b.shape}")
    if a.dtype != b.dtype:
        return _failure(name, f"dtype {a.dtype}, reference {b.dtype}")
    for side, array in (("", a), ("reference ", b)):
        if not np.isfinite(array).all():
            return _failure(name, f"{side}not finite")
    largest = float(np.abs(b).max())
    if largest == 0 and kind_of(name) == "gradient":
        return _failure(name, "vacuous: the reference gradient is zero everywhere")
    difference = float(np.abs(a - b).max())
    error = difference / largest if largest else (np.inf if difference else 0.0)
    return TensorResult(name, kind_of(name), error <= tolerance, error)


def _failure(name: str, note: str) -> TensorResult:
    return TensorResult(name, kind_of(name), False, np.inf, note)
