"""Weights are converted to PyTorch and back losslessly, and give the same predictions there."""

import json
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7.config import PRESETS
from numpy_vgg7.data import load, split
from numpy_vgg7.parity.case import random_model
from tests.commands import numpy_vgg7
from torch_ref import from_torch, to_torch


class Stock(nn.Module):
    """The preset `vgg7` for 8x8 images as any PyTorch user would write it."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 3, padding=1)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1)
        self.conv3 = nn.Conv2d(16, 32, 3, padding=1)
        self.conv4 = nn.Conv2d(32, 32, 3, padding=1)
        self.fc5 = nn.Linear(32 * 2 * 2, 256)
        self.fc6 = nn.Linear(256, 128)
        self.fc7 = nn.Linear(128, 10)

    def forward(self, x):
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = nn.functional.avg_pool2d(x, 2)
        x = torch.relu(self.conv4(torch.relu(self.conv3(x))))
        x = nn.functional.avg_pool2d(x, 2).flatten(1)
        return self.fc7(torch.tanh(self.fc6(torch.tanh(self.fc5(x)))))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    done = numpy_vgg7("train", "--epochs", "2", "--out", out)
    assert done.code == 0, done.stderr
    return out / "best.safetensors"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("preset", PRESETS)
def test_copies_both_ways_are_bit_exact(preset, dtype):
    model = random_model(VGG7Config.preset(preset, image_size=8), 7, dtype)
    module = to_torch(model)
    back = from_torch(module)
    assert module.state_dict().keys() == model.params.keys()
    for name, parameter in model.params.items():
        assert np.array_equal(module.state_dict()[name].numpy(), parameter), name
        assert np.array_equal(back.params[name], parameter), name
        assert back.params[name].dtype == parameter.dtype
        assert not np.shares_memory(back.params[name], module.state_dict()[name].numpy()), name


def test_nan_is_refused_by_the_conversion_to_pytorch():
    model = random_model(VGG7Config.preset("vgg7", image_size=8), 7)
    model.params["conv3.weight"][1, 2, 0, 1] = np.nan
    with pytest.raises(VGG7Error, match=r"conv3.weight.*finite.*\[1, 2, 0, 1\]"):
        to_torch(model)


def test_a_trained_model_predicts_the_same_in_a_stock_module(trained, tmp_path):
    out = tmp_path / "w.pt"
    assert numpy_vgg7("export", trained, out).code == 0
    module = Stock().float()
    module.load_state_dict(torch.load(out, weights_only=True))
    images = split(load("digits", 10)).test.images
    ours = VGG7.load(trained).logits(images)
    with torch.no_grad():
        theirs = module(torch.tensor(images)).numpy()
    assert np.abs(ours - theirs).max() < 1e-5 * np.abs(theirs).max()
    assert np.array_equal(ours.argmax(1), theirs.argmax(1))


def test_the_state_dict_of_a_stock_module_is_imported_unchanged(trained, tmp_path):
    module = Stock().float()
    arrays = VGG7.load(trained).params
    module.load_state_dict({name: torch.tensor(array) for name, array in arrays.items()})
    torch.save(module.state_dict(), tmp_path / "w.pt")
    done = numpy_vgg7("import", tmp_path / "w.pt", tmp_path / "back.safetensors")
    assert done.code == 0, done.stderr
    assert "assumed activations" in done.stderr
    scores = [
        json.loads(numpy_vgg7("evaluate", weights, "--json").stdout)
        for weights in (trained, tmp_path / "back.safetensors")
    ]
    assert scores[0] == scores[1]
    assert (tmp_path / "back.safetensors").read_bytes() == trained.read_bytes()


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (nn.Linear(2, 2), "state_dict"),
        ({"epoch": 3, "model": {}}, "state_dict"),
        (OrderedDict(a=torch.ones(2)), "conv1.weight"),
        (OrderedDict({"conv1.weight": torch.ones(2, dtype=torch.bfloat16)}), "conv1.weight"),
    ],
    ids=["a module", "a checkpoint", "another network", "bfloat16"],
)
def test_a_pt_file_without_a_state_dict_of_a_vgg7_is_refused_in_one_line(tmp_path, content, word):
    torch.save(content, tmp_path / "w.pt")
    done = numpy_vgg7("import", tmp_path / "w.pt", tmp_path / "out.safetensors")
    assert done.code == 3
    assert word in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out.safetensors").exists()
