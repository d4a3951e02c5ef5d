"""Weights as other programs save them, for tests."""

from pathlib import Path

import numpy as np
import torch

from numpy_vgg7 import VGG7Config
from numpy_vgg7.weights import Origin, import_weights

CASES = Path(__file__).parent / "weights_cases"
CONFIG = VGG7Config(image_size=8, channels=(2, 2, 4, 4), hidden=(6, 6))
LAYERS = ("conv1", "conv2", "conv3", "conv4", "fc5", "fc6", "fc7")


def state(model, dtype=torch.float32):
    return {name: torch.tensor(parameter).to(dtype) for name, parameter in model.params.items()}


def renamed(tensors, layers):
    new = dict(zip(LAYERS, layers, strict=True))
    return {f"{new[name.split('.')[0]]}.{name.split('.')[1]}": tensor for name, tensor in tensors.items()}


def prefixed(tensors, prefix):
    return {prefix + name: tensor for name, tensor in tensors.items()}


def imported(content, folder, **origin):
    torch.save(content, folder / "w.pt")
    return import_weights(folder / "w.pt", Origin(**origin))


def assert_same(found, model):
    assert found.config == model.config
    for name, parameter in model.params.items():
        assert np.array_equal(found.params[name], parameter), name
        assert found.params[name].dtype == parameter.dtype, name
