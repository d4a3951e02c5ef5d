"""`numpy-vgg7 parity run` as a user meets it."""

import json

import pytest

from numpy_vgg7 import VGG7Config
from numpy_vgg7.config import PRESETS
from numpy_vgg7.parity.case import random_model
from tests.commands import numpy_vgg7

TENSORS = {"article": 66, "vgg7": 94, "vgg7-wide": 94}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_passes_with_all_its_tensors(preset):
    done = numpy_vgg7("parity", "run", "--preset", preset, "--json")
    assert done.code == 0, done.stdout
    report = json.loads(done.stdout)
    assert report["passed"] is True
    assert report["first_divergence"] is None
    assert 0 < report["max_relative_error"] <= 1e-12
    assert 0 < report["definition"]["max_relative_error"] <= 1e-12
    assert len(report["tensors"]) == TENSORS[preset]
    assert all(tensor["max_relative_error"] <= 1e-12 for tensor in report["tensors"])
    assert {tensor["kind"] for tensor in report["tensors"]} == {"value", "gradient", "update"}
    assert [program["dtype"] for program in report["forward"]] == ["float64", "float32"]  # ONNX's
    for program, bound in zip(report["forward"], (1e-12, 1e-5), strict=True):
        assert program["passed"]
        assert 0 < program["max_relative_error"] <= bound


@pytest.mark.parametrize("name", ["conv2.weight", "fc6.bias"])
def test_a_changed_weight_is_named_and_ends_with_code_4(name):
    done = numpy_vgg7("parity", "run", "--image-size", "8", "--perturb", name, "--json")
    assert done.code == 4
    report = json.loads(done.stdout)
    assert report["passed"] is False
    assert report["first_divergence"] == name


def test_a_mistyped_tensor_gets_a_suggestion():
    done = numpy_vgg7("parity", "run", "--image-size", "8", "--perturb", "conv2.wieght")
    assert done.code == 2
    assert "did you mean conv2.weight?" in done.stderr


def test_the_table_names_every_tensor_and_the_verdict(tmp_path):
    model = random_model(VGG7Config.preset("article", image_size=8), 1, "float32")
    model.save(tmp_path / "best.safetensors")
    done = numpy_vgg7("parity", "run", tmp_path)  # as a run folder
    assert done.code == 0, done.stdout
    assert "conv4.weight.grad" in done.stdout
    assert "PASS: 66 tensors agree" in done.stdout


def test_without_pytorch_it_says_so_in_one_line_and_never_passes(tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    done = numpy_vgg7("parity", "run", PYTHONPATH=str(tmp_path))
    assert done.code == 3
    assert "PyTorch" in done.stderr
    assert len(done.stderr.splitlines()) == 1
