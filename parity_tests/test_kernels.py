"""Each kernel of the engine alone, with random upstream gradients, against the function that it speeds up."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from numpy_vgg7 import blas, functional, network
from numpy_vgg7.engine import gemm, kernels
from numpy_vgg7.engine.gemm import IN_PLACE_KERNELS, SMALL, FactoredGradient, Gemm, OuterProduct, block_count
from numpy_vgg7.engine.im2col import Im2col, Im2colWeightGradient
from numpy_vgg7.engine.kernels import KERNELS, kernel_of
from numpy_vgg7.engine.layout import FeatureMaps, Scratch
from numpy_vgg7.engine.memory import CACHE_LINE, Arena
from numpy_vgg7.engine.plan import Plan
from numpy_vgg7.engine.update import BLOCK_SIZE, BlockUpdate, FusedSGD
from numpy_vgg7.engine.winograd import FilterTransform, Winograd, WinogradWeightGradient, applies
from numpy_vgg7.network import ACTIVATIONS, AvgPool2d, Conv2d, Flatten, Linear
from numpy_vgg7.optim import SGD
from parity_tests.agreement import assert_agrees

# (batch, in, out, height, width, groups)
IM2COL_SIZES = [
    (1, 1, 2, 3, 5, 1),
    (2, 4, 3, 4, 6, 1),
    (3, 7, 1, 2, 4, 1),
    (1, 6, 5, 3, 4, 1),
    (5, 3, 70, 7, 11, 1),
    (2, 6, 4, 5, 7, 2),
    (3, 24, 40, 9, 32, 1),
    (4, 4, 4, 4, 4, 4),
]
WINOGRAD_SIZES = [
    (1, 8, 8, 4, 4, 1),
    (3, 5, 6, 6, 7, 1),
    (1, 6, 5, 2, 9, 1),
    (2, 12, 18, 8, 5, 3),
    (1, 70, 9, 10, 32, 1),
    (7, 10, 70, 4, 31, 5),
    (5, 24, 40, 28, 20, 1),
    (6, 6, 6, 6, 6, 6),
]
CONVOLUTIONS = IM2COL_SIZES + WINOGRAD_SIZES
MAPS = [(1, 1, 2, 4), (3, 2, 4, 6), (5, 70, 2, 8), (2, 7, 10, 32), (4, 4, 4, 4)]
FEATURES = [(1, 5), (3, 1), (7, 33), (16, 16)]


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def padded_maps(x, arena):
    """Feature maps with the values of `x` (N, C, H, W)."""
    maps = FeatureMaps(x.shape, x.dtype, arena)
    maps.nchw[...] = x
    return maps


def values(data):
    """The numbers of feature maps or of an array. Fails if the padding of feature maps is not zero."""
    if not isinstance(data, FeatureMaps):
        return data.copy()
    n, c, height, width = data.shape
    seen = data.im2col_view().reshape(3, 3, c, height, n, width + 1)[..., :width].transpose(4, 2, 3, 5, 0, 1)
    assert np.array_equal(seen, functional.windows(data.nchw)), "the padding of the feature maps is not zero"
    return data.nchw.copy()


def run_layer(layer, params, x, d_out):
    """Forward and backward of one layer by its kernel, in the second of two runs with other values."""
    arena = Arena()

    def place(array):
        return padded_maps(array, arena) if array.ndim == 4 else np.array(array, order="F")

    layer_params = kernel_of(layer).Params(layer, params, True, Arena())
    x_data, d_x = place(np.zeros_like(x)), place(np.zeros_like(x))
    plan = Plan([layer], {layer.name: layer_params}, x_data, Scratch(arena), training=True, d_x=d_x)
    for factor in (2.0, 1.0):
        for data, new in ((x_data, factor * x), (plan.d_out, factor * d_out)):
            (data.nchw if isinstance(data, FeatureMaps) else data)[...] = new
        layer_params.prepare()
        plan.forward()
        out = values(plan.out)
        plan.backward()
    gradients = {key: gradient.copy() for key, gradient in plan.gradients.items()}
    kernel = plan.kernels[0]
    if isinstance(layer, Linear):
        factors = FactoredGradient(kernel.d_out, kernel.x)
        gradients[f"{layer.name}.weight"] = factors.materialize()
    return SimpleNamespace(kernel=kernel, out=out, d_x=values(d_x), gradients=gradients)


def check(layer, x, params=None, seed=1):
    """Compare the kernel of a layer with the definition, on `x` and a random upstream gradient."""
    if params is None:
        params = {key: random(*shape, seed=seed + 1) for key, shape in layer.shapes().items()}
    out = layer.forward(params, x)
    d_out = random(*out.shape, seed=seed + 2)
    d_x, gradients = layer.backward(params, x, out, d_out)
    result = run_layer(layer, params, x, d_out)
    assert_agrees(result.out, out, "out")
    assert_agrees(result.d_x, d_x, "d_x")
    assert result.gradients.keys() == {f"{layer.name}.{key}" for key in params}
    for key in params:
        assert_agrees(result.gradients[f"{layer.name}.{key}"], gradients[key], f"d_{key}")
    return result


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("size", CONVOLUTIONS, ids=str)
def test_convolution_agrees_with_the_definition(size, bias):
    n, inputs, outputs, height, width, groups = size
    result = check(Conv2d("conv", inputs, outputs, groups, bias), random(n, inputs, height, width))
    assert result.kernel.winograd == (size in WINOGRAD_SIZES), "the size is in the wrong list"


@pytest.mark.parametrize("size", [CONVOLUTIONS[5], WINOGRAD_SIZES[3]], ids=str)
def test_convolution_reads_weights_that_lie_column_by_column(size):
    n, inputs, outputs, height, width, groups = size
    layer = Conv2d("conv", inputs, outputs, groups)
    params = {key: np.asfortranarray(random(*shape)) for key, shape in layer.shapes().items()}
    check(layer, random(n, inputs, height, width), params)


def test_padding_that_a_convolution_does_not_clear_is_seen(monkeypatch):
    def forward(kernel):
        kernel.convolve()
        np.add(kernel.rows, kernel.params.bias[0], kernel.rows)

    monkeypatch.setattr(kernels.Conv2d, "forward", forward)
    for size in (IM2COL_SIZES[3], WINOGRAD_SIZES[1]):
        n, inputs, outputs, height, width, _ = size
        layer = Conv2d("conv", inputs, outputs)
        params = {"weight": random(outputs, inputs, 3, 3), "bias": np.full(outputs, 3.0)}
        with pytest.raises(AssertionError, match="padding"):
            check(layer, random(n, inputs, height, width), params)


@pytest.mark.parametrize("shape", MAPS, ids=str)
def test_average_pooling_agrees_with_the_definition(shape):
    check(AvgPool2d("pool"), random(*shape))


@pytest.mark.parametrize("shape", [*MAPS, (3, 2, 5, 7)], ids=str)
def test_flatten_agrees_with_the_definition(shape):
    check(Flatten("flatten"), random(*shape))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("size", [(1, 4, 2), (3, 5, 7), (5, 1, 9), (33, 70, 512), (8, 8, 8)], ids=str)
def test_linear_agrees_with_the_definition(size, bias, order):
    n, inputs, outputs = size
    layer = Linear("fc", inputs, outputs, bias)
    params = {key: np.asarray(random(*shape), order=order) for key, shape in layer.shapes().items()}
    check(layer, random(n, inputs), params)


@pytest.mark.parametrize("shape", MAPS + FEATURES, ids=str)
@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activation_agrees_with_the_definition(function, shape):
    x = np.abs(random(*shape)) * 3
    x.flat[1::3] *= -1
    check(network.Activation("act", function), x)


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activation_at_exactly_zero_agrees_with_the_definition(function):
    check(network.Activation("act", function), np.array([[0.0, -0.0, 1.0, -1.0, 0.5]]))


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activation_of_extreme_numbers_agrees_with_the_definition(function):
    layer = network.Activation("act", function)
    x = np.array([[np.nan, np.inf, -np.inf, 1e300, -1e300, 5e-324, -5e-324, 0.0]])
    d_out = random(*x.shape)
    with np.errstate(over="ignore"):  # the square in the derivative of arctan
        out = layer.forward({}, x)
        d_x, _ = layer.backward({}, x, out, d_out)
        found = run_layer(layer, {}, x, d_out)
    np.testing.assert_allclose(found.out, out, rtol=1e-12, atol=0)
    np.testing.assert_allclose(found.d_x, d_x, rtol=1e-12, atol=0)


def test_every_kernel_of_the_table_has_a_test_here():
    layers = [Conv2d("", 1, 1), AvgPool2d(""), Flatten(""), Linear("", 1, 1)]
    layers += [network.Activation("", function) for function in ACTIVATIONS]
    assert {kernel_of(layer) for layer in layers} == set(KERNELS.values())


# What the kernels are made of.


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 3, 4, 5), (3, 2, 2, 4), (1, 70, 3, 32)], ids=str)
def test_the_views_of_feature_maps_show_the_same_pixels(shape):
    x = random(*shape)
    maps = padded_maps(x, Arena())
    n, c, height, width = shape
    pixels = np.pad(x, ((0, 0), (0, 0), (0, 0), (0, 1))).transpose(2, 0, 3, 1)
    assert np.array_equal(values(maps), x)
    assert np.array_equal(maps.pixels, pixels)
    assert maps.pixels.flags.c_contiguous
    assert maps.rows.ctypes.data % CACHE_LINE == 0
    assert not maps.padding.any()
    assert np.array_equal(maps.rows[1:-1], pixels.reshape(height, -1))
    assert not maps.rows[[0, -1]].any()
    flat, count = pixels.reshape(-1, c), n * height * (width + 1)
    assert np.array_equal(maps.flat_pixels()[:count], flat)
    assert np.array_equal(maps.thirds().swapaxes(0, 1).reshape(-1, c)[:count], flat)
    rows = maps.row_windows().swapaxes(0, 1).reshape(-1, 3, c)[:count].reshape(height, n, width + 1, 3, c)
    expected = functional.windows(x)[..., 1, :].transpose(2, 0, 3, 4, 1)
    assert np.array_equal(rows[:, :, :width], expected)


def convolution_parts(size):
    """Filters (3, 3, in, out), x and d_out as arrays and as feature maps, and memory."""
    n, inputs, outputs, height, width, _ = size
    arena = Arena()
    x, d_out = random(n, inputs, height, width), random(n, outputs, height, width, seed=1)
    filters = random(3, 3, inputs, outputs, seed=2)
    return filters, x, d_out, padded_maps(x, arena), padded_maps(d_out, arena), Scratch(arena)


@pytest.mark.parametrize("size", CONVOLUTIONS, ids=str)
def test_im2col_and_its_weight_gradient_agree_with_the_definition(size):
    filters, x, d_out, x_maps, d_maps, scratch = convolution_parts(size)
    weight = filters.transpose(3, 2, 0, 1)
    out, d_filters = FeatureMaps(d_out.shape, x.dtype, scratch.arena), np.full_like(filters, np.nan)
    Im2col(x_maps, filters, out, scratch)()
    assert_agrees(out.nchw, functional.conv2d(x, weight), "out")
    Im2colWeightGradient(x_maps, d_maps, d_filters, scratch)()
    assert_agrees(
        d_filters.transpose(3, 2, 0, 1), functional.conv2d_backward(x, weight, d_out)[1], "d_weight"
    )


@pytest.mark.parametrize("size", WINOGRAD_SIZES, ids=str)
def test_winograd_and_its_weight_gradient_agree_with_the_definition(size):
    filters, x, d_out, x_maps, d_maps, scratch = convolution_parts(size)
    weight = filters.transpose(3, 2, 0, 1)
    out, d_filters = FeatureMaps(d_out.shape, x.dtype, scratch.arena), np.full_like(filters, np.nan)
    transform = FilterTransform(filters, Arena())
    transform()
    Winograd(x_maps, transform.transformed, out, scratch)()
    assert_agrees(out.nchw, functional.conv2d(x, weight), "out")
    WinogradWeightGradient(x_maps, d_maps, d_filters, scratch)()
    assert_agrees(
        d_filters.transpose(3, 2, 0, 1), functional.conv2d_backward(x, weight, d_out)[1], "d_weight"
    )


def test_the_filter_transform_is_that_of_lavin_and_gray():
    filters = random(3, 3, 7, 5)
    transform = FilterTransform(filters, Arena())
    transform()
    g0, g1, g2 = filters.reshape(3, 21, 5)
    expected = g0, (g0 + g1 + g2) / 2, (g0 - g1 + g2) / 2, g2
    for index, g in enumerate(expected):
        assert_agrees(transform.transformed[index], g, f"g[{index}]")


def test_winograd_is_used_where_rows_come_in_pairs_and_there_are_channels():
    for sizes, expected in ((WINOGRAD_SIZES, True), (IM2COL_SIZES, False)):
        assert all(applies(np.empty((3, 3, size[1], size[2])), size[3]) == expected for size in sizes)


@pytest.fixture(params=[SMALL, math.inf], ids=["blocks", "whole"])
def limit(request, monkeypatch):
    """The limit of a block on a processor with small products in place, and on any other."""
    monkeypatch.setattr(gemm, "block_limit", lambda: request.param)
    return request.param


@pytest.mark.usefixtures("limit")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(
    "shape", [(512, 1024, 64), (509, 1024, 64), (1024, 64, 512), (7, 1024, 640), (1, 5, 3)], ids=str
)
def test_a_blocked_product_is_the_product(shape, order):
    rows, inner, columns = shape
    left, right = random(2, rows, inner), random(2, inner, columns, seed=1)
    if order == "F":
        left, right = (np.array(one.swapaxes(1, 2), order="C").swapaxes(1, 2) for one in (left, right))
    out = np.full((2, rows, columns), np.nan)
    Gemm(left, right, out)()
    assert_agrees(out, left @ right, "out")
    out[...] = np.nan
    Gemm(left[1], right[1], out[0])()
    assert_agrees(out[0], left[1] @ right[1], "out")


def test_large_products_are_cut_into_equal_blocks(limit):
    assert (block_count(512, 1024 * 64) > 1) == (limit == SMALL)
    for rows, work in ((512, 65536), (1024, 32768), (96, 40000), (7, 10**6), (509, 65536), (4, 10)):
        count = block_count(rows, work)
        assert rows % count == 0
        assert count == 1 or rows // count * work <= SMALL


@pytest.mark.parametrize("kernel", ["SkylakeX", "Haswell", "Zen", "neoversen1", None])
def test_products_are_cut_only_for_a_blas_that_multiplies_small_ones_in_place(kernel, monkeypatch):
    monkeypatch.setattr(blas, "kernel", lambda: kernel)
    assert gemm.block_limit.__wrapped__() == (SMALL if kernel in IN_PLACE_KERNELS else math.inf)


def test_the_kernel_of_the_blas_is_the_one_that_threadpoolctl_names():
    found = [info.get("architecture") for info in threadpool_info() if "numpy" in info["filepath"]]
    assert blas.kernel() == found[0]


@pytest.mark.parametrize("n", [1, 2, 9])
def test_an_outer_product_is_the_product(n):
    left, right, out = random(n, 70), random(n, 33, seed=1), np.full((70, 33), np.nan)
    OuterProduct(left, right, out)()
    assert_agrees(out, left.T @ right, "out")


# The SGD step.

RULES = {
    "plain": SGD(0.01, 0.02),
    "momentum": SGD(0.01, 0.02, momentum=0.9),
    "Nesterov": SGD(0.01, 0.02, momentum=0.9, nesterov=True),
    "decay": SGD(0.01, 0.02, weight_decay=0.1),
    "Nesterov with decay": SGD(0.01, 0.02, momentum=0.8, weight_decay=0.1, nesterov=True),
    "decay of weights only": SGD(0.01, 0.02, weight_decay=0.1, decay_biases=False),
    "clipped": SGD(0.01, 0.02, clip_norm=0.5),
}
GROUPS = {"conv": ["conv.weight", "conv.bias"], "fc": ["fc.weight", "fc.bias"]}
SHAPES = {"conv.weight": (6, 5, 3, 3), "conv.bias": (6,), "fc.weight": (301, 700), "fc.bias": (301,)}


def draw(seed, order="C"):
    return {
        name: np.asarray(random(*shape, seed=seed + index), order=order)
        for index, (name, shape) in enumerate(SHAPES.items())
    }


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shares", [1, 3])
@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize("rule", RULES)
def test_fused_steps_agree_with_the_definition(rule, n, shares, order):
    sgd, params, velocity, plain = RULES[rule], draw(0, order), draw(10, order), draw(20)
    assert params["fc.weight"].size > BLOCK_SIZE, "one block is no test of blocks"
    factors = FactoredGradient(np.asfortranarray(random(n, 301)), random(n, 700, seed=1))
    expected, expected_velocity = ({name: p.copy() for name, p in d.items()} for d in (params, velocity))
    fused = FusedSGD(sgd, params, plain | {"fc.weight": factors}, velocity, GROUPS, shares)
    for lr_scale in (1.0, 0.3):
        sgd.step(expected, plain | {"fc.weight": factors.materialize()}, expected_velocity, GROUPS, lr_scale)
        fused.set_rates(lr_scale)
        fused.set_clip()
        for block in fused.conv:
            block()
        for task in fused.fc_tasks():
            task()
    for name in params:
        assert_agrees(params[name], expected[name], name)
        if sgd.momentum:  # without it the velocity is not read, and the engine does not write it
            assert_agrees(velocity[name], expected_velocity[name], f"velocity of {name}")


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("factored", [True, False], ids=["factored", "plain gradient"])
def test_one_block_agrees_with_the_definition(rule, factored):
    sgd, parameter, velocity, rate = RULES[rule], random(7, 9), random(7, 9, seed=1), np.array([0.02])
    factors = FactoredGradient(random(3, 7, seed=2), random(3, 9, seed=3))
    gradient = factors.materialize()
    clip = np.array([sgd.clip_factor(2.0)])
    direction, new_velocity = sgd.direction(parameter, clip * gradient, velocity)
    expected = parameter - rate * direction
    BlockUpdate(sgd, parameter, factors if factored else gradient, velocity, rate, clip, Scratch(Arena()))()
    assert_agrees(parameter, expected, "parameter")
    if sgd.momentum:
        assert_agrees(velocity, new_velocity, "velocity")
