"""Is the hand-written backpropagation right? Compares named arrays; depends on no framework.

`case.py` defines what all implementations are given, `compare.py` how their traces are compared, `checks.py`
the kinds of checks, `localise.py` and `kernel_alone.py` how a fault is located, and `mutants` the known bugs.
`check` judges the tensors of another implementation, `check_layer` a single layer with NumPy
alone, and `check_sgd_step` an update.
`compare_module`, from `torch_ref.compare`, judges a PyTorch module.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy_vgg7.parity.judge import check
    from numpy_vgg7.parity.layer.check import check_layer
    from numpy_vgg7.parity.layer.report import Finding, LayerReport
    from numpy_vgg7.parity.layer.update import check_sgd_step

CONTROL_SEEDS = 500  # of `prove`
TEST_SECONDS = 60.0  # for one bug in `prove --tests`

__all__ = ["Finding", "LayerReport", "check", "check_layer", "check_sgd_step"]

_HOMES = {
    "check": "judge",
    "check_layer": "layer.check",
    "check_sgd_step": "layer.update",
    "Finding": "layer.report",
    "LayerReport": "layer.report",
}


def __getattr__(name: str) -> object:
    """Names are imported on first use, so that a part loads nothing else."""
    if name == "compare_module":  # needs PyTorch
        from torch_ref.compare import compare_module

        return compare_module
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"numpy_vgg7.parity.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
