"""VGG7: validation of its input, predictions, gradients and traces."""

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7 import model as model_module
from numpy_vgg7.engine import executor
from numpy_vgg7.functional import cross_entropy, cross_entropy_backward, softmax

CONFIG = VGG7Config.preset("vgg7", image_size=8)
RNG = np.random.default_rng(0)


@pytest.fixture
def model():
    return VGG7(CONFIG, seed=1, dtype="float64")


def test_images_may_come_with_or_without_a_channel_axis(model):
    images = RNG.uniform(size=(3, 8, 8))
    assert np.array_equal(model.predict_proba(images), model.predict_proba(images[:, None]))


def test_8_bit_images_are_scaled(model):
    images = RNG.integers(256, size=(3, 8, 8), dtype=np.uint8)
    assert np.array_equal(model.predict_proba(images), model.predict_proba(images / 255))


def test_many_images_give_the_same_predictions_as_single_ones(model):
    images = RNG.uniform(size=(600, 8, 8))
    one_by_one = np.concatenate([model.predict_proba(image[None]) for image in images[[0, 255, 256, 599]]])
    assert np.allclose(model.predict_proba(images)[[0, 255, 256, 599]], one_by_one, rtol=1e-12)


def test_batches_of_inference_are_smaller_for_large_images_only(monkeypatch):
    sizes = {
        size: VGG7(VGG7Config(image_size=size, hidden=(4, 4))).inference_batches(1000) for size in (28, 512)
    }
    assert [batch.start for batch in sizes[28]] == [0, 256, 512, 768]
    assert sizes[512][0] == slice(0, 32), "256 images of 512x512 pixels would take 2 GB"
    assert sizes[512][-1].stop >= 1000
    model, images = VGG7(CONFIG, seed=1, dtype="float64"), RNG.uniform(size=(7, 8, 8))
    expected = model.predict_proba(images)
    for numbers in (1, 3 * CONFIG.values_kept()):
        monkeypatch.setattr(model_module, "INFERENCE_BYTES", 8 * numbers)
        assert len(model.inference_batches(7)) == (7 if numbers == 1 else 3)
        assert np.allclose(model.predict_proba(images), expected, rtol=1e-12)


def test_plans_make_room_for_one_that_fits_without_them(monkeypatch):
    model = VGG7(CONFIG)
    first, second = RNG.uniform(size=(40, 8, 8)), RNG.uniform(size=(39, 8, 8))
    before = model.predict(first)
    (plan,) = model._executor._plans.values()
    monkeypatch.setattr(executor, "available_memory", lambda: plan.arena.size // 2)
    assert len(model.predict(second)) == 39
    assert len(model._executor._plans) == 1, "both were kept, which do not fit"
    assert np.array_equal(model.predict(first), before)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.zeros((0, 8, 8)), "at least one"),
        (np.zeros((2, 9, 9)), "8x8"),
        (np.zeros((2, 8, 9)), "square"),
        (np.zeros((2, 3, 8, 8)), "grey"),
        (np.zeros((8, 8)), r"\(8, 8\)"),
        (np.full((2, 8, 8), np.nan), "NaN or infinity in image 0"),
        (np.full((2, 8, 8), 255.0), "0..1"),
        (np.full((2, 8, 8), -0.1), "0..1"),
        (np.full((2, 8, 8), "x"), "numbers"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_invalid_images_are_refused_in_one_line(model, images, words):
    with pytest.raises(VGG7Error, match=words) as caught:
        model.predict(images)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 10], "label 10 at index 1"),
        ([-1, 0], "label -1 at index 0"),
        ([0.0, 0.5], "whole numbers"),
        ([1], "shape"),
        (2 * np.eye(10)[:2], "one-hot"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_invalid_labels_are_refused(model, labels, words):
    with pytest.raises(VGG7Error, match=words):
        model.loss_and_gradients(np.zeros((2, 8, 8)), np.array(labels))


def test_a_batch_does_not_change_images_labels_or_parameters(model):
    images, labels = RNG.uniform(size=(3, 1, 8, 8)), np.array([1, 2, 3])
    before = {name: parameter.copy() for name, parameter in model.params.items()}
    kept = images.copy()
    trace = model.trace(images, labels)
    assert np.array_equal(images, kept)
    for name, parameter in before.items():
        assert np.array_equal(model.params[name], parameter)
        assert not np.shares_memory(trace[name], model.params[name])
        assert not np.shares_memory(trace[f"{name}.grad"], model.params[name])


def test_a_second_batch_does_not_change_the_results_of_the_first(model):
    first = model.trace(RNG.uniform(size=(3, 8, 8)), np.array([1, 2, 3]))
    kept = {name: array.copy() for name, array in first.items()}
    model.trace(RNG.uniform(size=(3, 8, 8)), np.array([3, 4, 5]))
    for name, array in kept.items():
        assert np.array_equal(first[name], array), name


def test_float32_stays_float32_in_every_tensor():
    trace = VGG7(CONFIG).trace(RNG.uniform(size=(3, 8, 8)), np.array([1, 2, 3]))
    assert {array.dtype for array in trace.values()} == {np.dtype("float32")}


def test_both_dtypes_start_from_the_same_numbers():
    wide, narrow = VGG7(CONFIG, 3, "float64").params, VGG7(CONFIG, 3, "float32").params
    assert all(np.array_equal(narrow[name], wide[name].astype("float32")) for name in wide)


def test_another_seed_gives_other_weights():
    a, b = VGG7(CONFIG, seed=0).params, VGG7(CONFIG, seed=1).params
    assert all(not np.array_equal(a[name], b[name]) for name in a if name.endswith("weight"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_softmax_is_finite_and_sums_to_one_for_any_finite_logits(dtype):
    largest = np.finfo(dtype).max
    logits = np.array([[1e4, -1e4, 0], [largest, -largest, 0], [-1e4, -1e4, -1e4]], dtype=dtype)
    probs = softmax(logits)
    assert np.isfinite(probs).all()
    assert np.abs(probs.sum(axis=1) - 1).max() <= 4 * np.finfo(dtype).eps
    labels = np.array([0, 0, 1])
    assert np.isfinite(cross_entropy(logits, labels))
    assert np.isfinite(cross_entropy_backward(probs, labels, 3)).all()


def test_adding_a_constant_to_all_logits_changes_nothing():
    logits = RNG.integers(-50, 50, (4, 6)).astype(np.float64)
    assert np.array_equal(softmax(logits), softmax(logits + 1024))
    labels = np.array([0, 1, 2, 3])
    assert cross_entropy(logits, labels) == cross_entropy(logits + 1024, labels)
