"""Batches are the same whether another thread prepares them or not, and the thread ends with the epoch."""

import threading
from dataclasses import replace

import numpy as np
import pytest

from numpy_vgg7.data import Dataset
from numpy_vgg7.data.dataset import hold_out
from numpy_vgg7.training import batches
from numpy_vgg7.training.config import TrainingConfig

CONFIG = TrainingConfig(batch_size=7, seed=4)
RNG = np.random.default_rng(0)
DATA = Dataset("random", RNG.integers(0, 256, (50, 1, 12, 12), dtype=np.uint8), np.arange(50) % 10)


@pytest.fixture
def ahead(monkeypatch):
    """Let another thread prepare even small batches."""
    monkeypatch.setattr(batches, "PIXELS", 0)


def test_batches_prepared_ahead_are_the_same(monkeypatch):
    monkeypatch.setattr(batches, "PIXELS", 10**9)
    plain = list(batches.draw(DATA, CONFIG, 1, "float32"))
    monkeypatch.setattr(batches, "PIXELS", 0)
    found = list(batches.draw(DATA, CONFIG, 1, "float32"))
    assert [len(labels) for _, labels in found] == [7] * 7 + [1]
    for (x, labels), (other, other_labels) in zip(plain, found, strict=True):
        assert x.dtype == other.dtype == np.float32
        assert np.array_equal(x, other)
        assert np.array_equal(labels, other_labels)


def test_another_thread_prepares_large_batches(ahead, monkeypatch):
    seen = []
    real = batches.augment

    def augment(*given):
        seen.append(threading.current_thread())
        return real(*given)

    monkeypatch.setattr(batches, "augment", augment)
    list(batches.draw(DATA, CONFIG, 0, "float32"))
    assert len(seen) == 8
    assert threading.current_thread() not in seen


def test_an_error_of_the_other_thread_is_raised(ahead, monkeypatch):
    def augment(*given):
        raise MemoryError("too large")

    monkeypatch.setattr(batches, "augment", augment)
    with pytest.raises(MemoryError, match="too large"):
        list(batches.draw(DATA, CONFIG, 0, "float32"))


def test_the_other_thread_ends_when_the_epoch_is_given_up(ahead):
    before = threading.active_count()
    drawn = batches.draw(DATA, CONFIG, 0, "float32")
    next(drawn)
    assert threading.active_count() == before + 1
    drawn.close()
    assert threading.active_count() == before


def test_at_most_a_few_batches_are_prepared_ahead(ahead, monkeypatch):
    prepared = []
    real = batches.augment
    monkeypatch.setattr(batches, "augment", lambda *given: prepared.append(1) or real(*given))
    drawn = batches.draw(DATA, CONFIG, 0, "float32")
    next(drawn)
    drawn.close()
    assert len(prepared) <= batches.AHEAD + 1


def test_images_are_drawn_in_proportion_to_their_weights():
    weights = np.array([0.5, 1.0, 1.5, 2.0, 4.0, 1e-9, 3.0])
    expected = len(weights) * weights / weights.sum()
    drawn = [batches.order(len(weights), CONFIG, epoch, weights) for epoch in range(2000)]
    counts = np.array([np.bincount(epoch, minlength=len(weights)) for epoch in drawn])
    assert (counts.sum(axis=1) == len(weights)).all()
    assert ((counts == np.floor(expected)) | (counts == np.ceil(expected))).all()
    assert np.abs(counts.mean(axis=0) - expected).max() < 5 * 0.5 / np.sqrt(len(drawn))
    assert len({tuple(epoch) for epoch in drawn}) > 100, "the order is hardly random"


@pytest.mark.parametrize("scale", [1.0, 1 / 3, 1e-300, 1e300])
def test_equal_weights_draw_each_image_once(scale):
    for epoch in range(50):
        drawn = batches.order(1000, CONFIG, epoch, np.full(1000, scale))
        assert np.array_equal(np.sort(drawn), np.arange(1000))


def test_weights_follow_their_images_through_a_split():
    data = replace(DATA, weights=np.arange(50.0))
    kept, taken = hold_out(data, 10)
    for part in (kept, taken):
        assert np.array_equal(data.pixels[part.weights.astype(int)], part.pixels)
