"""More references, for the values of the forward pass only."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import Layers
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.tolerances import FORWARD32, LANE64

IMAGES = 2  # of the batch: ONNX's evaluator takes its time, and the images of a batch are independent

BOUNDS = {"float64": LANE64, "float32": FORWARD32}


class ForwardReference(NamedTuple):
    """A program that computes the values of `value_names` for a model and images (N, 1, H, W) of a dtype."""

    program: str
    dtype: str
    values: Callable[[VGG7, Array], Arrays]


class ForwardResult(NamedTuple):
    """How far the worst value is from a reference, relative to the largest element of its tensor."""

    program: str
    dtype: str
    worst: str
    max_relative_error: float

    @property
    def bound(self) -> float:
        """The largest error that passes."""
        return BOUNDS[self.dtype]

    @property
    def passed(self) -> bool:
        """Whether it is within the bound; NaN is not."""
        return self.max_relative_error <= self.bound


def value_names(layers: Layers) -> list[str]:
    """The outputs of all layers, and the probabilities."""
    return [*(layer.name for layer in layers), "probs"]


def compare_forward(
    case: Case, product: VGG7, references: Iterable[ForwardReference]
) -> tuple[ForwardResult, ...]:
    """Compare the values of `product`, which should be the model of `case`, with those of each reference."""
    return tuple(_compare(case, product, reference) for reference in references)


def _compare(case: Case, product: VGG7, reference: ForwardReference) -> ForwardResult:
    right = replace(case, images=case.images[:IMAGES], labels=case.labels[:IMAGES]).astype(reference.dtype)
    model = replace(right, model=product).astype(reference.dtype).model
    ours, theirs = model.trace(right.images, right.labels), reference.values(right.model, right.images)
    errors = {name: _error(ours[name], theirs[name]) for name in value_names(product.layers)}
    worst = max(errors, key=lambda name: np.inf if np.isnan(errors[name]) else errors[name])
    return ForwardResult(reference.program, reference.dtype, worst, errors[worst])


def _error(found: Array, right: Array) -> float:
    if found.shape != right.shape or found.dtype != right.dtype:
        return np.inf
    return float(np.abs(found - right).max() / max(np.abs(right).max(), np.finfo(right.dtype).tiny))
