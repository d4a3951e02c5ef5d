"""The whole network: every value, gradient and update of definition and engine, for every preset."""

import pytest
import torch

from numpy_vgg7 import VGG7Config
from numpy_vgg7.config import PRESETS
from numpy_vgg7.engine.plan import BatchPlan
from numpy_vgg7.network import loss_and_gradients
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.case import definition_trace, product_trace, random_case, random_model
from numpy_vgg7.parity.compare import compare
from numpy_vgg7.parity.engine_check import EngineCase, engine_mismatches
from torch_ref import to_torch
from torch_ref.trace import trace as torch_trace
from torch_ref.training import train_steps


def complaint(comparison):
    """The tensors that failed."""
    failed = [tensor for tensor in comparison.tensors if not tensor.passed]
    return f"first divergence {comparison.first_divergence}; {failed}"


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize("image_size", [8, 28])
@pytest.mark.parametrize("preset", PRESETS)
def test_every_tensor_of_a_preset_agrees_with_pytorch(preset, image_size, batch_size):
    model = random_model(VGG7Config.preset(preset, image_size=image_size), seed=3)
    case = random_case(model, batch_size, seed=4)
    reference = torch_trace(case)
    for trace in (definition_trace, product_trace):
        comparison = compare(trace(case), reference)
        assert comparison.passed, f"{trace.__name__}: {complaint(comparison)}"


def test_every_tensor_agrees_with_other_activations_groups_and_classes():
    config = VGG7Config(
        image_size=12,
        classes=3,
        channels=(4, 6, 8, 4),
        groups=(1, 2, 2, 4),
        hidden=(7, 5),
        activations=("tanh", "arctan", "identity", "relu", "relu", "arctan", "tanh"),
    )
    case = random_case(random_model(config, seed=1), 3, seed=2)
    for trace in (definition_trace, product_trace):
        comparison = compare(trace(case), torch_trace(case))
        assert comparison.passed, f"{trace.__name__}: {complaint(comparison)}"


def test_the_trace_has_every_activation_gradient_and_update():
    case = random_case(random_model(VGG7Config.preset("vgg7", image_size=8), 0), 2, 0)
    trace = product_trace(case)
    names = "input conv1 act1 conv2 act2 pool2 conv3 act3 conv4 act4 pool4 flatten"
    activations = [*names.split(), "fc5", "act5", "fc6", "act6", "fc7", "logits"]
    assert set(activations) | {"probs", "loss"} <= trace.keys()
    assert {f"{name}.grad" for name in activations} <= trace.keys()
    for name in case.model.params:
        assert {name, f"{name}.grad", f"{name}.step1", f"{name}.step10"} <= trace.keys()
    assert len(trace) == 94
    assert list(trace) == list(definition_trace(case)) == list(torch_trace(case)), "names or order differ"


@pytest.mark.parametrize("name", ["conv1.weight", "conv3.bias", "conv4.weight", "fc5.weight", "fc7.bias"])
def test_one_weight_off_by_a_millionth_is_found_and_named(name):
    case = random_case(random_model(VGG7Config.preset("vgg7", image_size=8), 0), 3, 0)
    reference = torch_trace(case)
    case.model.params[name].flat[-1] += 1e-6
    comparison = compare(product_trace(case), reference)
    assert not comparison.passed
    assert comparison.first_divergence == name


@pytest.mark.parametrize(
    "settings",
    [
        SGD(0.01, 0.03),
        SGD(0.01, 0.03, momentum=0.9),
        SGD(0.01, 0.03, momentum=0.9, weight_decay=0.01, nesterov=True),
        SGD(0.01, 0.03, momentum=0.9, weight_decay=0.1, decay_biases=False),
        SGD(0.01, 0.03, clip_norm=0.5),
    ],
    ids=["plain", "momentum", "Nesterov with weight decay", "decay of weights only", "clipped"],
)
def test_ten_steps_end_at_the_parameters_of_pytorchs_sgd(settings):
    case = random_case(random_model(VGG7Config.preset("vgg7", image_size=8), 5), 7, 6)
    module = to_torch(case.model)
    seen = train_steps(module, torch.tensor(case.images), torch.tensor(case.labels), settings, (10,))
    reference = {name: tensor.numpy() for name, tensor in seen[10].items()}
    model, velocity = case.copy().model, settings.init(case.model.params)
    for _ in range(10):
        _, gradients = loss_and_gradients(model.layers, model.params, case.images, case.labels)
        settings.step(model.params, gradients, velocity, model.parameter_groups)
    comparison = compare(model.params, reference)
    assert comparison.passed, f"definition: {complaint(comparison)}"
    model, velocity = case.model, settings.init(case.model.params)
    for _ in range(10):
        model.train_step(case.images, case.labels, settings, velocity)
    comparison = compare(model.params, reference)
    assert comparison.passed, f"engine: {complaint(comparison)}"


@pytest.mark.parametrize("images_per_shard", [None, 1, 2], ids=["as it ships", "shards of 1", "shards of 2"])
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 23])
@pytest.mark.parametrize("preset", PRESETS)
def test_the_engine_agrees_with_the_definition_in_any_split(preset, batch_size, threads, images_per_shard):
    case = random_case(random_model(VGG7Config.preset(preset, image_size=8), 5), batch_size, 6)
    sgd = SGD(0.002, 0.005, momentum=0.9, weight_decay=0.01)
    found = list(engine_mismatches([EngineCase(case, sgd, threads, images_per_shard)]))
    assert not found, f"{found[0]}; {len(found)} tensors"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_size", [64, 300])
def test_the_engine_agrees_with_the_definition_in_large_batches(batch_size, threads):
    config = VGG7Config(image_size=28 if batch_size == 64 else 12, channels=(8, 6, 4, 4), hidden=(128, 64))
    case = random_case(random_model(config, 5), batch_size, 6)
    plan = BatchPlan(case.model.layers, case.model.params, case.images.shape, threads, training=True)
    assert len(plan.features) == threads, "the batch is too small to be shared by the threads"
    assert threads > 1 or len(plan.features[0].parts) > 1, "the batch is too small for several shards"
    found = list(engine_mismatches([EngineCase(case, SGD(0.002, 0.005, momentum=0.9), threads)]))
    assert not found, f"{found[0]}; {len(found)} tensors"
