"""`compare_module` compares the user's own PyTorch module with weights, and names the layer that differs."""

import pytest
import torch
from torch import nn

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.parity import compare_module
from numpy_vgg7.parity.case import random_model
from torch_ref import to_torch

CONFIG = VGG7Config(image_size=8, channels=(2, 3, 4, 6), hidden=(8, 7), classes=5)


def sequential(model, pool=nn.AvgPool2d):
    """A VGG7 without names, with ReLU in place."""
    convs = [nn.Conv2d(i, o, 3, padding=1) for i, o in ((1, 2), (2, 3), (3, 4), (4, 6))]
    linears = [nn.Linear(i, o) for i, o in ((24, 8), (8, 7), (7, 5))]
    module = nn.Sequential(
        convs[0], nn.ReLU(inplace=True), convs[1], nn.ReLU(inplace=True), pool(2),
        convs[2], nn.ReLU(inplace=True), convs[3], nn.ReLU(inplace=True), pool(2),
        nn.Flatten(), linears[0], nn.Tanh(), linears[1], nn.Tanh(), linears[2],
    )  # fmt: skip
    for target, source in zip(module.parameters(), model.params.values(), strict=True):
        target.data = torch.tensor(source)
    return module


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG, 3, "float32")


def test_a_module_with_the_same_function_passes(model, tmp_path):
    model.save(tmp_path / "w.safetensors")
    module = sequential(model)
    for weights in (model, tmp_path / "w.safetensors"):
        report = compare_module(module, weights)
        assert report.passed, report.diagnosis
        names = {tensor.name for tensor in report.comparison.tensors}
        assert {"conv1", "conv1.grad", "conv1.weight.grad", "fc7", "logits", "loss", "input.grad"} <= names
    assert next(module.parameters()).dtype == torch.float32
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_module_with_other_weights_fails_at_them(model):
    module = sequential(model)
    module[5].weight.data[0, 0, 1, 1] += 1e-3
    report = compare_module(module, model)
    assert not report.passed
    assert report.comparison.first_divergence in ("conv3.weight", "conv3")


def test_a_module_with_max_pooling_fails_behind_the_pool(model):
    report = compare_module(sequential(model, nn.MaxPool2d), model)
    assert not report.passed
    assert report.comparison.first_divergence == "conv3"


def test_modules_that_cannot_be_compared_are_refused(model):
    with pytest.raises(VGG7Error, match="probabilities"):
        compare_module(nn.Sequential(*sequential(model), nn.Softmax(dim=1)), model)
    with pytest.raises(VGG7Error, match="recognized as conv1"):
        compare_module(nn.Linear(2, 2), model)
    with pytest.raises(VGG7Error, match=r"nn\.Module"):
        compare_module(model, model)
    with pytest.raises(VGG7Error, match="no batch normalization"):
        compare_module(nn.Sequential(nn.BatchNorm2d(1), *sequential(model)), model)
    with pytest.raises(VGG7Error, match=r"logits of shape \(5, 5\), found \(5, 2\)"):
        compare_module(nn.Sequential(*sequential(model), nn.AvgPool1d(2)), model)


def test_the_mirror_passes(model):
    assert compare_module(to_torch(model), model).passed
