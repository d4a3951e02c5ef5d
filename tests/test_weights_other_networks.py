"""Networks that are no VGG7 are refused by what they have and VGG7 has not."""

import pytest
import torch
from torch import nn

from numpy_vgg7 import VGG7Error
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import import_weights
from tests.foreign_weights import CASES, CONFIG, imported, state


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG, 3, "float32")


OTHER_NETWORKS = {
    "images in colour": ({"conv1.weight": torch.ones(2, 3, 3, 3)}, "one input channel.*RGB.*2, 3, 3, 3"),
    "kernels of 5x5": ({"conv2.weight": torch.ones(2, 2, 5, 5)}, "kernels of 3x3 only.*conv2.*5, 5"),
    "an eighth layer": ({"fc8.weight": torch.ones(5, 10)}, "3 fully connected layers, found 4: .*fc8"),
    "a fifth convolution": ({"conv5.weight": torch.ones(4, 4, 3, 3)}, "4 convolutions, found 5: .*conv5"),
    "batch normalization": (
        {"bn1.weight": torch.ones(2), "bn1.running_mean": torch.ones(2)}, "no batch normalization.*bn1.run",
    ),
    "another normalization": ({"norm1.weight": torch.ones(2)}, "no normalization layers, found norm1"),
    "weight normalization": ({"conv1.weight_g": torch.ones(2, 1, 1, 1)}, "no weight or spectral norm"),
    "PReLU": ({"act1.weight": torch.ones(1)}, "no layers with a weight per channel.*PReLU, found act1"),
    "a convolution in one dimension": ({"conv0.weight": torch.ones(2, 1, 3)}, "no one-dimensional conv"),
}  # fmt: skip


@pytest.mark.parametrize("kind", OTHER_NETWORKS)
def test_what_a_vgg7_does_not_have_is_named(model, tmp_path, kind):
    content, words = OTHER_NETWORKS[kind]
    with pytest.raises(VGG7Error, match=words) as caught:
        imported(state(model) | content, tmp_path)
    assert "remove" not in str(caught.value).replace("remove_parametrizations", "")


def test_the_case_with_batch_normalization_is_refused_as_such():
    with pytest.raises(VGG7Error, match=r"no batch normalization \(BatchNorm\), found bn1.running_mean"):
        import_weights(CASES / "w_bn.npz")


SEQUENTIALS = {
    "in colour": (lambda: [nn.Conv2d(i, o, 3) for i, o in ((3, 2), (2, 2), (2, 4), (4, 4))], 3, "RGB"),
    "with 5x5": (lambda: [nn.Conv2d(i, o, 5) for i, o in ((1, 2), (2, 2), (2, 4), (4, 4))], 3, "3x3 only"),
    "with fc8": (lambda: [nn.Conv2d(i, o, 3) for i, o in ((1, 2), (2, 2), (2, 4), (4, 4))], 4, "found 4: 9"),
    "like LeNet": (lambda: [nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)], 3, "4 convolutions, found 2: 0, 1"),
}


@pytest.mark.parametrize("kind", SEQUENTIALS)
def test_what_a_vgg7_does_not_have_is_named_without_layer_names(tmp_path, kind):
    convs, count, words = SEQUENTIALS[kind]
    layers = [*convs(), *([nn.ReLU()] * 5), *(nn.Linear(16, 16) for _ in range(count))]
    with pytest.raises(VGG7Error, match=words):
        imported(nn.Sequential(*layers).state_dict(), tmp_path)
