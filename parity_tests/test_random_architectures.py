"""Random architectures: the definition against PyTorch, the engine against the definition."""

import os
from dataclasses import replace

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from numpy_vgg7 import VGG7Config
from numpy_vgg7.network import ACTIVATIONS, Activation
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.case import definition_trace, random_case, random_model
from numpy_vgg7.parity.compare import compare
from numpy_vgg7.parity.complex_step import complex_step
from numpy_vgg7.parity.engine_check import EngineCase, engine_mismatches
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
    layers = [layer for layer in case.model.layers if layer == Activation(layer.name, "tanh")]
    return min((1 - (trace[layer.name] ** 2).min() for layer in layers), default=1.0) < 1e-2


def complaint(comparison):
    return [tensor for tensor in comparison.tensors if not tensor.passed][:3]


def alive(comparison):
    """Tensors that failed for another reason than being zero on both sides (a dead small network)."""
    return [t for t in comparison.tensors if not t.passed and not t.note.startswith("vacuous")]


def random_architecture(config, batch, seed, black):
    """A case, of which every other row of pixels may be black."""
    case = random_case(random_model(config, seed), batch, seed)
    if black:
        images = case.images.copy()
        images[:, :, ::2] = 0
        case = replace(case, images=images)
    return case


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(config=configs(), batch=st.integers(1, 7), seed=st.integers(0, 10_000), black=st.booleans())
def test_every_tensor_of_a_random_architecture_agrees_with_pytorch(config, batch, seed, black):
    case = random_architecture(config, batch, seed, black)
    assume(not saturated(case))
    ours, reference = definition_trace(case), torch_trace(case)
    comparison = compare(ours, reference)
    assert not alive(comparison), complaint(comparison)
    for tensor in comparison.tensors:
        if tensor.note.startswith("vacuous"):
            assert not ours[tensor.name].any(), f"{tensor.name} is not zero where PyTorch's is"


@st.composite
def optimizers(draw):
    """Any kind of SGD, with small learning rates."""
    momentum = draw(st.sampled_from([0.0, 0.9]))
    decay = draw(st.sampled_from([0.0, 0.01]))
    return SGD(0.002, 0.005, momentum, decay, nesterov=momentum > 0 and draw(st.booleans()))


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    config=configs(),
    batch=st.sampled_from([1, 2, 3, 5, 7]),
    seed=st.integers(0, 10_000),
    black=st.booleans(),
    sgd=optimizers(),
    threads=st.sampled_from([1, 2]),
    images_per_shard=st.sampled_from([None, 1, 2]),
    fortran_order=st.booleans(),
)
def test_the_engine_agrees_with_the_definition(
    config, batch, seed, black, sgd, threads, images_per_shard, fortran_order
):
    case = random_architecture(config, batch, seed, black)
    assume(not saturated(case))
    found = list(engine_mismatches([EngineCase(case, sgd, threads, images_per_shard, fortran_order)]))
    assert not found, f"{found[0]}; {len(found)} tensors"


@settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(config=configs(), batch=st.sampled_from([64, 300]), seed=st.integers(0, 10_000), sgd=optimizers())
def test_the_engine_agrees_with_the_definition_in_large_batches(config, batch, seed, sgd):
    case = random_architecture(config, batch, seed, black=False)
    assume(not saturated(case))
    for threads, images_per_shard in ((1, None), (1, 50), (2, None), (2, 21)):
        found = list(engine_mismatches([EngineCase(case, sgd, threads, images_per_shard)]))
        assert not found, f"{threads} threads: {found[0]}; {len(found)} tensors"


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(config=configs(), batch=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_gradients_of_a_random_architecture_agree_with_the_complex_step(config, batch, seed):
    case = random_case(random_model(config, seed), batch, seed)
    assume(not saturated(case))
    trace = definition_trace(case)
    for checked in complex_step(case, trace, seed):
        assert checked.passed or np.abs(trace[f"{checked.name}.grad"]).max() < 1e-200, checked
