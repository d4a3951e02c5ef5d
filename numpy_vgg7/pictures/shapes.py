"""The digit among all connected areas of ink: specks, frames and other shapes are left out."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from numpy_vgg7.functional import Array

NOISE_LIMIT = 5  # standard deviations of the background
FAINTEST = 0.02  # of the light: less is not taken for ink
OUTLINE = 0.3  # of the ink's absorption, at the edge of a stroke
NEAR = 0.15  # of the size of the digit: a shape at this distance is a part of it
SMALLEST = 0.04  # of the longer side: what is smaller is a speck if there is more
PART, SHAPE = 0.02, 0.15  # of the ink of the digit: what has less is a speck
FILLED = 0.95  # of both sides: a digit of this size fills the picture
# How much the ink of a shape counts if it touches the border; or two opposite sides of it, or is a frame.
TOUCHING, NO_DIGIT = 0.25, 0.02
FRAME_EDGE = 0.08  # of the size of a frame: how far its lines are from straight and level
SMALLEST_FRAME = 24  # pixels per side
FRAME_LINES = 0.9  # of each side of a frame is ink

Mask = NDArray[np.bool_]


class Digit(NamedTuple):
    """The pixels of a digit, the absorption of its ink, and what should be known about the picture."""

    mask: Mask
    ink: float
    warnings: tuple[str, ...]
    specks: int


class Shapes(NamedTuple):
    """Connected areas of ink: `labels` (H, W) has the number of each, from 1; the others are (count,)."""

    labels: NDArray[np.int32]
    ink: Array  # the sum of what they absorb
    touching: Mask  # the border
    no_digit: Mask  # touching two opposite sides of it, or a frame

    def largest(self) -> int:
        """The index of the shape with the most ink, most likely the digit."""
        trust = np.where(self.no_digit, NO_DIGIT, np.where(self.touching, TOUCHING, 1))
        return int(np.argmax(self.ink * trust))


def find_digit(absorbed: Array, noise: float) -> Digit | None:
    """Find the digit in an image of absorbed light, (H, W). None if there is no ink.

    Shapes are outlined at a share of the absorption of the digit's ink. Those near the largest are parts of
    it.
    """
    floor = max(NOISE_LIMIT * noise, FAINTEST)
    ink = _ink(absorbed, floor)
    if ink is None:
        return None
    shapes = _shapes(absorbed, max(floor, OUTLINE * ink))
    main = shapes.largest()
    share = shapes.ink / shapes.ink[main]
    parts = (share >= PART) & (_distance(shapes.labels, main) <= NEAR * _size(shapes.labels == main + 1))
    parts &= ~shapes.no_digit
    parts[main] = True
    mask = np.isin(shapes.labels, np.flatnonzero(parts) + 1)
    large = share >= SHAPE
    border = shapes.touching & ~parts & (large | shapes.no_digit)
    frames = shapes.no_digit & ~shapes.touching & ~parts
    others = large & ~parts & ~border & ~frames
    findings = {
        "ink touches the border": shapes.touching[parts].any(),
        "ink at the border was left out": border.any(),
        "a frame was left out": frames.any(),
        "several shapes, of which the largest was read": others.any(),
        "the digit is in several parts": (large & parts).sum() > 1,
        "the digit fills the picture": min(_extent(mask) / np.array(mask.shape)) >= FILLED,
    }
    specks = int((~parts & ~border & ~frames & ~others).sum())
    return Digit(mask, ink, tuple(line for line, found in findings.items() if found), specks)


def _ink(absorbed: Array, floor: float) -> float | None:
    """The absorption of the digit's ink; None if nothing absorbs more than `floor`.

    It is that of the darkest shape that is more than a speck: so a black speck does not hide a pale pencil,
    and neither do the edges of a shadow hide any ink.
    """
    threshold, found = float(absorbed.max()) / 2, None
    smallest = SMALLEST * max(absorbed.shape)
    while threshold > floor:
        shapes = _shapes(absorbed, threshold)
        main = shapes.largest()
        found = float(np.percentile(absorbed[shapes.labels == main + 1], 90))
        if not shapes.no_digit[main] and _size(shapes.labels == main + 1) >= smallest:
            break
        threshold /= 2
    return found


def _shapes(absorbed: Array, threshold: float) -> Shapes:
    """Areas above a threshold. Pixels that touch at a corner are connected."""
    labels, count = ndimage.label(absorbed > threshold, np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    ink = np.atleast_1d(ndimage.sum(absorbed, labels, numbers))
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    top, bottom, left, right = (np.isin(numbers, side) for side in sides)
    boxes = ndimage.find_objects(labels)
    frames = [_is_frame(labels[box] == number) for number, box in zip(numbers, boxes, strict=True)]
    no_digit = (top & bottom) | (left & right) | np.array(frames, dtype=bool)
    return Shapes(labels, ink, top | bottom | left | right, no_digit)


def _is_frame(mask: Mask) -> bool:
    """Whether a shape, cropped to its box, is four lines along the sides of that box around empty space."""
    edge = round(FRAME_EDGE * max(mask.shape))
    inside = mask[edge:-edge, edge:-edge]
    if min(mask.shape) < SMALLEST_FRAME or not inside.size or inside.mean() > 1 - FRAME_LINES:
        return False
    sides = (mask[:edge].any(axis=0), mask[-edge:].any(axis=0), mask[:, :edge].any(1), mask[:, -edge:].any(1))
    return all(side.mean() >= FRAME_LINES for side in sides)


def _distance(labels: NDArray[np.int32], main: int) -> Array:
    """The smallest distance of each shape from the shape with the index `main`, in pixels."""
    distances = ndimage.distance_transform_edt(labels != main + 1)
    return np.atleast_1d(ndimage.minimum(distances, labels, np.arange(1, labels.max() + 1)))


def _extent(mask: Mask) -> NDArray[np.int64]:
    """Height and width of the box around a mask."""
    return np.array([np.ptp(np.flatnonzero(mask.any(axis=axis))) + 1 for axis in (1, 0)])


def _size(mask: Mask) -> int:
    return int(_extent(mask).max())
