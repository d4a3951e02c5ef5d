"""The article's network with a better training: what it learns from, and what it must not see."""

from dataclasses import replace

import numpy as np
import pytest

from numpy_vgg7 import VGG7Error
from numpy_vgg7.article.protocol import prepare
from numpy_vgg7.article.tuned import TUNED, halves, train_tuned
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.data.mnist import read_t10k
from tests import t10k


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return read_t10k(t10k.folder(lambda: tmp_path_factory.mktemp("t10k")))


@pytest.fixture
def few_epochs(monkeypatch):
    for name, tuned in list(TUNED.items()):
        epochs = 2 if name == "vgg7-600" else 10
        monkeypatch.setitem(TUNED, name, replace(tuned, recipe=replace(tuned.recipe, epochs=epochs)))


def weights(data, name, seed):
    return b"".join(weight.tobytes() for weight in train_tuned(data, name, seed).model.params.values())


def test_the_table_keeps_the_seven_layers_and_the_channels():
    assert list(TUNED) == ["article-tuned", "article-tuned-augmented", "vgg7-600"]
    for name, tuned in TUNED.items():
        assert tuned.name == name
        assert tuned.recipe.augment == (name != "article-tuned")
        network = "vgg7" if name == "vgg7-600" else "article"
        assert tuned.model == type(tuned.model).preset(network)


def test_the_parts_have_no_image_in_common():
    # An image that carries its own number, so that every place of the file is told apart.
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


def test_what_is_learned_hangs_on_the_seed_and_the_600_images_alone(data, few_epochs):
    name = "article-tuned-augmented"
    known = weights(data, name, 1)
    assert weights(data, name, 1) == known
    assert weights(data, name, 2) != known
    learned = set(np.random.RandomState(5678).permutation(len(data))[50:650])
    others = [index for index in range(len(data)) if index not in learned]
    images, labels = data.images.copy(), data.labels.copy()
    images[others], labels[others] = 0.5, 0
    assert weights(Dataset("t10k", images, labels), name, 1) == known


def test_an_unknown_name_is_refused(data):
    with pytest.raises(VGG7Error, match="article-tuned-augmented"):
        train_tuned(data, "article", 0)
