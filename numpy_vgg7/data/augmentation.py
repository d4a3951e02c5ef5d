"""Turned, stretched and shifted copies of the training images."""

import numpy as np

from numpy_vgg7.nn.arrays import Array

TURN = np.deg2rad(10.0)
STRETCH = 0.1  # of each side
SHIFT = 1 / 8  # of the image's side: one pixel of 8


def augment(images: Array, rng: np.random.Generator) -> Array:
    """Turn each image by up to 10 degrees, stretch it by up to 10 % and shift it by up to 1/8.

    (N, 1, H, W) -> the same shape and dtype. Bilinear between pixels, black outside, so pixels stay
    in 0..1. The whole batch is one gather of the four neighbours.
    """
    n, _, size, _ = images.shape
    angle = rng.uniform(-TURN, TURN, (n, 1, 1))
    stretch = rng.uniform(1 - STRETCH, 1 + STRETCH, (2, n, 1, 1))
    shift = rng.uniform(-SHIFT * size, SHIFT * size, (2, n, 1, 1))
    centre = (size - 1) / 2
    i, j = (np.mgrid[:size, :size] - centre)[:, None] * stretch
    row = np.cos(angle) * i - np.sin(angle) * j + centre + shift[0]
    column = np.sin(angle) * i + np.cos(angle) * j + centre + shift[1]
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
