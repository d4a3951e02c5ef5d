"""A thousand steps of SGD, by the engine, end where PyTorch's do."""

import numpy as np
import torch

from numpy_vgg7 import VGG7Config
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.case import random_case, random_model
from numpy_vgg7.parity.tolerances import TRAJECTORY64
from torch_ref import to_torch
from torch_ref.training import train_steps

STEPS = 1000
RATES = SGD(lr_conv=0.001, lr_fc=0.003)
CONFIG = VGG7Config(image_size=8, channels=(3, 4, 5, 6), hidden=(12, 9))


def ours(case):
    """The parameters after all steps, NumPy."""
    velocity = RATES.init(case.model.params)
    for _ in range(STEPS):
        case.model.train_step(case.images, case.labels, RATES, velocity)
    return case.model.params


def theirs(case):
    """The parameters after all steps, PyTorch."""
    images, labels = torch.tensor(case.images), torch.tensor(case.labels)
    seen = train_steps(to_torch(case.model), images, labels, RATES, (STEPS,))
    return {name: tensor.numpy() for name, tensor in seen[STEPS].items()}


def distance(a, b):
    """Largest difference of any parameter, relative to its largest element."""
    return max(float(np.abs(a[name] - b[name]).max() / np.abs(b[name]).max()) for name in b)


def test_a_thousand_float64_steps_end_at_pytorchs_parameters():
    case = random_case(random_model(CONFIG, 1), 7, 1)
    start = {name: parameter.copy() for name, parameter in case.model.params.items()}
    reference = theirs(case)
    assert distance(start, reference) > 0.01, "nothing was learned: the comparison would be empty"
    assert distance(ours(case), reference) <= TRAJECTORY64


def test_a_thousand_float32_steps_drift_no_further_than_a_twin_that_starts_one_ulp_away():
    case = random_case(random_model(CONFIG, 1, "float32"), 7, 1)
    twin = case.copy()
    for parameter in twin.model.params.values():
        parameter[...] = np.nextafter(parameter, np.float32(np.inf))
    reference = theirs(case)
    drift = distance(ours(twin), ours(case))
    assert distance(case.model.params, reference) <= 100 * drift
