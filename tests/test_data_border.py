"""The border for pixels and labels: scales, shapes and labels as people have them."""

from pathlib import Path

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7.data import Encoding, from_arrays, load, split
from numpy_vgg7.inputs import InputWarning, as_images, as_labels
from numpy_vgg7.pictures.read import read_images
from tests.commands import numpy_vgg7

CASES = Path(__file__).parent / "cases"
UNIT = np.random.default_rng(0).integers(256, size=(12, 8, 8)) / 255
UNIT[:, 0] = 0  # a black edge
LABELS = np.arange(12) % 3

# Name of a file in tests/cases: options, words among the notes.
ACCEPTED = {
    "ok_uint8_255.npz": (Encoding(), ""),
    "uint8_binarised_0_1.npz": (Encoding(), "1 is white"),
    "float_divided_twice.npz": (Encoding(pixel_max=1 / 255), ""),
    "flat_784.npz": (Encoding(), "images of 28x28"),
    "labels_float64.npz": (Encoding(), "all whole"),
    "labels_text.npz": (Encoding(), "all numerals"),
    "letters_1_26.npz": (Encoding(labels_from=1), ""),
    "mean_std_normalised.npz": (Encoding(mean=0.1307, std=0.3081), ""),
    "inverted.npz": (Encoding(invert=True), ""),
    "keras_names.npz": (Encoding(), ""),
    "kaggle.csv": (Encoding(), "1 without images"),
}
REFUSED = {
    "float_divided_twice.npz": ["0.00392157", "--pixel-max"],
    "letters_1_26.npz": ["--labels-from 1", "26 classes"],
    "mean_std_normalised.npz": ["undo the normalisation", "--mean and --std"],
}


def test_every_case_is_tested():
    assert {path.name for path in CASES.iterdir() if path.is_file()} == ACCEPTED.keys()


@pytest.mark.parametrize("name", ACCEPTED)
def test_a_case_is_read_as_bright_digits_on_black(name):
    encoding, words = ACCEPTED[name]
    data = load(str(CASES / name), encoding=encoding)
    assert data.images.shape[1:] == (1, 28, 28)
    assert data.images.max() == pytest.approx(1, abs=1e-5)
    assert data.images.min() == pytest.approx(0, abs=1e-4)
    assert 0.08 < data.images.mean() < 0.2
    assert data.classes == (26 if "letters" in name else 10)
    assert set(data.labels) == set(range(data.classes)) - ({5} if "kaggle" in name else set())
    assert words in " ".join(data.notes)
    assert bool(data.notes) == bool(words), data.notes


@pytest.mark.parametrize("name", REFUSED)
def test_a_case_that_is_not_certain_is_refused_with_the_remedies(name):
    with pytest.raises(VGG7Error) as refused:
        load(str(CASES / name))
    for word in REFUSED[name]:
        assert word in str(refused.value)


def test_letters_given_to_a_model_of_ten_classes_are_refused_with_the_remedies():
    with pytest.raises(VGG7Error, match="--labels-from 1 and 26 classes"):
        load(str(CASES / "letters_1_26.npz"), classes=10)


@pytest.mark.parametrize(("dtype", "white"), [("float32", 1), ("float64", 1), ("uint8", 255)])
def test_a_faint_image_means_the_same_alone_as_in_a_batch(dtype, white):
    model = VGG7(VGG7Config.preset("vgg7", image_size=8))
    batch = (UNIT * white).astype(dtype)
    batch[0] = batch[0] * 0.05  # at most 0.05, or 12
    with pytest.warns(InputWarning, match=f"assumed that {white} is white"):
        alone = model.predict_proba(batch[:1])
    np.testing.assert_allclose(alone, model.predict_proba(batch)[:1], rtol=1e-5)


@pytest.mark.parametrize(("dtype", "white"), [("float32", 1), ("uint8", 255)])
def test_a_whole_set_of_faint_images_is_refused_with_a_remedy_that_can_be_followed(dtype, white):
    faint = (UNIT * 0.05 * white).astype(dtype)
    with pytest.raises(VGG7Error, match=f"--pixel-max {white}, if the images are just faint"):
        from_arrays("faint", faint, LABELS)
    assert from_arrays("faint", faint, LABELS, encoding=Encoding(pixel_max=white)).images.max() <= 0.05


def test_a_bright_border_is_remarked():
    assert "--invert" in " ".join(load(str(CASES / "inverted.npz")).notes)


def test_the_official_test_part_of_a_keras_file_is_used_as_such():
    data = load(str(CASES / "keras_names.npz"))
    parts = split(data)
    assert [len(part) for part in parts] == [135, 15, 50]
    with np.load(CASES / "keras_names.npz") as arrays:
        assert np.array_equal(parts.test.images[:, 0], arrays["x_test"] / np.float32(255))
        assert np.array_equal(parts.test.labels, arrays["y_test"])


# Pixels, and words that are noted or else None.
SCALES = {
    "floats": (UNIT, None),
    "bytes": ((UNIT * 255).round().astype(np.uint8), None),
    "floats to 255": ((UNIT * 255).round(), "255 is white"),
    "integers to 255": ((UNIT * 255).round().astype(np.int64), "255 is white"),
    "(N, H, W, 1)": (UNIT[..., None], "(N, H, W, 1)"),
    "rows": (UNIT.reshape(12, 64), "8x8"),
}


@pytest.mark.parametrize("kind", SCALES)
def test_pixels_of_any_certain_scale_and_shape_are_the_same_images(kind):
    pixels, words = SCALES[kind]
    notes = []
    images = as_images(pixels, 8, "float64", note=notes.append)
    assert np.allclose(images[:, 0], UNIT, atol=1e-12)
    assert len(notes) == (words is not None)
    assert (words or "") in "".join(notes)


# Pixels, and words of the error.
UNCERTAIN = {
    "bytes to 16": ((UNIT * 16).astype(np.uint8), ["maximum of 16", "--pixel-max 16"]),
    "floats to 16": (UNIT * 16, ["maximum of 16", "--pixel-max 16"]),
    "12 bits": ((UNIT * 4095).astype(np.uint16), ["maximum of 4095", "--pixel-max 4095"]),
    "floats to 100": (UNIT * 100, ["maximum of 100", "--pixel-max 255"]),
    "floats to 0.05": (UNIT * 0.05, ["maximum of 0.05", "--pixel-max 0.05"]),
    "signed bytes": ((UNIT * 255).astype(np.uint8).view(np.int8), ["numpy.uint8"]),
    "-1 to 1": (2 * UNIT - 1, ["-1..1", "undo the normalisation"]),
    "labels": (LABELS, ["exchange images and labels"]),
    "colours": (np.zeros((4, 8, 8, 3)), ["average the colours"]),
}


@pytest.mark.parametrize("kind", UNCERTAIN)
def test_pixels_of_an_uncertain_scale_are_refused_with_the_maximum_and_a_remedy(kind):
    pixels, words = UNCERTAIN[kind]
    with pytest.raises(VGG7Error) as refused:
        as_images(pixels, None, "float32")
    for word in words:
        assert word in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("factor", [16.0, 100.0, 4095.0, 0.05])
def test_a_stated_maximum_is_divided_by(factor):
    images = as_images(UNIT * factor, 8, "float64", encoding=Encoding(pixel_max=factor))
    assert np.allclose(images[:, 0], UNIT, atol=1e-12)


def test_a_stated_maximum_below_the_pixels_is_refused():
    with pytest.raises(VGG7Error, match="maximum of 16"):
        as_images(UNIT * 16, 8, "float64", encoding=Encoding(pixel_max=15))


@pytest.mark.parametrize("white", [1, 255])
def test_a_normalisation_is_undone(white):
    mean, std = 0.1307 * white, 0.3081 * white
    notes = []
    images = as_images(
        (UNIT * white - mean) / std, 8, "float64", "x", Encoding(mean=mean, std=std), notes.append
    )
    assert np.allclose(images[:, 0], UNIT, atol=1e-6)


def test_a_wrong_normalisation_is_refused():
    with pytest.raises(VGG7Error, match="by which they were normalised"):
        as_images((UNIT - 0.5) / 0.25, 8, "float64", encoding=Encoding(mean=0.1307, std=0.3081))


@pytest.mark.parametrize("scale", [1, 255])
def test_inverted_images_are_reversed(scale):
    pixels = 1 - UNIT if scale == 1 else ((1 - UNIT) * 255).round().astype(np.uint8)
    images = as_images(pixels, 8, "float64", encoding=Encoding(invert=True))
    assert np.allclose(images[:, 0], UNIT, atol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [{"pixel_max": 0}, {"mean": 0.1}, {"std": 1.0}, {"mean": 0.0, "std": 0.0}, {"classes": 1},
     {"class_names": ("a", "a")}, {"pixel_max": float("nan")}, {"mean": float("inf"), "std": 1.0}],
)  # fmt: skip
def test_an_impossible_encoding_is_refused(changes):
    with pytest.raises(VGG7Error):
        Encoding(**changes)


# Labels, options, words that are noted.
LABEL_FORMS = {
    "integers": (LABELS, Encoding(), None),
    "a column": (LABELS[:, None], Encoding(), "one label per image"),
    "one-hot": (np.eye(3)[LABELS], Encoding(), "one-hot"),
    "floats": (LABELS.astype(float), Encoding(), "all whole"),
    "numerals": (LABELS.astype(str), Encoding(), "all numerals"),
    "bytes": (LABELS.astype("S1"), Encoding(), "all numerals"),
    "names": (np.array(["b", "a", "c"])[LABELS], Encoding(class_names=("b", "a", "c")), None),
    "from 1": (LABELS + 1, Encoding(labels_from=1), None),
}


@pytest.mark.parametrize("form", LABEL_FORMS)
def test_labels_of_any_form_are_the_same_numbers(form):
    labels, encoding, words = LABEL_FORMS[form]
    data = from_arrays("d", UNIT, labels, encoding=encoding)
    assert np.array_equal(data.labels, LABELS)
    assert data.classes == 3
    assert (words or "") in "".join(data.notes)
    assert len(data.notes) == (words is not None)


# Labels, options, words of the error.
BAD_LABELS = {
    "from 1": (LABELS + 1, Encoding(), "--labels-from 1 for 3 classes"),
    "gaps": (LABELS * 5, Encoding(), "--classes 11"),
    "names": (np.array(["b", "a", "c"])[LABELS], Encoding(), "--classes a,b,c"),
    "an unknown name": (np.array(["b", "a", "c"])[LABELS], Encoding(class_names=("a", "b")), "c"),
    "fractions": (LABELS + 0.5, Encoding(), "0.5 at index 0"),
    "NaN": (np.full(12, np.nan), Encoding(), "nan at index 0"),
    "negative": (LABELS - 1, Encoding(), "from 0"),
    "below the first": (LABELS, Encoding(labels_from=1), "--labels-from 0"),
    "images": (UNIT, Encoding(), "exchange images and labels"),
    "too few": (LABELS[:5], Encoding(), r"shape \(5,\)"),
    "too large": (LABELS, Encoding(classes=2), "label 2 at index 2"),
}


@pytest.mark.parametrize("kind", BAD_LABELS)
def test_bad_labels_are_refused_with_a_remedy(kind):
    labels, encoding, words = BAD_LABELS[kind]
    with pytest.raises(VGG7Error, match=words):
        from_arrays("d", UNIT, labels, encoding=encoding)


def test_empty_classes_are_accepted_where_their_number_is_given():
    assert from_arrays("d", UNIT, LABELS * 5, encoding=Encoding(classes=11)).classes == 11
    assert as_labels(LABELS, 12, 10).max() == 2


def test_train_and_test_part_share_one_scale():
    test = (UNIT[:3] * 100).round()  # alone, this would be refused
    data = from_arrays("d", (UNIT * 255).round(), LABELS, test=(test, LABELS[:3]))
    assert np.allclose(data.test.images[:, 0], test / 255)


def test_bytes_are_kept_as_bytes_until_a_batch_is_scaled():
    data = from_arrays("d", (UNIT * 255).round().astype(np.uint8), LABELS)
    assert data.pixels.dtype == np.uint8
    assert data.batch(np.array([3, 1])).dtype == np.float32
    assert np.allclose(data.batch(np.array([3, 1]))[:, 0], UNIT[[3, 1]])


def test_the_methods_of_a_model_accept_the_same_with_a_warning():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8), dtype="float64")
    expected = model.predict_proba(UNIT)
    with pytest.warns(InputWarning, match="255 is white"):
        assert np.allclose(model.predict_proba((UNIT * 255).round()), expected)
    with pytest.warns(InputWarning, match="one-hot"):
        loss, _ = model.loss_and_gradients(UNIT, np.eye(10)[LABELS])
    assert loss == model.loss_and_gradients(UNIT, LABELS)[0]
    with pytest.warns(InputWarning, match="brightest pixel is 16; assumed that 255 is white"):
        model.predict((UNIT * 16).astype(np.uint8))


def test_an_npy_file_for_predict_passes_the_same_border(tmp_path):
    np.save(tmp_path / "x.npy", (UNIT * 16).astype(np.uint8))
    with pytest.raises(VGG7Error, match="--pixel-max 16"):
        read_images(tmp_path / "x.npy", 8)
    images = read_images(tmp_path / "x.npy", 8, Encoding(pixel_max=16)).images
    assert np.allclose(images[:, 0], (UNIT * 16).astype(np.uint8) / 16)
    np.save(tmp_path / "rows.npy", UNIT.reshape(12, 64))
    assert "8x8" in read_images(tmp_path / "rows.npy", 8).assumed


def test_every_option_reaches_train_evaluate_and_resume(tmp_path):
    """The images are inverted, of 0..16, and normalised, with names as labels; digits without the options."""
    digits = load("digits")
    names = [f"n{9 - label}" for label in range(10)]
    pixels = ((1 - digits.images[:500]) * 16 - 3) / 2
    np.savez(tmp_path / "odd.npz", images=pixels, labels=np.array(names)[digits.labels[:500]])
    np.savez(tmp_path / "plain.npz", images=digits.images[:500], labels=digits.labels[:500])
    pixel_options = ["--pixel-max", "16", "--mean", "3", "--std", "2", "--invert"]
    odd = ["--data", tmp_path / "odd.npz", *pixel_options, "--classes", ",".join(names)]
    plain = ["--data", tmp_path / "plain.npz"]
    for name, options in (("odd", odd), ("plain", plain)):
        done = numpy_vgg7("train", *options, "--epochs", "1", "--no-augment", "--out", tmp_path / name)
        assert done.code == 0, done.stderr
    weights = [VGG7.load(tmp_path / name / "last.safetensors") for name in ("odd", "plain")]
    for name, parameter in weights[0].params.items():
        assert np.allclose(parameter, weights[1].params[name], atol=1e-3), name
    (tmp_path / "odd" / "checkpoint" / "state.safetensors").unlink()
    (tmp_path / "odd" / "report.html").unlink()  # as if it was interrupted in its first epoch
    assert numpy_vgg7("train", "--resume", tmp_path / "odd").code == 0
    scores = [
        numpy_vgg7("evaluate", tmp_path / "plain" / "last.safetensors", *options, "--json").stdout
        for options in (odd, plain)
    ]
    assert scores[0].split(",")[0] == scores[1].split(",")[0]
