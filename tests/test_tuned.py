"""The tuned presets: what they learn from, what they must not see, and that they learn."""

from dataclasses import replace

import numpy as np
import pytest

from numpy_vgg7 import VGG7Error
from numpy_vgg7.article.protocol import prepare
from numpy_vgg7.article.tuned import TUNED_PRESETS, halves, train_tuned
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.data.mnist import read_t10k
from tests import t10k


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return read_t10k(t10k.folder(lambda: tmp_path_factory.mktemp("t10k")))


@pytest.fixture
def few_epochs(monkeypatch):
    for name, preset in list(TUNED_PRESETS.items()):
        training = replace(preset.training, epochs=2 if name == "vgg7-600" else 10)
        monkeypatch.setitem(TUNED_PRESETS, name, replace(preset, training=training))


def weights(data, name, seed):
    return b"".join(weight.tobytes() for weight in train_tuned(data, name, seed).model.params.values())


def test_a_preset_keeps_its_network_and_only_the_augmented_ones_change_the_images():
    assert list(TUNED_PRESETS) == ["article-tuned", "article-tuned-augmented", "vgg7-600"]
    for name, preset in TUNED_PRESETS.items():
        assert preset.name == name
        assert preset.training.augment == (name != "article-tuned")
        network = "vgg7" if name == "vgg7-600" else "article"
        assert preset.model == type(preset.model).preset(network)


def test_the_parts_have_no_image_in_common():
    # Each image is one pixel that holds its number in the file.
    numbers = np.arange(10_000, dtype="float32")[:, None, None, None]
    split, _ = prepare(Dataset("numbers", numbers, np.zeros(10_000, int)))
    parts = (split.test, split.train, *halves(split))
    assert [len(part) for part in parts] == [50, 600, 4675, 4675]
    assert len(set(np.concatenate([part.images.ravel() for part in parts]))) == 10_000


@pytest.mark.parametrize(("name", "least"), [("article-tuned", 0.85), ("vgg7-600", 0.5)])
def test_a_short_training_learns(data, few_epochs, name, least):
    epochs = []
    outcome = train_tuned(data, name, 0, lambda epoch, loss: epochs.append((epoch, loss)))
    assert outcome.reporting.accuracy > least
    assert outcome.tuning.n + outcome.reporting.n == len(data) - 650
    assert outcome.tuning != outcome.reporting
    assert [epoch for epoch, _ in epochs] == list(range(1, len(epochs) + 1))
    assert epochs[-1][1] < epochs[0][1]


def test_the_weights_depend_on_the_seed_and_the_600_training_images_only(data, few_epochs):
    name = "article-tuned-augmented"
    expected = weights(data, name, 1)
    assert weights(data, name, 1) == expected
    assert weights(data, name, 2) != expected
    training = set(np.random.RandomState(5678).permutation(len(data))[50:650])
    others = [index for index in range(len(data)) if index not in training]
    images, labels = data.images.copy(), data.labels.copy()
    images[others], labels[others] = 0.5, 0
    assert weights(Dataset("t10k", images, labels), name, 1) == expected


def test_an_unknown_name_is_refused(data):
    with pytest.raises(VGG7Error, match="article-tuned-augmented"):
        train_tuned(data, "article", 0)
