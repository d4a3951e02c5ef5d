"""A VGG7 in NumPy with back propagation written by hand, and proved against PyTorch."""

from importlib.metadata import version

from numpy_vgg7.errors import VGG7Error
from numpy_vgg7.vgg7 import VGG7, VGG7Config

__all__ = ["VGG7", "VGG7Config", "VGG7Error", "__version__"]

__version__ = version("numpy-vgg7")
