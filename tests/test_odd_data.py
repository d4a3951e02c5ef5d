"""Odd images and labels: `evaluate` converts them, or says in one line what is wrong."""

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config
from tests.odd import require, run

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (40, 8, 8), np.uint8)
LABELS = np.arange(40) % 10
UNIT = IMAGES / 255
ONE_HOT = np.eye(10)[LABELS]
SHAPES = "expected square grey images of shape (N, H, W)"
ONE_EACH = "expected one label for each of 40 images"
RANGE = "expected labels 0..9, found label "
# Labels for the same images: exit code, and a part of what is said.
OF_LABELS = {
    "one too few": (LABELS[:-1], 3, ONE_EACH),
    "one too many": (np.arange(41) % 10, 3, ONE_EACH),
    "two rows": (np.stack([LABELS, LABELS]), 3, ONE_EACH),
    "one number": (np.int64(3), 3, ONE_EACH),
    "two marks in a row": (ONE_HOT + np.eye(10)[0], 3, ONE_EACH),
    "one class only": (LABELS * 0, 0, "of 40 misclassified"),
    "-1": (LABELS - 1, 3, RANGE + "-1"),
    "10": (LABELS + 1, 3, "labels from 1 to 10 need --labels-from 1"),
    "2**62": (LABELS + 2**62, 3, RANGE + str(2**62)),
    "NaN": (np.where(LABELS == 3, np.nan, LABELS), 3, "expected whole numbers, found nan at index 3"),
    "infinity": (np.where(LABELS == 3, np.inf, LABELS), 3, "expected whole numbers, found inf at index 3"),
    "halves": (LABELS + 0.5, 3, "expected whole numbers, found 0.5 at index 0"),
    "numerals": (LABELS.astype(str), 0, "of 40 misclassified"),
    "letters": (np.array(list("abcdefghij"))[LABELS], 3, "such as --classes a,b,c,d,e,f,g,h,i,j"),
    "hostile text": (np.array(["\x1b[2J\u202e", *"123456789"])[LABELS], 3, r"found \x1b[2J\u202e"),
    "a text that is empty": (np.where(LABELS == 3, "", LABELS.astype(str)), 3, "found nothing"),
    "complex numbers": (LABELS + 0j, 3, "dtype complex128"),
    "objects": (LABELS.astype(object), 3, "objects, which are never loaded"),
    "booleans": (LABELS > 4, 0, "of 40 misclassified"),
    "floats": (LABELS.astype(">f8"), 0, "of 40 misclassified"),
    "one-hot": (ONE_HOT, 0, "one-hot rows taken as labels"),
    "a column": (LABELS[:, None], 0, "taken as one label per image"),
    "images": (IMAGES, 3, ONE_EACH),
}
# Images for the same labels.
OF_IMAGES = {
    "none": (IMAGES[:0], 3, "expected at least one image"),
    "of no pixels": (IMAGES[:, :0, :0], 3, "expected at least one image"),
    "a NaN": (np.where(IMAGES == 3, np.nan, UNIT), 3, "NaN or infinity in image"),
    "an infinity": (np.where(IMAGES == 3, np.inf, UNIT), 3, "NaN or infinity in image"),
    "float16": (UNIT.astype("f2"), 0, "of 40 misclassified"),
    "long double": (UNIT.astype("g"), 0, "of 40 misclassified"),
    "big-endian": (UNIT.astype(">f4"), 0, "of 40 misclassified"),
    "Fortran's order": (np.asfortranarray(IMAGES), 0, "of 40 misclassified"),
    "booleans": (IMAGES > 99, 0, "of 40 misclassified"),
    "complex numbers": (IMAGES + 0j, 3, "dtype complex128"),
    "objects": (IMAGES.astype(object), 3, "objects, which are never loaded"),
    "text": (IMAGES.astype(str), 3, "expected numbers, found dtype <U3"),
    "dates": (IMAGES.astype("M8[s]"), 3, "dtype datetime64"),
    "structures": (np.zeros(40, [("a", "f4")]), 3, "dtype [('a', '<f4')]"),
    "int8": (IMAGES.astype("i1"), 3, "convert them with images.view(numpy.uint8)"),
    "uint16": (IMAGES.astype("u2") * 257, 3, "--pixel-max 65535"),
    "int64": (IMAGES.astype("i8"), 0, "assumed that 255 is white"),
    "floats up to 255": (IMAGES.astype("f4"), 0, "assumed that 255 is white"),
    "huge integers": (IMAGES.astype("u8") * 2**55, 3, "expected pixels in 0..1, or uint8 up to 255"),
    "huge floats": (IMAGES * 1e300, 3, "expected pixels in 0..1, or uint8 up to 255"),
    "faint": (IMAGES / 1e6, 3, "if the images are just faint"),
    "subnormal": (IMAGES * 5e-324, 3, "if the images are just faint"),
    "normalised": (IMAGES / 127.5 - 1, 3, "undo the normalisation"),
    "black": (IMAGES * 0, 0, "of 40 misclassified"),
    "white": (IMAGES * 0 + 255, 0, "the border is bright"),
    "in colour": (np.repeat(IMAGES[..., None], 3, 3), 3, SHAPES),
    "not square": (IMAGES[:, :, :4], 3, SHAPES),
    "one number": (np.float64(3), 3, SHAPES),
    "of five dimensions": (IMAGES[:, None, None], 3, SHAPES),
    "labels": (LABELS, 3, "exchange images and labels"),
    "smaller": (IMAGES[:, :4, :4], 3, "expected 8x8 pixels, as the model requires, found 4x4"),
    "larger": (np.full((40, 28, 28), 0.5), 3, "expected 8x8 pixels, as the model requires, found 28x28"),
    "rows": (IMAGES.reshape(40, 64), 0, "taken as images of 8x8"),
    "channels last": (IMAGES[..., None], 0, "taken as (N, H, W, 1)"),
    "channels first": (IMAGES[:, None], 0, "of 40 misclassified"),
}
# Names in the file.
OF_NAMES = {
    "none": ({}, 3, "expected an array of that name"),
    "no labels": ({"images": IMAGES}, 3, "labels: expected an array of that name, found images"),
    "no images": ({"labels": LABELS}, 3, "images: expected an array of that name, found labels"),
    "others": ({"a": IMAGES, "b": LABELS}, 3, "expected an array of that name, found a, b"),
    "hostile": ({"[/b]\x1b[2J": IMAGES, "labels": LABELS}, 3, r"found [/b]\x1b[2J"),
    "half of Keras'": ({"x_train": IMAGES, "y_train": LABELS}, 0, "of 40 misclassified"),
}
FILES = (
    {f"labels: {kind}": ({"images": IMAGES, "labels": row[0]}, *row[1:]) for kind, row in OF_LABELS.items()}
    | {f"images: {kind}": ({"images": row[0], "labels": LABELS}, *row[1:]) for kind, row in OF_IMAGES.items()}
    | {f"names: {kind}": row for kind, row in OF_NAMES.items()}
    | {"one image": ({"images": IMAGES[:1], "labels": LABELS[:1]}, 0, "of 1 misclassified")}
)
FILES["images: none"] = ({"images": IMAGES[:0], "labels": LABELS[:0]}, 3, "expected at least one image")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd") / "w.safetensors"
    VGG7(VGG7Config(image_size=8, channels=(2, 2, 2, 2), hidden=(3, 3))).save(path)
    return path


@pytest.mark.parametrize("kind", FILES)
def test_odd_data_are_converted_or_refused(weights, tmp_path, monkeypatch, capsys, kind):
    arrays, code, part = FILES[kind]
    monkeypatch.chdir(tmp_path)
    np.savez("x.npz", **arrays)
    require(run(["evaluate", str(weights), "--data", "x.npz"], monkeypatch, capsys), code, part)
