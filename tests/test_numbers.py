"""Numbers of every kind are used rightly or refused in words, the same in fit, predict and evaluate."""

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8)).astype(np.float32) / 255
IMAGES[:, [0, -1]] = IMAGES[:, :, [0, -1]] = 0
LABELS = np.arange(40) % 10
pytestmark = pytest.mark.filterwarnings("ignore::numpy_vgg7.inputs.InputWarning")


@pytest.fixture
def model():
    return VGG7(VGG7Config(image_size=8, channels=(2, 2, 2, 2), hidden=(4, 4)))


SAME = {
    "a list": IMAGES.tolist(),
    "big-endian": IMAGES.astype(">f4"),
    "float64": IMAGES.astype(np.float64),
    "strided": np.repeat(IMAGES, 2, axis=2)[:, :, ::2],
    "reversed twice": IMAGES[:, ::-1][:, ::-1],
    "Fortran order": np.asfortranarray(IMAGES),
    "nothing masked": np.ma.array(IMAGES),
}


@pytest.mark.parametrize("kind", SAME)
def test_the_same_numbers_in_another_form_give_the_same_answer(model, kind):
    images = SAME[kind]
    if isinstance(images, np.ndarray):
        images.flags.writeable = False
    assert np.array_equal(model.logits(images), model.logits(IMAGES))
    assert model.evaluate(images, LABELS) == model.evaluate(IMAGES, LABELS)
    model.fit(images, LABELS.tolist(), epochs=1)


def test_half_precision_and_bytes_are_used_at_their_precision(model):
    half = IMAGES.astype(np.float16)
    assert np.array_equal(model.logits(half), model.logits(half.astype(np.float32)))
    assert np.allclose(model.logits(np.rint(IMAGES * 255).astype(np.uint8)), model.logits(IMAGES), atol=1e-6)


def test_subnormal_pixels_count_as_what_they_are(model):
    images = IMAGES.copy()
    images[:, 0, 0] = 1e-42
    assert np.allclose(model.logits(images), model.logits(np.where(images == 1e-42, 0, images)), atol=1e-6)


def replaced(value):
    images = IMAGES.copy()
    images[3, 2, 1] = value
    return images


REFUSED = {
    "NaN": (replaced(np.nan), "NaN or infinity in image 3"),
    "infinity": (replaced(np.inf), "NaN or infinity in image 3"),
    "minus infinity": (replaced(-np.inf), "NaN or infinity in image 3"),
    "huge": (replaced(1e30), "maximum of 1e"),
    "complex": (IMAGES.astype(complex), "dtype complex"),
    "objects": (IMAGES.astype(object), "dtype object"),
    "text": (IMAGES.astype(str), "dtype <U"),
    "masked": (np.ma.array(IMAGES, mask=IMAGES > 0.9), "masked values"),
    "rows of several lengths": ([[1, 2], [3]], "array of numbers"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("method", ["fit", "predict", "evaluate", "loss_and_gradients", "trace"])
def test_what_cannot_be_right_is_refused_in_words_by_every_method(model, kind, method):
    images, words = REFUSED[kind]
    with pytest.raises(VGG7Error, match=words):
        getattr(model, method)(images, *[LABELS] * (method != "predict"))


@pytest.mark.parametrize(
    "labels", [np.ma.array(LABELS, mask=LABELS == 3), [[0, 1], [2]], LABELS + 0.5, LABELS * 1j]
)
def test_labels_that_cannot_be_right_are_refused(model, labels):
    with pytest.raises(VGG7Error, match="label"):
        model.fit(IMAGES, labels, epochs=1)


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
def test_parameters_that_give_no_finite_answer_are_said(model, value):
    for parameter in model.params.values():
        parameter[...] = value
    for method in ("predict", "predict_proba", "logits"):
        with pytest.raises(VGG7Error, match="not finite or too large"), np.errstate(all="ignore"):
            getattr(model, method)(IMAGES)
    with pytest.raises(VGG7Error, match="not finite or too large"), np.errstate(all="ignore"):
        model.evaluate(IMAGES, LABELS)


@pytest.mark.parametrize("rate", [1e10, 1e38, 1e300])
def test_a_huge_learning_rate_ends_in_words(model, rate):
    with pytest.raises(VGG7Error, match="finite"):
        model.fit(IMAGES, LABELS, epochs=3, lr_conv=rate, lr_fc=rate)
