"""A training agrees with PyTorch's after every step, and its parts are right.

`test_prove.py` puts bugs into them.
"""

import pytest
import torch
from torch import nn

from numpy_vgg7 import VGG7Config
from numpy_vgg7.optim import SCHEDULES, SGD
from numpy_vgg7.parity.case import random_case, random_model
from numpy_vgg7.parity.training_check import TRAININGS, trajectory_faults
from numpy_vgg7.parity.training_parts import PARTS
from tests.commands import python
from torch_ref.training import SCHEDULERS, optimizer, train_batches, train_steps
from torch_ref.weights import to_torch


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the networks are tiny
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", TRAININGS, ids=lambda case: case.config.schedule)
def test_a_training_agrees_with_pytorch_after_every_step(case):
    assert list(trajectory_faults(case, train_batches)) == []


def test_the_trainings_use_every_setting():
    configs = [case.config for case in TRAININGS]
    assert {config.schedule for config in configs} == set(SCHEDULES) == set(SCHEDULERS)
    for name in (
        "nesterov",
        "decay_biases",
        "label_smoothing",
        "clip_norm",
        "average",
        "augment",
        "momentum",
    ):
        assert len({getattr(config, name) for config in configs}) > 1, name
    assert {case.threads for case in TRAININGS} == {1, 2}
    assert any(case.resumed_after for case in TRAININGS)


@pytest.mark.parametrize("name", PARTS)
def test_a_part_of_the_training_is_right(name):
    assert list(PARTS[name]()) == []


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 40, 1000])
def test_a_schedule_agrees_with_pytorchs_schedulers(name, steps):
    sgd = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    scheduler = SCHEDULERS[name](sgd, steps)
    for step in range(steps):
        assert SCHEDULES[name](step, steps) == pytest.approx(sgd.param_groups[0]["lr"], abs=1e-12)
        sgd.step()
        scheduler.step()


@pytest.mark.parametrize(
    "sgd",
    [SGD(0.02, 0.05), SGD(0.02, 0.05, 0.9, 0.01), SGD(0.02, 0.05, 0.9, 0.01, True, False)],
    ids=["plain", "momentum", "Nesterov"],
)
def test_steps_on_one_batch_are_those_of_pytorchs_class_to_the_bit(sgd):
    case = random_case(random_model(VGG7Config.preset("vgg7", image_size=8), 0), 3, 0)
    images, labels = torch.tensor(case.images), torch.tensor(case.labels)
    found = train_steps(to_torch(case.model), images, labels, sgd, (1, 3))
    module = to_torch(case.model)
    theirs = optimizer(module, sgd)
    for step in range(1, 4):
        theirs.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()
        theirs.step()
        for name, parameter in module.named_parameters() if step in found else ():
            assert torch.equal(found[step][name], parameter), (step, name)


def test_the_reference_trace_leaves_the_compiler_of_pytorch_unloaded():
    code = """import sys
from numpy_vgg7 import VGG7Config
from numpy_vgg7.parity.case import random_case, random_model
from torch_ref.trace import trace
trace(random_case(random_model(VGG7Config.preset("vgg7", image_size=8), 0), 1, 0))
assert "torch._dynamo" not in sys.modules
"""
    done = python("-c", code)
    assert done.code == 0, done.stderr
