"""The same network in PyTorch: the referee.

It takes names and configuration from numpy_vgg7, and no arithmetic.
"""

from torch_ref.model import TorchVGG7
from torch_ref.weights import from_torch, to_torch

__all__ = ["TorchVGG7", "from_torch", "to_torch"]
