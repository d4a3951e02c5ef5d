"""Both correlations on strips, plain and Winograd's, against sums over numbers; and what they are made of."""

import numpy as np
import pytest
from numpy_vgg7.nn import correlation, strip, winograd
from numpy_vgg7.nn.products import SMALL, multiply
from numpy_vgg7.nn.winograd import FEW
from numpy_vgg7.nn.workspace import FRESH

from parity_tests.agreement import assert_agrees

MODULES = [correlation, winograd]

# (batch, in, out, height, width): on both sides of FEW, rows in pairs and not, some in several pieces.
SIZES = [
    (1, 1, 2, 3, 5),
    (2, FEW, 3, 4, 2),
    (2, FEW + 1, 3, 4, 6),
    (3, 7, 1, 2, 2),
    (1, 6, 5, 3, 4),
    (1, 8, 8, 4, 4),
    (3, FEW + 1, FEW + 2, 6, 5),
    (1, 6, 5, 2, 1),
    (5, 24, 40, 28, 20),
]


def test_some_sizes_are_for_winograd_and_some_are_not():
    fit = [
        winograd.fits(np.empty((3, 3, inputs, outputs)), height) for _, inputs, outputs, height, _ in SIZES
    ]
    assert 4 <= sum(fit) <= len(SIZES) - 4


def padded(x):
    return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))


def on_strip(x):
    out = strip.new(x.shape, x.dtype)
    out[...] = x
    return out


@pytest.mark.parametrize("module", MODULES, ids=["plain", "Winograd"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_correlation_is_the_sum_over_channels_and_taps(size, module):
    n, inputs, outputs, height, width = size
    rng = np.random.default_rng(1)
    x, kernel = rng.standard_normal((n, inputs, height, width)), rng.standard_normal((3, 3, inputs, outputs))
    expected = np.zeros((n, outputs, height, width))
    for u in range(3):
        for v in range(3):
            seen = padded(x)[:, :, u : u + height, v : v + width]
            expected += (seen[:, :, None] * kernel[u, v][None, :, :, None, None]).sum(axis=1)
    out = strip.new(expected.shape, x.dtype)
    module.correlate(on_strip(x), kernel, out, FRESH)
    assert_agrees(out, expected, "out")


@pytest.mark.parametrize("module", MODULES, ids=["plain", "Winograd"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_pairs_are_summed_over_batch_and_space(size, module):
    n, inputs, outputs, height, width = size
    rng = np.random.default_rng(2)
    x, d_out = (rng.standard_normal((n, channels, height, width)) for channels in (inputs, outputs))
    expected = np.zeros((3, 3, inputs, outputs))
    for u in range(3):
        for v in range(3):
            seen = padded(x)[:, :, u : u + height, v : v + width]
            expected[u, v] = (seen[:, :, None] * d_out[:, None]).sum(axis=(0, 3, 4))
    d_kernel = np.empty_like(expected)
    module.correlate_pairs(on_strip(x), on_strip(d_out), d_kernel, FRESH)
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


@pytest.mark.parametrize(
    "shape", [(512, 1024, 64), (509, 1024, 64), (1024, 64, 512), (7, 1024, 640)], ids=str
)
@pytest.mark.parametrize("by_column", [False, True], ids=["rows", "columns"])
def test_a_product_in_pieces_is_the_product(shape, by_column):
    rows, inner, columns = shape
    assert rows * inner * columns > SMALL
    rng = np.random.default_rng(4)
    left, right = rng.standard_normal((2, rows, inner)), rng.standard_normal((2, inner, columns))
    if by_column:
        left, right = (np.array(one.swapaxes(1, 2), order="C").swapaxes(1, 2) for one in (left, right))
    out = np.full((2, rows, columns), np.nan)
    multiply(FRESH.do, left, right, out)
    assert_agrees(out, left @ right, "out")
    multiply(FRESH.do, left[1], right[1], out[0])
    assert_agrees(out[0], left[1] @ right[1], "out")
