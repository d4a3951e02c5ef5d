"""The products on strips against the definition of correlation, written as sums over numbers."""

import numpy as np
import pytest

from numpy_vgg7.nn import strip
from numpy_vgg7.nn import correlation, winograd
from numpy_vgg7.nn.winograd import FEW, correlate, correlate_pairs
from numpy_vgg7.nn.workspace import FRESH
from parity_tests.agreement import assert_agrees

# (batch, in, out, height, width): on both sides of FEW, with every remainder of positions by thirds.
SIZES = [
    (1, 1, 2, 3, 5),
    (2, FEW, 3, 4, 2),
    (2, FEW + 1, 3, 4, 6),
    (3, 7, 1, 2, 2),
    (1, 6, 5, 3, 4),
    (1, 8, 8, 4, 4),
    (3, FEW + 1, FEW + 2, 6, 5),
    (1, 6, 5, 2, 1),
]


def padded(x):
    return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))


def on_strip(x):
    out = strip.new(x.shape, x.dtype)
    out[...] = x
    return out


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_correlation_is_the_sum_over_channels_and_taps(size):
    n, inputs, outputs, height, width = size
    rng = np.random.default_rng(1)
    x, kernel = rng.standard_normal((n, inputs, height, width)), rng.standard_normal((3, 3, inputs, outputs))
    expected = np.zeros((n, outputs, height, width))
    for u in range(3):
        for v in range(3):
            seen = padded(x)[:, :, u : u + height, v : v + width]
            expected += (seen[:, :, None] * kernel[u, v][None, :, :, None, None]).sum(axis=1)
    out = strip.new(expected.shape, x.dtype)
    correlate(on_strip(x), kernel, out, FRESH)
    assert_agrees(out, expected, "out")


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pairs_are_summed_over_batch_and_space(size):
    n, inputs, outputs, height, width = size
    rng = np.random.default_rng(2)
    x, d_out = (rng.standard_normal((n, channels, height, width)) for channels in (inputs, outputs))
    expected = np.zeros((3, 3, inputs, outputs))
    for u in range(3):
        for v in range(3):
            seen = padded(x)[:, :, u : u + height, v : v + width]
            expected[u, v] = (seen[:, :, None] * d_out[:, None]).sum(axis=(0, 3, 4))
    d_kernel = np.empty_like(expected)
    correlate_pairs(on_strip(x), on_strip(d_out), d_kernel, FRESH)
    assert_agrees(d_kernel, expected, "d_kernel")


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 5), (3, 2, 2, 2)], ids=str)
def test_a_strip_reads_as_the_images_and_has_zero_borders(shape):
    x = np.random.default_rng(3).standard_normal(shape)
    laid = on_strip(x)
    n, channels, height, width = shape
    assert np.array_equal(laid, x)
    assert strip.laid(laid)
    assert not strip.laid(laid[:1])
    assert not strip.laid(x)
    pictures = strip.pictures(laid)
    assert pictures.shape == (height, n, width + 1, channels)
    assert pictures.flags.c_contiguous
    assert np.array_equal(pictures[:, :, :width].transpose(1, 3, 0, 2), x)
    assert np.count_nonzero(laid.base) == x.size
