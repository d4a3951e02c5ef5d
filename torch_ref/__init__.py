"""The same network in PyTorch: the reference of the parity tests.

It uses the names and configurations of numpy_vgg7, but none of its arithmetic.
"""

from torch_ref.model import TorchVGG7
from torch_ref.weights import from_torch, to_torch

__all__ = ["TorchVGG7", "from_torch", "to_torch"]
