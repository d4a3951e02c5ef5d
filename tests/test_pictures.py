"""Pictures are prepared as the training images were, whatever their format, light, place and size."""

import json

import numpy as np
import pytest
import safetensors
from PIL import Image
from scipy import ndimage

from numpy_vgg7 import VGG7Error, pretrained
from numpy_vgg7.pictures import ink, read, shapes
from numpy_vgg7.pictures.centre import dilated
from numpy_vgg7.pictures.decode import contrasting_grey, read_grey
from numpy_vgg7.pictures.prepare import prepare
from scripts.fuzz_memory import measured
from tests import pictures
from tests.commands import ROOT, python

CASES = ROOT / "tests" / "cases" / "pictures"
DIGITS = np.load(CASES / "t10k_100.npz")  # test images of MNIST
IMAGES, LABELS = DIGITS["images"], DIGITS["labels"]
SEVEN = IMAGES[list(LABELS).index(7)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def label(image):
    """What the weights of the package see in one prepared image."""
    return int(pretrained.mnist().predict(image[None, None])[0])


def page(rng, digit=SEVEN, **options):
    """Grey values of a dark digit on a light page."""
    return pictures.Picture(pictures.page(digit, rng, **options), pictures.grey(0.9), pictures.grey(0.1))


WARNED = {"frame": "ink at the border was left out", "two": "several shapes"}


@pytest.mark.parametrize("path", sorted(CASES.glob("*.png")), ids=lambda path: path.stem)
def test_a_picture_of_each_kind_is_read_and_warned_of_where_it_must_be(path):
    kind, _, digit = path.stem.split("_")
    file = read.read_images(path, 28)
    assert label(file.images[0, 0]) == int(digit)
    expected = [WARNED[kind]] if kind in WARNED else []
    assert len(file.warnings) == len(expected)
    assert all(words in warning for words, warning in zip(expected, file.warnings, strict=True))


def test_pictures_of_all_kinds_are_right_or_warned_of(tmp_path):
    """The short form of `python -m tests.pictures`, whose figures are in docs/pretrained.md."""
    missed, clean = [], []
    for path, kind, digit in pictures.write(tmp_path, IMAGES, LABELS, len(pictures.KINDS), seed=0):
        file = read.read_images(path, 28)
        right = label(file.images[0, 0]) == digit
        if kind in pictures.CLEAN:
            clean.append(right)
        if not right and not file.warnings:
            missed.append(path.name)
    assert all(clean), clean
    assert len(missed) <= 0.05 * len(pictures.KINDS), missed


def test_a_clean_image_of_the_size_of_the_model_is_unchanged():
    unchanged = [np.allclose(prepare(image / 255, 28).image, image / 255, atol=1e-6) for image in IMAGES]
    assert np.mean(unchanged) >= 0.97
    inverted = [np.allclose(prepare(1 - image / 255, 28).image, image / 255, atol=1e-6) for image in IMAGES]
    assert inverted == unchanged


def test_a_digit_has_the_box_and_the_centre_of_mass_of_mnist(rng):
    for digit in IMAGES[:10]:
        grey = page(rng, digit).pixels(rng)[..., 0]
        image = prepare(grey, 28).image
        rows, columns = np.nonzero(image > 0.1)
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        i, j = np.indices(image.shape)
        assert abs((image * i).sum() / image.sum() - 13.5) <= 1
        assert abs((image * j).sum() / image.sum() - 13.5) <= 1
        assert image.max() == 1


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_camera_is_followed(tmp_path, rng, orientation):
    image = Image.fromarray(np.rint(page(rng).pixels(rng) * 255).astype(np.uint8))
    stored = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM], 5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90], 7: [Image.Transpose.TRANSVERSE], 8: [Image.Transpose.ROTATE_270],
    }  # fmt: skip
    turned = image
    for step in stored.get(orientation, []):
        turned = turned.transpose(step)
    exif = Image.Exif()
    exif[pictures.EXIF_ORIENTATION] = orientation
    turned.save(tmp_path / "x.png", exif=exif)
    image.save(tmp_path / "upright.png")
    assert np.array_equal(*(read_grey(tmp_path / name) for name in ("x.png", "upright.png")))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".tiff"])
def test_every_format_gives_nearly_the_same_image(tmp_path, rng, suffix):
    image = Image.fromarray(np.rint(page(rng).pixels(rng) * 255).astype(np.uint8))
    image.save(tmp_path / f"x{suffix}")
    image.save(tmp_path / "y.png")
    found, expected = (read.read_images(tmp_path / name, 28).images for name in (f"x{suffix}", "y.png"))
    assert np.abs(found - expected).max() < 0.15


def test_the_content_decides_about_the_format_not_the_suffix(tmp_path, rng):
    image = Image.fromarray(np.rint(page(rng).pixels(rng) * 255).astype(np.uint8))
    image.save(tmp_path / "x.png", format="JPEG")
    assert label(read.read_images(tmp_path / "x.png", 28).images[0, 0]) == 7


@pytest.mark.parametrize("white", [65535, 4095])
def test_16_and_12_bits_give_the_same_image_as_8(tmp_path, rng, white):
    grey = page(rng).pixels(rng)[..., 0]
    Image.fromarray((grey * white).astype(np.uint16)).save(tmp_path / "x.png")
    Image.fromarray((grey * 255).astype(np.uint8)).save(tmp_path / "y.png")
    found, expected = (read.read_images(tmp_path / name, 28).images for name in ("x.png", "y.png"))
    assert np.abs(found - expected).max() < 0.02


def test_light_that_falls_off_changes_little(rng):
    picture = page(rng)
    even = prepare(picture.pixels(rng)[..., 0], 28).image
    for light in (pictures.falling_light, pictures.spot, pictures.shadow):
        picture.light = light(picture.coverage.shape, rng, 0.6)
        assert np.abs(prepare(picture.pixels(rng)[..., 0], 28).image - even).mean() < 0.02, light.__name__


def test_ink_of_the_same_luminance_as_the_paper_is_seen(rng):
    paper, red = np.array([0.2, 0.55, 0.2]), np.array([0.8, 0.24, 0.26])
    weights = np.array([0.299, 0.587, 0.114])
    assert abs((paper - red) @ weights) < 0.01
    coverage = pictures.page(SEVEN, rng)
    grey = contrasting_grey(pictures.Picture(coverage, paper, red).pixels(rng).astype("float32"))
    assert label(prepare(grey, 28).image) == 7


@pytest.mark.parametrize("inverted", [False, True])
def test_thick_digits_and_digits_in_a_frame_keep_their_polarity(rng, inverted):
    grey = page(rng).pixels(rng)[..., 0]
    framed = grey.copy()
    framed[:5] = framed[-5:] = framed[:, :5] = framed[:, -5:] = 0.1
    thick = 1 - pictures.drawn(SEVEN, 120, rng, threshold=0.1)
    for picture in (grey, framed, thick):
        assert ink.is_dark_on_light(1 - picture if inverted else picture) != inverted


def test_a_frame_around_the_digit_is_left_out_and_a_zero_is_none(rng):
    zero = IMAGES[list(LABELS).index(0)]
    for digit, expected in ((SEVEN, 7), (zero, 0)):
        grey = np.pad(page(rng, digit, side=(200, 300)).pixels(rng)[..., 0], 30, constant_values=0.9)
        bare = prepare(grey, 28)
        for start, end in ((20, 24), (-24, -20)):
            grey[start:end, 20:-20] = grey[20:-20, start:end] = 0.1
        framed = prepare(grey, 28)
        assert label(bare.image) == label(framed.image) == expected
        assert bare.warnings == ()
        assert framed.warnings == ("a frame was left out",)


def test_a_long_stroke_is_no_frame():
    grey = np.full((420, 420), 0.9)
    grey[10:-10, 195:225] = 0.1  # a one of 30 by 400 pixels
    assert label(prepare(grey, 28).image) == 1


def test_specks_are_left_out_and_counted(rng):
    grey = page(rng, side=(300, 400)).pixels(rng)[..., 0]
    clean = prepare(grey, 28)
    grey[3:6, 3:6] = grey[-6:-3, -6:-3] = 0  # darker than the ink
    found = prepare(grey, 28)
    assert "2 specks left out" in found.assumed
    assert not found.warnings
    assert np.allclose(found.image, clean.image, atol=0.1)


def test_a_black_speck_does_not_hide_a_pale_pencil(rng):
    grey = pictures.Picture(
        pictures.page(SEVEN, rng, side=(300, 400)), pictures.grey(0.9), pictures.grey(0.75)
    )
    pixels = grey.pixels(rng)[..., 0]
    pixels[3:7, 3:7] = 0
    assert label(prepare(pixels, 28).image) == 7


def test_ink_at_the_border_and_parts_are_warned_of(rng):
    whole = 1 - pictures.drawn(SEVEN, 100, rng)
    cut = np.pad(whole[20:], ((0, 30), (30, 30)), constant_values=1)
    assert "ink touches the border" in prepare(cut, 28).warnings
    rows, columns = (np.flatnonzero((whole < 0.5).any(axis=axis)) for axis in (1, 0))
    tight = whole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    assert "the digit fills the picture" in prepare(tight, 28).warnings
    parted = np.pad(whole, 30, constant_values=1)
    middle = len(parted) // 2
    parted[middle : middle + 4] = 1
    assert "the digit is in several parts" in prepare(parted, 28).warnings


def test_a_thin_stroke_does_not_become_faint(rng):
    grey = np.ones((400, 300))
    grey[50:350, 150:152] = 0
    image = prepare(grey, 28).image
    assert (image.max(axis=1) > 0.9).sum() >= 18
    assert label(image) == 1


def test_a_picture_without_ink_is_refused_in_one_line(tmp_path, rng):
    Image.new("L", (90, 90), 200).save(tmp_path / "blank.png")
    Image.fromarray((200 + rng.normal(0, 5, (90, 90))).astype(np.uint8)).save(tmp_path / "noise.png")
    Image.fromarray(np.full((9, 9), np.nan, "float32")).save(tmp_path / "nan.tiff")
    refused = {"blank.png": "same grey", "noise.png": "nothing but background", "nan.tiff": "NaN"}
    for name, words in refused.items():
        with pytest.raises(VGG7Error, match=words):
            read.read_images(tmp_path / name, 28)


def test_a_colour_array_is_one_picture_and_three_grey_images_are_three(tmp_path):
    file = read.read_images(CASES / "n_rgb_chw.npy", 28)
    assert file.images.shape == (1, 1, 28, 28)
    assert "(3, 28, 28) taken as one colour image" in file.assumed
    np.save(tmp_path / "hwc.npy", np.load(CASES / "n_rgb_chw.npy").transpose(1, 2, 0))
    assert np.array_equal(read.read_images(tmp_path / "hwc.npy", 28).images, file.images)
    np.save(tmp_path / "three.npy", IMAGES[:3])
    assert read.read_images(tmp_path / "three.npy", 28).images.shape == (3, 1, 28, 28)


def test_damaged_files_are_refused_in_one_line_or_read(tmp_path, rng, capsys):
    image = Image.open(CASES / "pencil28_01_3.png")
    messages = []
    for suffix in (".png", ".jpg", ".webp", ".bmp", ".tiff"):
        image.save(tmp_path / f"x{suffix}")
        content = (tmp_path / f"x{suffix}").read_bytes()
        for _ in range(30):
            damaged = bytearray(content[: int(rng.integers(1, len(content) + 1))])
            damaged[int(rng.integers(len(damaged)))] ^= int(rng.integers(1, 256))
            (tmp_path / f"x{suffix}").write_bytes(damaged)
            try:
                images = read.read_images(tmp_path / f"x{suffix}", 28).images
                assert 0 <= images.min() <= images.max() <= 1
            except VGG7Error as error:
                messages.append(str(error))
    assert len(messages) > 75
    assert not any("\n" in message for message in messages)
    assert capsys.readouterr() == ("", "")


def test_a_tiny_file_takes_little_memory_or_is_refused_before_it_does(tmp_path):
    """A column of 20,000 pixels was once made a square."""
    Image.new("1", (1, 20_000)).save(tmp_path / "column.png")
    column = np.asarray(Image.open(tmp_path / "column.png")).copy()
    column[5_000:9_000] = True
    Image.fromarray(column).save(tmp_path / "ink.png")
    Image.new("1", (9_000, 9_000)).save(tmp_path / "large.png")
    assert (tmp_path / "large.png").stat().st_size < 20_000
    code = """
import resource, sys
from pathlib import Path
from numpy_vgg7 import VGG7Error
from numpy_vgg7.pictures import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        print(read.read_images(Path(path), 28).images.shape)
    except VGG7Error as error:
        print(error)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    names = ("column.png", "ink.png", "large.png")
    done = python("-c", code, *(tmp_path / name for name in names))
    column_line, ink_line, large_line, megabytes = done.stdout.splitlines()
    assert "same grey everywhere" in column_line
    assert ink_line == "(1, 1, 28, 28)"
    assert "50,000,000 pixels, found 9000x9000" in large_line
    assert float(megabytes) < 120


@pytest.mark.parametrize("radius", [1, 2, 5, 9, 40])
def test_strokes_are_widened_by_a_disc(rng, radius):
    image = np.where(rng.random((17, 23)) < 0.1, rng.random((17, 23)), 0).astype(np.float32)
    i, j = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disc = i * i + j * j <= radius * radius
    expected = ndimage.grey_dilation(image, footprint=disc, mode="constant")
    assert np.array_equal(dilated(image, radius), expected)


def test_a_narrow_picture_takes_little_memory(tmp_path):
    """Of a line of 2,088 pixels, SciPy's dilation took 238 MB."""
    line = np.full((2088, 30), 255, np.uint8)
    line[100:1900, 14:16] = 0
    Image.fromarray(line).convert("RGB").save(tmp_path / "x.jpg")
    read.read_images(tmp_path / "x.jpg", 8)
    before, highest, _ = measured()
    assert read.read_images(tmp_path / "x.jpg", 8).images.max() == 1
    assert highest() - before < 60e6


def test_a_thin_line_is_no_frame(recwarn):
    assert not shapes._is_frame(np.ones((25, 1000), bool))
    assert not recwarn


def test_the_weights_of_the_package_are_small_and_say_where_they_come_from():
    assert pretrained.MNIST.stat().st_size < 500_000
    with safetensors.safe_open(pretrained.MNIST, framework="numpy") as file:
        provenance = json.loads(file.metadata()["numpy_vgg7"])["provenance"]
    assert {"data", "command", "commit", "training", "test_accuracy", "test_images"} <= provenance.keys()
    assert (pretrained.mnist().predict(IMAGES) == LABELS).mean() >= 0.99
    page = (ROOT / "docs" / "pretrained.md").read_text()
    assert f"{provenance['test_accuracy']:.2%}".replace("%", " %") in page
    assert provenance["command"] in page
    assert provenance["commit"] in page
