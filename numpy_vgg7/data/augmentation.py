"""Shifted and turned copies of the training images."""

from typing import Any

import numpy as np

from numpy_vgg7.nn.arrays import Array

TURN = np.deg2rad(10.0)
SHIFT = 1 / 14  # of the image's side: 2 pixels of 28
ZOOM = 0.1


def augment(images: Array, rng: np.random.Generator) -> Array:
    """Turn each image by up to 10 degrees and shift it by up to 1/14 of its side.

    (N, 1, H, W) -> the same shape and dtype. Bilinear between pixels, black outside, so pixels stay
    in 0..1. The whole batch is one gather of the four neighbours.
    """
    n, _, size, _ = images.shape
    angle = rng.uniform(-TURN, TURN, (n, 1, 1))
    shift = rng.uniform(-SHIFT * size, SHIFT * size, (2, n, 1, 1))
    centre = (size - 1) / 2
    i, j = (np.mgrid[:size, :size] - centre)[:, None] * rng.uniform(1 - ZOOM, 1 + ZOOM, (2, n, 1, 1))
    row = np.cos(angle) * i - np.sin(angle) * j + centre + shift[0]
    column = np.sin(angle) * i + np.cos(angle) * j + centre + shift[1]
    framed = np.pad(images[:, 0], ((0, 0), (1, 1), (1, 1)))  # the black outside
    row, column = np.clip(row, -1, size) + 1, np.clip(column, -1, size) + 1
    top, left = np.minimum(row.astype(int), size), np.minimum(column.astype(int), size)
    down, right = row - top, column - left
    batch = np.arange(n)[:, None, None]

    def corner(di: int, dj: int) -> Array:
        pixels: np.ndarray[Any, Any] = framed[batch, top + di, left + dj]
        return pixels * (down if di else 1 - down) * (right if dj else 1 - right)

    turned = corner(0, 0) + corner(0, 1) + corner(1, 0) + corner(1, 1)
    return np.clip(turned, 0, 1).astype(images.dtype)[:, None]
