"""Digits, npz files, image files and augmentation."""

import numpy as np
import pytest
from PIL import Image

from numpy_vgg7 import VGG7Error
from numpy_vgg7.data import load, split
from numpy_vgg7.data.augmentation import AUGMENTATIONS, Augmentation, augment
from numpy_vgg7.pictures.read import read_images
from numpy_vgg7.training.config import TrainingConfig

RNG = np.random.default_rng(0)


def test_the_embedded_digits_are_scaled_to_the_unit_interval():
    digits = load("digits", 10)
    assert digits.images.shape == (1797, 1, 8, 8)
    assert digits.images.min() == 0
    assert digits.images.max() == 1
    assert digits.images.dtype == np.float32


def test_the_split_is_stratified_complete_and_always_the_same():
    digits = load("digits", 10)
    parts = split(digits)
    assert [len(part) for part in parts] == [1258, 180, 359]
    everything = np.concatenate([part.images for part in parts]).reshape(1797, -1)
    assert sorted(map(bytes, everything)) == sorted(map(bytes, digits.images.reshape(1797, -1)))
    for part in parts:
        shares = np.bincount(part.labels) / len(part) - np.bincount(digits.labels) / 1797
        assert np.abs(shares).max() < 0.01
    assert np.array_equal(parts.test.labels, split(load("digits", 10)).test.labels)


@pytest.mark.parametrize("scale", [1.0, 255])
def test_an_npz_file_is_read_as_floats_or_bytes(tmp_path, scale):
    images = RNG.integers(256, size=(5, 12, 12)).astype(np.uint8)
    np.savez(tmp_path / "d.npz", images=images if scale == 255 else images / 255, labels=np.arange(5))
    found = load(str(tmp_path / "d.npz"), 10)
    assert np.allclose(found.images[:, 0], images / 255, atol=1e-7)
    assert found.image_size == 12


GOOD = {"images": np.zeros((20, 8, 8)), "labels": np.arange(20) % 10}
BAD_SETS = {
    "empty": ({"images": np.zeros((0, 8, 8)), "labels": np.zeros(0, dtype=int)}, "at least one image"),
    "NaN pixels": ({"images": np.full((20, 8, 8), np.nan)}, "NaN"),
    "label 10": ({"labels": np.arange(20) % 11}, "label 10 at index 10"),
    "float pixels to 255": ({"images": np.full((20, 8, 8), 255.0)}, r"0\.\.255|255\.\.255"),
    "pickled": ({"images": np.array([{}] * 20, dtype=object)}, "plain numeric arrays.*objects"),
    "too few labels": ({"labels": np.arange(19)}, r"\(20,\)"),
}


@pytest.mark.parametrize("kind", BAD_SETS)
def test_a_bad_data_set_is_refused_in_one_line_with_its_name(tmp_path, kind):
    changes, words = BAD_SETS[kind]
    np.savez(tmp_path / "d.npz", **(GOOD | changes))
    with pytest.raises(VGG7Error, match=words) as caught:
        load(str(tmp_path / "d.npz"), 10)
    assert "d.npz" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_error_of_an_npz_without_labels_lists_its_arrays(tmp_path):
    np.savez(tmp_path / "d.npz", images=GOOD["images"], targets=GOOD["labels"])
    with pytest.raises(VGG7Error, match=r"labels.*images, targets"):
        load(str(tmp_path / "d.npz"), 10)


def test_a_set_too_small_to_split_is_refused(tmp_path):
    np.savez(tmp_path / "d.npz", **GOOD)
    with pytest.raises(VGG7Error, match="3 images of each class"):
        split(load(str(tmp_path / "d.npz"), 10))


def drawing(inverted=False, mode="L"):
    """A bright 8 on black, 120 x 90 pixels, off centre; or dark on light."""
    grey = np.zeros((120, 90), dtype=np.uint8)
    digit = load("digits", 10).images[8, 0]
    grey[20:100, 5:85] = np.kron(digit, np.ones((10, 10))) * 255
    image = Image.fromarray(255 - grey if inverted else grey)
    return image.convert(mode)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "P", "I;16"])
def test_an_image_is_read_the_same_in_every_mode(tmp_path, mode):
    if mode == "I;16":
        Image.fromarray(np.asarray(drawing(), dtype=np.uint16) * 257).save(tmp_path / "x.png")
    else:
        drawing(mode=mode).save(tmp_path / "x.png")
    drawing().save(tmp_path / "grey.png")
    found, grey = (read_images(tmp_path / name, 8).images for name in ("x.png", "grey.png"))
    assert np.abs(found - grey).max() < (0.7 if mode == "1" else 0.03)


def test_both_polarities_give_the_same_digit_and_are_reported(tmp_path):
    drawing().save(tmp_path / "light.png")
    drawing(inverted=True).save(tmp_path / "dark.png")
    light, dark = (read_images(tmp_path / name, 8) for name in ("light.png", "dark.png"))
    assert np.allclose(light.images, dark.images, atol=1e-6)
    assert "light on dark" in light.assumed
    assert "inverted" in dark.assumed


def test_an_image_is_cropped_and_centred_like_the_training_images(tmp_path):
    drawing().save(tmp_path / "x.png")
    found = read_images(tmp_path / "x.png", 8).images[0, 0]
    assert np.abs(found - load("digits", 10).images[8, 0]).mean() < 0.2
    assert found[0].max() > 0.1
    assert found[-1].max() > 0.1


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.png", b"this is a text", "PNG"),
        ("x.npy", b"this is a text", "npy"),
        ("nothing.png", None, "nothing there"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path, name, content, words):
    if content:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(VGG7Error, match=words):
        read_images(tmp_path / name, 8)


def test_a_truncated_or_blank_image_is_refused(tmp_path):
    drawing().save(tmp_path / "x.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "x.png").read_bytes()[:150])
    Image.new("L", (50, 50), 128).save(tmp_path / "blank.png")
    for name, words in (("half.png", "PNG"), ("blank.png", "same grey")):
        with pytest.raises(VGG7Error, match=words):
            read_images(tmp_path / name, 8)


@pytest.mark.parametrize("augmentation", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_augmentation_changes_every_image_and_keeps_pixels_in_the_unit_interval(augmentation):
    images = load("digits", 10).images[:50]
    augmented = augment(images, np.random.default_rng(1), augmentation)
    assert augmented.shape == images.shape
    assert augmented.dtype == images.dtype
    assert augmented.min() >= 0
    assert augmented.max() <= 1
    assert (np.abs(augmented - images).max(axis=(1, 2, 3)) > 0.01).all()
    assert abs(augmented.mean() / images.mean() - 1) < 0.15
    assert np.array_equal(augmented, augment(images, np.random.default_rng(1), augmentation))


def test_augmentation_by_zero_is_the_identity():
    images = load("digits", 10).images[:5]
    assert np.allclose(augment(images, np.random.default_rng(1), Augmentation(0, 0, 0)), images, atol=1e-6)


def test_an_elastic_distortion_moves_pixels_by_at_most_its_value():
    dots = np.zeros((50, 1, 28, 28), "float32")
    dots[:, :, 4::9, 4::9] = 1
    distorted = augment(dots, np.random.default_rng(1), Augmentation(0, 0, 0, elastic=2 / 28))
    near = np.zeros((28, 28), bool)
    for i, j in np.argwhere(dots[0, 0]):
        near[i - 3 : i + 4, j - 3 : j + 4] = True
    assert not distorted[:, :, ~near].any()
    assert (np.abs(distorted - dots).max(axis=(1, 2, 3)) > 0.5).all()


def test_an_unknown_augmentation_is_refused():
    for unknown in ("wild", []):
        with pytest.raises(VGG7Error, match="gentle, strong"):
            TrainingConfig(augmentation=unknown)
