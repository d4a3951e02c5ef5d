"""Turned, stretched, shifted and bent copies of the training images."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.nn.arrays import Array

KNOTS = 4  # a side: a bend is drawn at 4 x 4 places and is smooth between them


@dataclass(frozen=True)
class Motion:
    """How far an image may move.

    turn: radians. stretch: share of each side. shift: share of the image's side. bend: how far a place
    of the image is moved apart from the others, as a share of the image's side.
    """

    turn: float
    stretch: float
    shift: float
    bend: float = 0.0


MOTIONS = {
    "gentle": Motion(np.deg2rad(10.0), 0.1, 1 / 8),  # one pixel of 8
    "strong": Motion(np.deg2rad(15.0), 0.15, 1 / 14, 1 / 18),  # two pixels of 28; one and a half
}


def augment(images: Array, rng: np.random.Generator, motion: Motion = MOTIONS["gentle"]) -> Array:
    """Turn, stretch, shift and bend each image at random, at most as far as `motion` says.

    (N, 1, H, W) -> the same shape and dtype. Bilinear between pixels, black outside, so pixels stay
    in 0..1. The whole batch is one gather of the four neighbours. Bending is the elastic distortion of
    Simard, Steinkraus and Platt (2003), on a coarse grid.
    """
    n, _, size, _ = images.shape
    angle = rng.uniform(-motion.turn, motion.turn, (n, 1, 1))
    stretch = rng.uniform(1 - motion.stretch, 1 + motion.stretch, (2, n, 1, 1))
    shift = rng.uniform(-motion.shift * size, motion.shift * size, (2, n, 1, 1))
    centre = (size - 1) / 2
    i, j = (np.mgrid[:size, :size] - centre)[:, None] * stretch
    row = np.cos(angle) * i - np.sin(angle) * j + centre + shift[0]
    column = np.sin(angle) * i + np.cos(angle) * j + centre + shift[1]
    if motion.bend:
        between = _between_knots(size)
        far = motion.bend * size
        bend = between @ rng.uniform(-far, far, (2, n, KNOTS, KNOTS)) @ between.T
        row, column = row + bend[0], column + bend[1]
    framed = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))  # the black outside
    row, column = np.clip(row, -1, size) + 1, np.clip(column, -1, size) + 1
    top, left = np.minimum(row.astype(int), size), np.minimum(column.astype(int), size)
    down, right = row - top, column - left
    batch = np.arange(n)[:, None, None]
    turned: Array = (
        framed[batch, top, left] * (1 - down) * (1 - right)
        + framed[batch, top, left + 1] * (1 - down) * right
        + framed[batch, top + 1, left] * down * (1 - right)
        + framed[batch, top + 1, left + 1] * down * right
    )
    framed = np.clip(turned, 0, 1).astype(images.dtype)
    return framed[:, None]


def _between_knots(size: int) -> Array:
    """Weights (size, KNOTS) of the knots at each pixel of a side: 1 on a knot, smooth between two."""
    apart = np.abs(np.linspace(0, KNOTS - 1, size)[:, None] - np.arange(KNOTS))
    near = np.maximum(1 - apart, 0)
    smooth: Array = near * near * (3 - 2 * near)
    return smooth
