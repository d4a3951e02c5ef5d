"""The border for images and labels: everything that enters is converted and said, or refused.

What is said goes to `note`, a function that takes one line: a warning in Python, a line on standard error on
the command line.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from numpy_vgg7.errors import ConfigError, DataError
from numpy_vgg7.functional import Array, Labels

BYTE = 255  # white in 8-bit images
# Whiter images are hardly ever a whole set of 8-bit images or of floats in 0..1, but of another scale.
DARKEST_BYTE, DARKEST_FLOAT = 16, 0.1
USUAL_MAXIMA = (1, 16, BYTE, 1023, 4095, 65535)
ROUNDING = 1e-5  # pixels outside 0..1 by less are clipped
NORMALISATION_ROUNDING = 0.01  # means and standard deviations are given with a few digits
SMALLEST = 4  # pixels per side
MOST_CLASSES = 2**31

Note = Callable[[str], None]


class InputWarning(UserWarning):
    """An assumption about images or labels that were passed to a method."""


def warn(line: str) -> None:
    """The `note` of the Python interface."""
    warnings.warn(line, InputWarning, stacklevel=2)


@dataclass(frozen=True)
class Encoding:
    """How pixels and labels are encoded, where it is not the default. Raises ConfigError on creation.

    pixel_max: the value of white; if None, it is found from the data where that is unambiguous.
    mean, std: of a normalisation to undo, pixels * std + mean.
    invert: images are dark on light.
    classes: the number of classes; if None, it is found from the labels.
    class_names: text labels, in the order of the classes.
    labels_from: the label of the first class.
    """

    pixel_max: float | None = None
    mean: float | None = None
    std: float | None = None
    invert: bool = False
    classes: int | None = None
    class_names: tuple[str, ...] = ()
    labels_from: int = 0

    def __post_init__(self) -> None:
        for name in ("pixel_max", "std"):
            value = getattr(self, name)
            if value is not None and not (_is_finite(value) and value > 0):
                raise ConfigError(name, "a finite number > 0", value, "correct it")
        if not isinstance(self.invert, (bool, np.bool_)):
            raise ConfigError("invert", "true or false", self.invert, "correct it")
        for name in ("classes", "labels_from"):
            value = getattr(self, name)
            if value is None and name == "classes":
                continue
            if not isinstance(value, Integral) or abs(int(value)) >= MOST_CLASSES:
                raise ConfigError(name, f"a whole number below {MOST_CLASSES:,}", value, "correct it")
        names = self.class_names
        if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
            raise ConfigError("class_names", "texts", names, "correct it")
        if (self.mean is None) != (self.std is None):
            alone = "std" if self.mean is None else "mean"
            raise ConfigError("mean and std", "both or neither", f"{alone} alone", "give both")
        if self.mean is not None and not _is_finite(self.mean):
            raise ConfigError("mean", "a finite number", self.mean, "correct it")
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if len(set(self.class_names)) < len(self.class_names):
            raise ConfigError("classes", "different names", ", ".join(self.class_names), "remove duplicates")
        if self.class_names and self.classes is None:
            object.__setattr__(self, "classes", len(self.class_names))
        if self.class_names and self.classes != len(self.class_names):
            raise ConfigError(
                "classes", f"{len(self.class_names)}, one for each name", self.classes, "correct it"
            )
        if self.classes is not None and self.classes < 2:
            raise ConfigError("classes", "at least 2", self.classes, "add a class")


def _is_finite(value: object) -> bool:
    return isinstance(value, Real) and abs(float(value)) < math.inf


PLAIN = Encoding()


def plain_array(values: Any, source: str) -> Array:
    """An array of what a caller passes. Raises DataError if it is none, or if values of it are masked."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        fix = "fill them, such as with .filled(0), or remove those images"
        raise DataError(source, "an array without gaps", "masked values", fix)
    try:
        array: Array = np.asarray(values)
    except Exception as error:  # of lists of several lengths, and of arrays of other libraries
        raise DataError(source, "an array of numbers", error, "convert it with numpy.array") from error
    return array


def as_images(
    images: Array,
    image_size: int | None,
    dtype: str,
    source: str = "images",
    encoding: Encoding = PLAIN,
    note: Note = warn,
    whole_set: bool = True,
) -> Array:
    """Return pixels (N, 1, H, W) of `dtype` in 0..1: `as_pixels`, with bytes divided by 255."""
    return unit_interval(as_pixels(images, image_size, dtype, source, encoding, note, whole_set), dtype)


def unit_interval(pixels: Array, dtype: str) -> Array:
    """Return pixels of `dtype` in 0..1 from the output of `as_pixels`."""
    if pixels.dtype == np.uint8:
        scaled: Array = pixels.astype(dtype) / np.dtype(dtype).type(BYTE)
        return scaled
    return pixels.astype(dtype, copy=False)


def as_pixels(
    images: Array,
    image_size: int | None,
    dtype: str,
    source: str = "images",
    encoding: Encoding = PLAIN,
    note: Note = warn,
    whole_set: bool = True,
) -> Array:
    """Return pixels (N, 1, H, W), of `dtype` in 0..1 or uint8 in 0..255.

    Images may be (N, H, W), (N, 1, H, W), (N, H, W, 1) or (N, H * W), of any size where `image_size` is None.
    `source` names them in errors. What white is follows from `encoding`, or from the data: floats with a
    maximum of 0.1 to 1 are used unchanged, and 8-bit pixels with a maximum above 16 are divided by 255.
    Integers that are all 0 or 1, and 0..255 in another dtype, are accepted and noted. Darker images are
    refused if they are a `whole_set`. A batch may well be faint: there, the usual scale of the dtype is
    assumed and noted.

    Raises DataError on a wrong shape, an empty set, NaN, negative pixels, or a scale that is not certain.
    """
    images = _shaped(plain_array(images, source), image_size, source, note)
    if images.dtype.kind not in "fiub":
        raise DataError(source, "numbers", f"dtype {images.dtype}", "save pixels as floats")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        bad = int(np.argmax(~np.isfinite(images).all(axis=(1, 2, 3))))
        fix = "fix or remove that image"
        raise DataError(source, "finite pixels", f"NaN or infinity in image {bad}", fix)
    if encoding.mean is not None and encoding.std is not None:
        images = _undo_normalisation(images, encoding.mean, encoding.std, encoding.pixel_max, source)
    white = find_white(images, source, encoding, note, whole_set)
    if images.dtype == np.uint8 and white == BYTE:
        return BYTE - images if encoding.invert else images
    pixels = images.astype(dtype)
    if white != 1:
        pixels /= white
    if images.dtype.kind == "f":
        np.clip(pixels, 0, 1, out=pixels)
    return np.subtract(1, pixels, out=pixels) if encoding.invert else pixels


def find_white(
    images: Array, source: str, encoding: Encoding = PLAIN, note: Note = warn, whole_set: bool = True
) -> float:
    """The pixel value of white in images of any shape, see `as_pixels`.

    Raises DataError if neither `encoding` nor the data determine it.
    """
    low, high = float(images.min()), float(images.max())
    extremes = f"a minimum of {low:.6g} and a maximum of {high:.6g} ({images.dtype}, {low:.6g}..{high:.6g})"
    stated = encoding.pixel_max
    if low < -ROUNDING * max(1.0, high):
        fix = "undo the normalisation (pixels * std + mean; --mean and --std do so)"
        if images.dtype == np.int8:
            fix = "these are unsigned bytes: convert them with images.view(numpy.uint8)"
        raise DataError(source, "pixels in 0..1, or bytes up to 255", extremes, fix)
    if stated is not None:
        if high > stated * (1 + ROUNDING):
            fix = f"state a larger one, such as --pixel-max {_likely_maximum(high):g}"
            raise DataError(source, f"pixels up to the stated maximum, {stated:g}", extremes, fix)
        return stated
    if high == 0 or images.dtype.kind == "b":
        return 1.0
    if images.dtype.kind == "f" and DARKEST_FLOAT <= high <= 1 + ROUNDING:
        return 1.0
    if images.dtype.kind in "iu" and high == 1:
        note(f"{source}: all pixels are 0 or 1; assumed that 1 is white")
        return 1.0
    if images.dtype == np.uint8 and high > DARKEST_BYTE:
        return float(BYTE)
    if low == 0 and BYTE / 2 < high <= BYTE:
        note(f"{source}: {images.dtype} pixels in 0..{high:g}; assumed that {BYTE} is white")
        return float(BYTE)
    likely = _likely_maximum(high)
    fix = f"divide them by the value of white, or state it: --pixel-max {likely:.6g}, if that is white"
    if images.dtype == np.uint8 or (images.dtype.kind == "f" and high < DARKEST_FLOAT):
        usual = BYTE if images.dtype == np.uint8 else 1
        if not whole_set:
            note(f"{source}: the brightest pixel is {high:.6g}; assumed that {usual} is white")
            return float(usual)
        fix += f"; --pixel-max {usual}, if the images are just faint"
    raise DataError(source, "pixels in 0..1, or uint8 up to 255", extremes, fix)


def _likely_maximum(high: float) -> float:
    """The usual largest pixel of images with this maximum, or the maximum itself."""
    if high < DARKEST_FLOAT:
        return high
    return next((maximum for maximum in USUAL_MAXIMA if maximum >= high), high)


def _undo_normalisation(
    images: Array, mean: float, std: float, pixel_max: float | None, source: str
) -> Array:
    pixels: Array = images * np.float32(std)
    pixels += np.float32(mean)
    low, high = float(pixels.min()), float(pixels.max())
    white = pixel_max or (1 if high <= 1 + NORMALISATION_ROUNDING else BYTE)
    slack = NORMALISATION_ROUNDING * white
    if low < -slack or high > white + slack:
        expected = f"pixels * {std:g} + {mean:g} in 0..{white:g}"
        fix = "give the mean and the standard deviation by which they were normalised"
        raise DataError(source, expected, f"{low:.6g}..{high:.6g}", fix)
    return np.clip(pixels, 0, white, out=pixels)


def _shaped(images: Array, image_size: int | None, source: str, note: Note) -> Array:
    """Square grey images (N, 1, H, W) from arrays of any accepted shape. Raises DataError."""
    shape, found = images.shape, f"shape {images.shape}"
    if images.ndim == 2 and _is_square(shape[1]):
        side = math.isqrt(shape[1])
        images = images.reshape(-1, 1, side, side)
        note(f"{source}: rows of {shape[1]} pixels taken as images of {side}x{side}")
    elif images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and shape[3] == 1 and shape[1] == shape[2] != 1:
        images = images.transpose(0, 3, 1, 2)
        note(f"{source}: {found} taken as (N, H, W, 1)")
    if images.ndim != 4 or images.shape[1] != 1 or images.shape[2] != images.shape[3]:
        expected = "square grey images of shape (N, H, W), (N, 1, H, W), (N, H, W, 1) or (N, H * W)"
        fix = "reshape them, or average the colours"
        if len(shape) == 1:
            fix = "these look like labels: exchange images and labels, if they are swapped"
        raise DataError(source, expected, found, fix)
    if not images.size:
        raise DataError(source, "at least one image", found, "add images")
    height, width = images.shape[2:]
    if image_size is not None and height != image_size:
        expected = f"{image_size}x{image_size} pixels, as the model requires"
        raise DataError(source, expected, f"{height}x{width}", "resize them, or use a model of their size")
    return images


def _is_square(pixels: int) -> bool:
    return pixels >= SMALLEST**2 and math.isqrt(pixels) ** 2 == pixels


def as_labels(
    labels: Array,
    count: int,
    classes: int | None,
    source: str = "labels",
    encoding: Encoding = PLAIN,
    note: Note = warn,
) -> Labels:
    """Return `count` integer labels in 0..classes-1, shape (count,).

    If neither `classes` nor `encoding` gives the number of classes, the first one and most others up to the
    largest label must occur. Accepts whole numbers of any dtype, (count, 1), one-hot rows, and text, which
    must be numerals or names in `encoding.class_names`. Raises DataError on anything else.
    """
    labels = _column(plain_array(labels, source), count, source, note)
    numbers = _numbers(labels, source, encoding, note)
    if classes is None:
        classes = encoding.classes
    elif encoding.classes is not None and encoding.classes != classes:
        fix = f"give --classes {classes}, or none"
        raise DataError(source, f"{classes} classes, as the model has", encoding.classes, fix)
    first, last = int(numbers.min()), int(numbers.max())
    if encoding.labels_from and not encoding.class_names:
        if first < encoding.labels_from:
            fix = f"give --labels-from {first}"
            expected = f"no label below --labels-from {encoding.labels_from}"
            raise DataError(source, expected, f"label {first}", fix)
        numbers = numbers - encoding.labels_from
        first, last = first - encoding.labels_from, last - encoding.labels_from
    if classes is None:
        classes = _infer_classes(numbers, encoding.labels_from, source, note)
    outside = (numbers < 0) | (numbers >= classes)
    if outside.any():
        index = int(np.argmax(outside))
        fix = "number the classes without gaps, or remove that image"
        if first == 1 and last >= classes and not encoding.labels_from:
            fix = f"labels from 1 to {last} need --labels-from 1 and {last} classes"
        found = f"label {labels[index]} at index {index}"
        start = 0 if encoding.class_names else encoding.labels_from
        raise DataError(source, f"labels {start}..{start + classes - 1}", found, fix)
    return numbers


def _column(labels: Array, count: int, source: str, note: Note) -> Array:
    """One label per image, (count,), from (count,), (count, 1) or one-hot rows. Raises DataError."""
    found = f"shape {labels.shape}"
    if labels.ndim == 2 and len(labels) == count and labels.shape[1] == 1:
        labels = labels[:, 0]
        note(f"{source}: {found} taken as one label per image")
    elif labels.ndim == 2 and len(labels) == count and _one_hot(labels):
        note(f"{source}: one-hot rows taken as labels of {labels.shape[1]} classes")
        labels = labels.argmax(axis=1)
    if labels.shape != (count,) or not count:
        expected = f"one label for each of {count} images, shape ({count},)"
        fix = "give class numbers or one-hot rows, in the order of the images"
        if labels.ndim > 2:
            fix = "these look like images: exchange images and labels, if they are swapped"
        raise DataError(source, expected, found, fix)
    return labels


def _one_hot(rows: Array) -> bool:
    if rows.dtype.kind not in "fiub":
        return False
    return bool(((rows == 0) | (rows == 1)).all() and (rows.sum(axis=1) == 1).all())


def _numbers(labels: Array, source: str, encoding: Encoding, note: Note) -> Labels:
    """Whole numbers from numbers, numerals or names. Raises DataError."""
    if labels.dtype.kind in "SUT":
        return _from_text(labels, source, encoding.class_names, note)
    if labels.dtype.kind not in "fiub":
        raise DataError(source, "integers or text", f"dtype {labels.dtype}", "convert the labels")
    if labels.dtype.kind == "f":
        fractional = ~np.isfinite(labels) | (labels != np.floor(labels)) | (np.abs(labels) >= 2**31)
        if fractional.any():
            index = int(np.argmax(fractional))
            fix = "give class numbers"
            raise DataError(source, "whole numbers", f"{labels[index]} at index {index}", fix)
        note(f"{source}: {labels.dtype} numbers, all whole, taken as integers")
    return labels.astype(np.int64)


def _from_text(labels: Array, source: str, names: tuple[str, ...], note: Note) -> Labels:
    words = {label: _word(label) for label in labels}  # each once: decoding all would take memory
    present = sorted(set(words.values()))
    if names:
        index = {name: number for number, name in enumerate(names)}
        unknown = [name for name in present if name not in index]
        if unknown:
            expected = f"text labels among {', '.join(names)}"
            raise DataError(source, expected, unknown[0], "add it to --classes")
        return np.fromiter((index[words[label]] for label in labels), np.int64, len(labels))
    try:
        numbers = {name: int(name) for name in present}
    except ValueError as error:
        shown = ",".join(present[:30])
        fix = f"give the names in the order of the classes, such as --classes {shown}"
        raise DataError(source, "numerals, or --classes with their names", present[0], fix) from error
    note(f"{source}: text labels, all numerals, taken as numbers")
    return np.fromiter((numbers[words[label]] for label in labels), np.int64, len(labels))


def _word(label: Any) -> str:
    return label.decode("utf-8", "replace") if isinstance(label, bytes) else str(label)


def _infer_classes(labels: Labels, labels_from: int, source: str, note: Note) -> int:
    """The largest label and one, if the first class and most others occur. Raises DataError.

    `labels_from` has been subtracted from the labels.
    """
    first, last = int(labels.min()), int(labels.max())
    present = np.unique(labels)
    if first == 0 and last > 0 and 2 * len(present) > last + 1:
        missing = last + 1 - len(present)
        if missing:
            note(f"{source}: {last + 1} classes, of which {missing} without images")
        return last + 1
    expected = "labels 0, 1, 2, ... without large gaps"
    found = f"{len(present)} different labels in {first + labels_from}..{last + labels_from}"
    fix = f"number the classes from 0, or give --classes {max(last + 1, 2)} if some have no images"
    if first > 0 and len(present) == last - first + 1:
        fix = f"give --labels-from {first + labels_from} for {len(present)} classes, "
        fix += f"or --classes {last + 1} if the classes before {first} have no images"
    elif first < 0:
        fix = "number the classes from 0"
    raise DataError(source, expected, found, fix)
