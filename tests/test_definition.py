"""The definition: `functional.py`, `network.py` and `optim.py` are a complete VGG7 without the engine."""

import re

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.data import load
from numpy_vgg7.optim import SGD, one_cycle
from tests.commands import ROOT, python

FILES = [ROOT / "numpy_vgg7" / name for name in ("functional.py", "network.py", "optim.py")]
STEPS, BATCH_SIZE = 100, 16
OPTIMIZERS = {
    "plain": SGD(lr_conv=0.05, lr_fc=0.02),
    "momentum": SGD(lr_conv=0.01, lr_fc=0.02, momentum=0.9),
    "Nesterov and weight decay": SGD(
        lr_conv=0.02, lr_fc=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True
    ),
}

# Trains with the three files alone. Any other module of the package cannot be imported.
TRAIN = """
import sys

DEFINITION = {"numpy_vgg7.functional", "numpy_vgg7.network", "numpy_vgg7.optim"}

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("numpy_vgg7.") and name not in DEFINITION:
            raise ImportError(f"the definition imports {name}")

sys.meta_path.insert(0, Blocker())

import numpy as np
from numpy_vgg7 import network, optim

digits_file, result_file, batch_size, steps, sgd = sys.argv[1:]
digits, batch_size, steps = np.load(digits_file), int(batch_size), int(steps)
sgd = eval(sgd, {"SGD": optim.SGD})
layers = network.vgg7(image_size=8)
params = network.initial_params(layers, seed=0, dtype="float64")
velocity, groups = sgd.init(params), network.parameter_groups(layers)
for step in range(steps):
    batch = slice(step * batch_size, (step + 1) * batch_size)
    images, labels = digits["images"][batch], digits["labels"][batch]
    _, gradients = network.loss_and_gradients(layers, params, images, labels)
    sgd.step(params, gradients, velocity, groups, optim.one_cycle(step, steps))
np.savez(result_file, **params)
"""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_definition_says_nothing_about_memory_or_the_engine(path):
    text = path.read_text()
    for pattern in (r"\bout=", "workspace", "engine"):
        found = re.search(pattern, text, re.IGNORECASE)
        assert not found, f"{path.name} contains {found[0]!r} at character {found.start()}"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_it_trains_alone_to_the_parameters_of_the_engine(tmp_path, optimizer):
    sgd, digits = OPTIMIZERS[optimizer], load("digits", 10)
    images = digits.images.astype("float64")
    np.savez(tmp_path / "digits.npz", images=images, labels=digits.labels)
    result = python(
        "-c", TRAIN, tmp_path / "digits.npz", tmp_path / "params.npz", BATCH_SIZE, STEPS, repr(sgd)
    )
    assert result.code == 0, result.stderr
    alone = np.load(tmp_path / "params.npz")

    model = VGG7(VGG7Config.preset("vgg7", image_size=8), seed=0, dtype="float64")
    initial = {name: parameter.copy() for name, parameter in model.params.items()}
    velocity = sgd.init(model.params)
    for step in range(STEPS):
        batch = slice(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
        model.train_step(images[batch], digits.labels[batch], sgd, velocity, one_cycle(step, STEPS))
    for name, parameter in model.params.items():
        assert np.abs(parameter - initial[name]).max() > 1e-4, f"the training did not change {name}"
        difference = np.abs(parameter - alone[name]).max()
        assert difference < 1e-10, f"{name}: engine and definition differ by {difference:.1e}"
