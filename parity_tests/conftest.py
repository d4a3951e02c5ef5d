"""The referee is PyTorch: where it is missing, these tests fail."""

import torch

torch.set_default_dtype(torch.float64)
