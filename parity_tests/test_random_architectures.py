"""Random architectures: the whole trace against PyTorch, whatever the network looks like."""

import os
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from numpy_vgg7.nn.activations import Tanh

from numpy_vgg7 import VGG7Config
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.parity.case import product_trace, random_case, random_model
from numpy_vgg7.parity.compare import compare
from numpy_vgg7.parity.complex_step import complex_step
from torch_ref.trace import trace as torch_trace

EXAMPLES = 200 + int(os.environ.get("NUMPY_VGG7_FUZZ", "0"))


@st.composite
def configs(draw):
    """Any network of up to 8 channels; groups are drawn among the common divisors."""
    channels = tuple(draw(st.integers(1, 8)) for _ in range(4))
    pairs = zip((1, *channels), channels, strict=False)
    groups = tuple(
        draw(st.sampled_from([g for g in range(1, 9) if a % g == 0 and b % g == 0])) for a, b in pairs
    )
    return VGG7Config(
        image_size=4 * draw(st.integers(1, 4)),
        classes=draw(st.integers(2, 12)),
        channels=channels,
        groups=groups,
        hidden=(draw(st.integers(1, 12)), draw(st.integers(1, 12))),
        activations=tuple(draw(st.sampled_from(sorted(ACTIVATIONS))) for _ in range(7)),
        bias=draw(st.booleans()),
    )


def saturated(case):
    """Whether all units of some tanh layer are so far out that 1 - tanh^2 has lost its digits itself."""
    trace = case.model.trace(case.images, case.labels)
    slopes = [1 - (trace[layer.name] ** 2).min() for layer in case.model.layers if isinstance(layer, Tanh)]
    return min(slopes, default=1.0) < 1e-2


def complaint(comparison):
    return [tensor for tensor in comparison.tensors if not tensor.passed][:3]


def alive(comparison):
    """Tensors that failed for another reason than being zero on both sides (a dead small network)."""
    return [t for t in comparison.tensors if not t.passed and not t.note.startswith("vacuous")]


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(config=configs(), batch=st.integers(1, 7), seed=st.integers(0, 10_000), black=st.booleans())
def test_every_tensor_of_a_random_architecture_agrees_with_pytorch(config, batch, seed, black):
    case = random_case(random_model(config, seed), batch, seed)
    if black:
        images = case.images.copy()
        images[:, :, ::2] = 0
        case = replace(case, images=images)
    assume(not saturated(case))
    ours, reference = product_trace(case), torch_trace(case)
    comparison = compare(ours, reference)
    assert not alive(comparison), complaint(comparison)
    for tensor in comparison.tensors:
        if tensor.note.startswith("vacuous"):
            assert not ours[tensor.name].any(), f"{tensor.name} is not zero where PyTorch's is"


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(config=configs(), batch=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_gradients_of_a_random_architecture_agree_with_the_complex_step(config, batch, seed):
    case = random_case(random_model(config, seed), batch, seed)
    assume(not saturated(case))
    for checked in complex_step(case, seed):
        gradient = case.model.forward_backward(case.images, case.labels).gradients[checked.name]
        assert checked.passed or np.abs(gradient).max() < 1e-200, checked
