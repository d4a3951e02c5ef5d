"""Networks trained in PyTorch are imported as the same function, or the difference is named."""

import numpy as np
import pytest
import torch
from torch import nn

from numpy_vgg7 import VGG7
from numpy_vgg7.data import load, split
from tests.commands import numpy_vgg7


class Net(nn.Module):
    """A VGG7 as any PyTorch user would write it, and the variants that weights do not show."""

    def __init__(self, pool=nn.AvgPool2d, hidden=nn.Tanh, channels_last=False, mean=0.0, std=1.0):
        super().__init__()
        relu = nn.ReLU
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), relu(), nn.Conv2d(8, 8, 3, padding=1), relu(), pool(2),
            nn.Conv2d(8, 16, 3, padding=1), relu(), nn.Conv2d(16, 16, 3, padding=1), relu(), pool(2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(64, 64), hidden(), nn.Dropout(0.2), nn.Linear(64, 64), hidden(), nn.Linear(64, 10)
        )
        self.channels_last, self.mean, self.std = channels_last, mean, std

    def forward(self, x):
        x = self.features((x - self.mean) / self.std)
        x = x.permute(0, 2, 3, 1) if self.channels_last else x
        return self.classifier(x.flatten(1))


@pytest.fixture(scope="module")
def digits():
    return split(load("digits", 10))


def trained(digits, **variant):
    """A network after ten epochs."""
    torch.manual_seed(0)
    module = Net(**variant).float()
    optimizer = torch.optim.Adam(module.parameters(), 3e-3)
    images, labels = torch.tensor(digits.train.images), torch.tensor(digits.train.labels)
    for batch in torch.arange(10 * len(images)).split(64):
        optimizer.zero_grad()
        rows = batch % len(images)
        nn.functional.cross_entropy(module(images[rows]), labels[rows]).backward()
        optimizer.step()
    return module.eval()


def saved(module, images, folder):
    """The state dict in a checkpoint, and a probe: both as a training script would write them."""
    torch.save({"model_state_dict": module.state_dict(), "epoch": 3}, folder / "w.pt")
    with torch.no_grad():
        probabilities = torch.softmax(module(torch.tensor(images)), 1).numpy()
    np.savez(folder / "probe.npz", images=images, probabilities=probabilities)
    return probabilities


def test_a_trained_network_is_imported_with_the_same_predictions_and_exported_again(digits, tmp_path):
    module = trained(digits)
    theirs = saved(module, digits.test.images, tmp_path)
    assert (theirs.argmax(1) == digits.test.labels).mean() > 0.8
    out, back, probe = (tmp_path / name for name in ("out.safetensors", "back.pt", "back.npz"))
    done = numpy_vgg7("import", tmp_path / "w.pt", out, "--check", tmp_path / "probe.npz")
    assert done.code == 0, done.stderr
    assert "check passed" in done.stderr
    ours = VGG7.load(out).predict_proba(digits.test.images)
    assert np.array_equal(ours.argmax(1), theirs.argmax(1))
    assert np.abs(ours - theirs).max() <= 1e-5

    assert numpy_vgg7("export", out, back, "--probe", probe).code == 0
    state = dict(zip(module.state_dict(), torch.load(back, weights_only=True).values(), strict=True))
    for name, tensor in module.state_dict().items():
        assert torch.equal(state[name], tensor), name
    module.load_state_dict(state)
    with np.load(probe) as arrays, torch.no_grad():
        found = torch.softmax(module(torch.tensor(arrays["images"])), 1).numpy()
        assert np.abs(found - arrays["probabilities"]).max() <= 1e-5


RELU = "relu,relu,relu,relu,relu,relu,identity"
VARIANTS = {
    "max pooling": ({"pool": nn.MaxPool2d}, ["max pooling"], []),
    "ReLU after fc5 and fc6": ({"hidden": nn.ReLU}, [RELU], ["--activations", RELU]),
    "channels last": ({"channels_last": True}, ["H, W, C", "--flatten hwc"], ["--flatten", "hwc"]),
    "normalised images": ({"mean": 0.3, "std": 0.376}, ["(x - 0.3000) / 0.3760"], []),
    "scaled images": ({"std": 0.25}, ["--std 0.25"], ["--std", "0.25"]),
    "as in tutorials": (
        {"pool": nn.MaxPool2d, "hidden": nn.ReLU, "mean": 0.1307, "std": 0.3081},
        ["max pooling", "(x - 0.1307) / 0.3081", RELU], [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", VARIANTS)
def test_a_trained_variant_is_named_and_imported_where_an_option_makes_it_right(digits, tmp_path, kind):
    variant, words, fix = VARIANTS[kind]
    saved(trained(digits, **variant), digits.test.images, tmp_path)
    command = ("import", tmp_path / "w.pt", tmp_path / "out.safetensors", "--check", tmp_path / "probe.npz")
    done = numpy_vgg7(*command)
    assert done.code == 4
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "out.safetensors").exists()
    if fix:
        done = numpy_vgg7(*command, *fix)
        assert done.code == 0, done.stderr
