"""Each layer of the definition alone, with random upstream gradients, against PyTorch's autograd."""

import numpy as np
import pytest
import torch
from torch import nn

from numpy_vgg7.functional import cross_entropy, cross_entropy_backward, softmax
from numpy_vgg7.network import ACTIVATIONS, Activation, AvgPool2d, Conv2d, Flatten, Linear
from parity_tests.agreement import assert_agrees
from torch_ref.model import ACTIVATIONS as TORCH_ACTIVATIONS

# (batch, in channels, out channels, height, width, groups); the first half pairwise different.
CONVOLUTIONS = [
    (5, 2, 3, 7, 9, 1),
    (1, 3, 4, 6, 8, 1),
    (3, 4, 6, 8, 10, 2),
    (7, 6, 4, 5, 9, 2),
    (4, 4, 4, 4, 4, 1),
    (4, 4, 4, 4, 4, 2),
    (4, 4, 4, 4, 4, 4),
    (1, 1, 1, 1, 1, 1),
]


def check(layer, module, x, seed=0):
    """Forward and backward of one layer and its PyTorch twin on one input."""
    rng = np.random.default_rng(seed)
    params = {key: rng.standard_normal(shape) for key, shape in layer.shapes().items()}
    module.load_state_dict({key: torch.tensor(value) for key, value in params.items()})
    given = x.copy()
    out = layer.forward(params, x)
    tensor = torch.tensor(x, requires_grad=True)
    reference = module(tensor)
    assert_agrees(out, reference.detach().numpy(), "out")
    d_out = rng.standard_normal(out.shape)
    kept = d_out.copy()
    d_x, gradients = layer.backward(params, x, out, d_out)
    reference.backward(torch.tensor(d_out))
    assert_agrees(d_x, tensor.grad.numpy(), "d_x")
    assert gradients.keys() >= params.keys()
    for key, parameter in module.named_parameters():
        assert_agrees(gradients[key], parameter.grad.numpy(), f"d_{key}")
    assert np.array_equal(d_out, kept), "backward changed its caller's gradient"
    assert np.array_equal(x, given), "the input was changed"


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("dimensions", CONVOLUTIONS, ids=str)
def test_convolution_agrees_with_pytorch(dimensions, bias):
    n, inputs, outputs, height, width, groups = dimensions
    layer = Conv2d("conv", inputs, outputs, groups, bias)
    module = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=bias)
    check(layer, module, np.random.default_rng(1).standard_normal((n, inputs, height, width)))


@pytest.mark.parametrize("shape", [(3, 2, 4, 6), (1, 5, 8, 2), (5, 1, 2, 4), (4, 4, 4, 4)], ids=str)
def test_average_pooling_agrees_with_pytorch(shape):
    check(AvgPool2d("pool"), nn.AvgPool2d(2), np.random.default_rng(1).standard_normal(shape))


@pytest.mark.parametrize("shape", [(3, 2, 4, 5), (1, 3, 2, 4), (3, 3, 3, 3)], ids=str)
def test_flatten_agrees_with_pytorch(shape):
    check(Flatten("flatten"), nn.Flatten(), np.random.default_rng(1).standard_normal(shape))


def test_flatten_reads_channel_major_memory_in_c_order():
    x = np.random.default_rng(1).standard_normal((4, 3, 2, 5)).swapaxes(0, 1)
    check(Flatten("flatten"), nn.Flatten(), x)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("dimensions", [(3, 5, 7), (1, 4, 2), (5, 2, 9), (4, 4, 4)], ids=str)
def test_linear_agrees_with_pytorch(dimensions, bias):
    n, inputs, outputs = dimensions
    x = np.random.default_rng(1).standard_normal((n, inputs))
    check(Linear("fc", inputs, outputs, bias), nn.Linear(inputs, outputs, bias=bias), x)


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(3, 5), (5, 2, 3, 4), (1, 1)], ids=str)
def test_activation_agrees_with_pytorch(name, shape):
    x = np.abs(np.random.default_rng(1).standard_normal(shape)) * 3
    x.flat[1::3] *= -1
    check(Activation("act", name), TORCH_ACTIVATIONS[name](), x)


def test_relu_at_exactly_zero_passes_no_gradient_as_in_pytorch():
    x = np.array([[0.0, -0.0, 1.0, -1.0]])
    check(Activation("relu", "relu"), nn.ReLU(), x)


@pytest.mark.parametrize("shape", [(1, 10), (7, 3), (5, 5)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["usual logits", "large logits"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9], ids=lambda smoothing: f"smoothing {smoothing}")
def test_softmax_and_cross_entropy_agree_with_pytorch(shape, scale, smoothing):
    rng = np.random.default_rng(2)
    logits, labels = rng.standard_normal(shape) * scale, rng.integers(shape[1], size=shape[0])
    tensor = torch.tensor(logits, requires_grad=True)
    reference = nn.functional.cross_entropy(tensor, torch.tensor(labels), label_smoothing=smoothing)
    reference.backward()
    probs = softmax(logits)
    assert_agrees(probs, torch.softmax(tensor, 1).detach().numpy(), "probs")
    assert_agrees(cross_entropy(logits, labels, smoothing), reference.detach().numpy(), "loss")
    d_logits = cross_entropy_backward(probs, labels, smoothing=smoothing)
    assert_agrees(d_logits, tensor.grad.numpy(), "d_logits")
