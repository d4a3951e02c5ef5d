"""The reference is PyTorch: where it is missing, these tests fail.

`--fuzz N` draws N more random architectures.
"""

import os

import torch

torch.set_default_dtype(torch.float64)


def pytest_configure(config):
    """Hand the number to the module that decorates its tests with it."""
    os.environ["NUMPY_VGG7_FUZZ"] = str(config.getoption("--fuzz", 0))
