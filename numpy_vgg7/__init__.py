"""A VGG7 in NumPy with back propagation written by hand, and proved against PyTorch."""

from numpy_vgg7.errors import VGG7Error
from numpy_vgg7.vgg7 import VGG7, VGG7Config

__all__ = ["VGG7", "VGG7Config", "VGG7Error", "__version__"]


def __getattr__(name: str) -> str:
    """The version is looked up when somebody asks: that takes a quarter of the time of this import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("numpy-vgg7")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
