"""`import --check` proves that imported weights are the same function, and names the usual wrong readings."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import Origin, import_weights
from numpy_vgg7.weights.check import check
from numpy_vgg7.weights.probe import read_probe, write_probe
from tests.commands import numpy_vgg7

CASES = Path(__file__).parent / "weights_cases"
CONFIG = VGG7Config(image_size=8, channels=(4, 4, 6, 6), hidden=(24, 24), classes=5)
functional = nn.functional


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG, 5, "float32")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(size=(12, 1, 8, 8)).astype("float32")


def outputs(params, images, normalise=lambda x: x, pool=functional.avg_pool2d, conv=torch.relu,
            hidden=torch.tanh, first=1, padding=1, flatten=lambda x: x.flatten(1)):  # fmt: skip
    """Logits in PyTorch of a network that may differ from a VGG7."""
    p = {name: torch.tensor(np.ascontiguousarray(array)).double() for name, array in params.items()}
    x = normalise(torch.tensor(images).double())
    for n in (1, 2, 3, 4):
        x = functional.conv2d(x, p[f"conv{n}.weight"], p[f"conv{n}.bias"], padding=padding)
        steps = [conv, lambda x: pool(x, 2)] if n in (2, 4) else [conv]
        for step in steps[::first]:
            x = step(x)
    x = flatten(x)
    for n in (5, 6):
        x = hidden(functional.linear(x, p[f"fc{n}.weight"], p[f"fc{n}.bias"]))
    return functional.linear(x, p["fc7.weight"], p["fc7.bias"]).numpy()


def verdict(model, images, logits, folder, name="logits"):
    np.savez(folder / "probe.npz", images=images, **{name: logits})
    return check(model, read_probe(folder / "probe.npz"))


def changed(model, change, *names):
    return model.params | {name: change(model.params[name]) for name in names}


CONVS = tuple(f"conv{n}.weight" for n in (1, 2, 3, 4))
BY_PARAMETERS = {
    "a square matrix is transposed": (("fc6.weight",), lambda w: w.T, "fc6.weight is transposed"),
    "two square matrices are transposed": (
        ("fc5.weight", "fc6.weight"), lambda w: w.T, "fc5.weight and fc6.weight are transposed",
    ),
    "the kernels are rotated": (CONVS, lambda w: w[:, :, ::-1, ::-1], "rotated by 180 degrees"),
    "height and width are swapped": (CONVS, lambda w: w.swapaxes(2, 3), "height and width"),
    "channels are swapped": (("conv4.weight",), lambda w: w.swapaxes(0, 1), "channels of conv4.weight"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BY_PARAMETERS)
def test_wrong_weights_are_named(model, images, tmp_path, fault):
    names, change, words = BY_PARAMETERS[fault]
    found = verdict(model, images, outputs(changed(model, change, *names), images), tmp_path)
    assert not found.passed
    assert words in found.message


BY_FUNCTION = {
    "max pooling": ({"pool": functional.max_pool2d}, "max pooling"),
    "pooling before the activation": ({"first": -1}, "pools before the activation"),
    "flatten order": ({"flatten": lambda x: x.permute(0, 2, 3, 1).flatten(1)}, "--flatten hwc"),
    "relu after fc5 and fc6": ({"hidden": torch.relu}, "relu,relu,relu,relu,relu,relu,identity"),
    "arctan after fc5 and fc6": ({"hidden": torch.atan}, "relu,relu,relu,relu,arctan,arctan,identity"),
    "sigmoid": ({"hidden": torch.sigmoid}, "no sigmoid"),
    "leaky ReLU": ({"conv": functional.leaky_relu}, "no leaky_relu"),
    "normalisation": ({"normalise": lambda x: (x - 0.3) / 0.376}, "(x - 0.3000) / 0.3760"),
    "normalisation of MNIST": ({"normalise": lambda x: (x - 0.1307) / 0.3081}, "(x - 0.1307) / 0.3081"),
    "pixels 0..255": ({"normalise": lambda x: 255 * x}, "give --std 0.0039215"),
    "inverted images": ({"normalise": lambda x: 1 - x}, "inverted"),
    "max pooling and relu": ({"pool": functional.max_pool2d, "hidden": torch.relu}, "max pooling"),
}  # fmt: skip


@pytest.mark.parametrize("fault", BY_FUNCTION)
def test_another_function_is_named(model, images, tmp_path, fault):
    options, words = BY_FUNCTION[fault]
    found = verdict(model, images, outputs(model.params, images, **options), tmp_path)
    assert not found.passed
    assert words in found.message


def test_convolutions_without_padding_are_named(tmp_path):
    model = random_model(VGG7Config(image_size=4, channels=(2, 2, 3, 3), hidden=(6, 6)), 5, "float32")
    images = np.random.default_rng(1).uniform(size=(6, 1, 16, 16)).astype("float32")
    found = verdict(model, images, outputs(model.params, images, padding=0), tmp_path)
    assert "no padding" in found.message


@pytest.mark.parametrize("name", ["probabilities", "probs"])
def test_the_same_function_passes_with_logits_and_with_probabilities(model, images, tmp_path, name):
    logits = outputs(model.params, images)
    assert verdict(model, images, logits, tmp_path).passed
    probs = torch.softmax(torch.tensor(logits), 1).numpy()
    assert verdict(model, images[:, 0], probs, tmp_path, name).passed
    assert not verdict(model, images, probs + 1e-4, tmp_path, name).passed


def test_probabilities_that_are_called_logits_are_named(model, images, tmp_path):
    probs = torch.softmax(torch.tensor(outputs(model.params, images)), 1).numpy()
    assert "are probabilities" in verdict(model, images, probs, tmp_path).message


def test_images_that_were_normalised_before_they_were_saved_are_not_accepted(model, images, tmp_path):
    normal = (images - 0.3) / 0.376
    found = verdict(model, normal, outputs(model.params, normal), tmp_path)
    assert not found.passed
    assert "normalised" in found.message
    wide = images * 255
    found = verdict(model, wide, outputs(model.params, wide), tmp_path)
    assert "give --std" in found.message


def test_a_difference_that_nothing_explains_is_said(model, images, tmp_path):
    found = verdict(model, images, np.random.default_rng(2).normal(size=(12, 5)), tmp_path)
    assert not found.passed
    assert "no usual wrong reading" in found.message


BAD_PROBES = {
    "without outputs": ({"images": np.zeros((2, 8, 8))}, "logits or probabilities"),
    "of two batches": ({"images": np.zeros((2, 8, 8)), "logits": np.zeros((3, 5))}, "each of 2 images"),
    "with NaN": ({"images": np.zeros((2, 8, 8)), "logits": np.full((2, 5), np.nan)}, "finite"),
    "in colour": ({"images": np.zeros((2, 3, 8, 8)), "logits": np.zeros((2, 5))}, "grey images"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_PROBES)
def test_a_probe_that_cannot_be_compared_is_refused(tmp_path, kind):
    arrays, words = BAD_PROBES[kind]
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(VGG7Error, match=words):
        read_probe(tmp_path / "p.npz")


def test_import_checks_and_writes_nothing_on_a_mismatch(tmp_path):
    images = np.load(CASES / "digits_eval.npz")["images"][:20, None]
    params = import_weights(CASES / "maxpool.pt").model.params
    np.savez(tmp_path / "p.npz", images=images, logits=outputs(params, images, pool=functional.max_pool2d))
    out = tmp_path / "out.safetensors"
    done = numpy_vgg7("import", CASES / "maxpool.pt", out, "--check", tmp_path / "p.npz")
    assert done.code == 4
    assert "max pooling" in done.stderr
    assert not out.exists()
    params = import_weights(CASES / "keras_flatten.npz", Origin(flatten="hwc")).model.params
    np.savez(tmp_path / "p.npz", images=images, logits=outputs(params, images))
    words = ("import", CASES / "keras_flatten.npz", out, "--check", tmp_path / "p.npz")
    done = numpy_vgg7(*words)
    assert done.code == 4
    assert "--flatten hwc" in done.stderr
    done = numpy_vgg7(*words, "--flatten", "hwc")
    assert done.code == 0, done.stderr
    assert "check passed" in done.stderr
    assert VGG7.load(out).config.image_size == 8


def test_a_probe_of_an_exported_model_passes_the_check_of_the_import(model, tmp_path):
    model.save(tmp_path / "w.safetensors")
    done = numpy_vgg7("export", tmp_path / "w.safetensors", tmp_path / "k.npz", "--layout", "keras",
                      "--probe", tmp_path / "p.npz")  # fmt: skip
    assert done.code == 0, done.stderr
    assert set(np.load(tmp_path / "p.npz").files) == {"images", "logits", "probabilities"}
    done = numpy_vgg7("import", tmp_path / "k.npz", tmp_path / "b.safetensors", "--layout", "keras",
                      "--check", tmp_path / "p.npz")  # fmt: skip
    assert done.code == 0, done.stderr
    assert (tmp_path / "b.safetensors").read_bytes() == (tmp_path / "w.safetensors").read_bytes()


def test_a_written_probe_contains_what_the_model_computes(model, tmp_path):
    write_probe(tmp_path / "p.npz", model)
    probe = read_probe(tmp_path / "p.npz")
    assert probe.in_range
    assert check(model, probe).passed
