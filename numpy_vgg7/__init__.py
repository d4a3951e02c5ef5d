"""A VGG7 in pure NumPy with hand-written backpropagation, verified tensor by tensor against PyTorch."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy_vgg7.config import VGG7Config
    from numpy_vgg7.errors import VGG7Error
    from numpy_vgg7.estimator import VGG7Classifier
    from numpy_vgg7.model import VGG7

__all__ = ["VGG7", "VGG7Classifier", "VGG7Config", "VGG7Error", "__version__"]

_HOMES = {
    "VGG7": "model",
    "VGG7Classifier": "estimator",
    "VGG7Config": "config",
    "VGG7Error": "errors",
}


def __getattr__(name: str) -> object:
    """Names are imported on first use, so that `functional`, `network` and `optim` load nothing else."""
    if name == "__version__":
        from importlib.metadata import version

        return version("numpy-vgg7")
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(f"numpy_vgg7.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
