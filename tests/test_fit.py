"""`VGG7.fit`, `evaluate` and `score`: training from arrays, by the loop of the command line."""

import json
import warnings

import numpy as np
import pytest
from typer.testing import CliRunner

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7.cli.commands import app
from numpy_vgg7.data import load
from numpy_vgg7.inputs import InputWarning

DIGITS = load("digits")
IMAGES, LABELS = DIGITS.images[:300], DIGITS.labels[:300]
SMALL = VGG7Config(image_size=8, channels=(8, 8, 16, 16), hidden=(64, 32))


def params_equal(a, b):
    return all(np.array_equal(a.params[name], b.params[name]) for name in a.params)


def test_the_command_line_and_fit_give_the_same_numbers(tmp_path):
    out = tmp_path / "run"
    architecture = ("--channels", "8,8,16,16", "--hidden", "64,32", "--batch-size", "16")
    words = ("train", *architecture, "--epochs", "3", "--seed", "7", "--out", str(out), "--json")
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    model = VGG7(SMALL, seed=7)
    history = model.fit(DIGITS.images, DIGITS.labels, validation=0.1, test=0.2, epochs=3, batch_size=16)
    assert params_equal(model, VGG7.load(out / "best.safetensors"))
    assert history.test.accuracy == record["test_accuracy"]
    assert history.test.loss == record["test_loss"]
    assert history.best.validation_accuracy == record["validation_accuracy"]
    assert (history.best_epoch, history.learned) == (record["best_epoch"], record["learned"])


def test_fit_returns_a_row_for_each_epoch_and_passes_it_on():
    seen = []
    model = VGG7(SMALL)
    history = model.fit(IMAGES, LABELS, validation=0.2, epochs=3, batch_size=8, on_epoch=seen.append)
    assert list(history.epochs) == seen
    assert [row.epoch for row in seen] == [1, 2, 3]
    assert all(np.isfinite(row).all() for row in seen)
    assert "3 epochs" in repr(history)


def test_fit_keeps_the_weights_of_the_best_epoch():
    wrong = (LABELS + 1) % 10  # the better the training, the higher this loss
    model = VGG7(SMALL)
    history = model.fit(IMAGES, LABELS, validation=(IMAGES, wrong), epochs=5, batch_size=8)
    losses = [row.validation_loss for row in history.epochs]
    means = [np.mean(losses[max(0, end - 5) : end]) for end in range(1, 6)]
    assert history.best_epoch == int(np.argmin(means)) + 1 < 5
    assert model.evaluate(IMAGES, wrong).loss == history.best.validation_loss


def test_without_validation_the_model_has_the_weights_of_the_last_epoch():
    first, second = VGG7(SMALL), VGG7(SMALL)
    history = first.fit(IMAGES, LABELS, epochs=2, batch_size=8)
    assert np.isnan(history.best.validation_loss)
    assert history.best_epoch == 2
    assert history.test is None
    second.fit(IMAGES, LABELS, validation=(IMAGES[:9], LABELS[:9]), epochs=2, batch_size=8)
    assert params_equal(first, second), "validation changes the training"


def test_fit_starts_from_the_current_weights():
    model = VGG7(SMALL)
    model.fit(IMAGES, LABELS, epochs=4, batch_size=8)
    before = model.score(IMAGES, LABELS)
    history = model.fit(IMAGES, LABELS, epochs=1, batch_size=8, lr_conv=1e-6, lr_fc=1e-6, augment=False)
    assert abs(history.best.train_accuracy - before) < 0.02
    assert before > 0.5


def test_the_seed_of_fit_is_that_of_the_model_unless_it_is_given():
    first, second, third = VGG7(SMALL, seed=3), VGG7(SMALL, seed=3), VGG7(SMALL, seed=3)
    first.fit(IMAGES, LABELS, epochs=2, batch_size=8)
    second.fit(IMAGES, LABELS, epochs=2, batch_size=8, seed=3)
    third.fit(IMAGES, LABELS, epochs=2, batch_size=8, seed=4)
    assert params_equal(first, second)
    assert not params_equal(first, third)


def test_images_of_bytes_are_trained_like_floats():
    byte = np.round(IMAGES[:, 0] * 255).astype(np.uint8)
    first, second = VGG7(SMALL), VGG7(SMALL)
    first.fit(byte, LABELS, epochs=2, batch_size=8)
    second.fit(byte.astype("float32") / np.float32(255), LABELS, epochs=2, batch_size=8)
    assert params_equal(first, second)


def test_evaluate_and_score_agree_with_predict():
    model = VGG7(SMALL)
    model.fit(IMAGES, LABELS, epochs=3, batch_size=8)
    found = model.evaluate(IMAGES, LABELS)
    probabilities = model.predict_proba(IMAGES)
    assert found.errors == (probabilities.argmax(axis=1) != LABELS).sum()
    assert found.accuracy == 1 - found.errors / found.n == model.score(IMAGES, LABELS)
    assert found.loss == pytest.approx(-np.log(probabilities[np.arange(300), LABELS]).mean(), rel=1e-4)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("epoch_count", {"epoch_count": 3}),
        ("settings", {"settings": "slow"}),
        ("epochs", {"epochs": 0}),
        ("schedule", {"schedule": "linear"}),
        ("clip_norm", {"clip_norm": 0}),
        ("average and patience", {"average": 2, "patience": 2}),
        ("less than 1", {"label_smoothing": 1.0}),
        ("a share between 0 and 1", {"validation": 1.5}),
        ("an image of each class", {"validation": 0.01}),
        ("8x8", {"validation": (np.zeros((3, 28, 28)), np.arange(3))}),
    ],
    ids=str,
)
def test_a_mistake_in_fit_is_one_line(words, changes):
    with pytest.raises(VGG7Error, match=words) as caught:
        VGG7(SMALL).fit(IMAGES, LABELS, **changes)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [5, 50])
def test_a_training_that_learned_nothing_says_so(rate):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", InputWarning)
        history = VGG7(SMALL).fit(IMAGES, LABELS, epochs=3, batch_size=8, lr_conv=rate, lr_fc=rate)
    assert not history.learned
    assert "nothing was learned" in repr(history)
    assert any("nothing was learned" in str(warning.message) for warning in caught)


def test_a_diverging_training_is_an_error_without_a_warning_of_numpy():
    with pytest.raises(VGG7Error, match="expected a finite loss"):
        VGG7(SMALL).fit(IMAGES, LABELS, epochs=3, batch_size=8, lr_conv=1e30, lr_fc=1e30)


def test_a_name_is_no_configuration():
    with pytest.raises(VGG7Error, match=r'VGG7Config.preset\("vgg7"\)'):
        VGG7("vgg7")


def test_the_text_of_a_model_says_what_it_is():
    text = repr(VGG7(VGG7Config.preset("vgg7", image_size=8)))
    for words in ("8x8", "10 classes", "16-16-32-32", "256-128", "83,578 parameters", "float32"):
        assert words in text
