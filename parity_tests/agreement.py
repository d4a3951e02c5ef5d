"""Comparing two arrays."""

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.parity.tolerances import LANE64


def assert_agrees(ours: Array, reference: Array, name: str) -> None:
    """Fail unless `ours` is `reference` to 1e-12 of its largest element."""
    assert ours.shape == reference.shape, f"{name}: shape {ours.shape}, PyTorch's {reference.shape}"
    assert ours.dtype == reference.dtype, f"{name}: dtype {ours.dtype}, PyTorch's {reference.dtype}"
    largest = np.abs(reference).max()
    assert largest > 0, f"{name}: PyTorch's is zero everywhere, so that agreement means nothing"
    worst = np.abs(ours - reference).max() / largest
    assert worst <= LANE64, f"{name}: off by {worst:.1e} of its largest element"
