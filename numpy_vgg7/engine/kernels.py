"""One kernel per layer, bound to its arrays once and then run for every batch.

A kernel reads `x`, writes `out`, and after `bind_backward` reads `d_out` and writes `d_x`, which is the
`d_out` of the kernel before it. What depends on the parameters alone is made by `prepare`, once per step. The
convolutional part works on feature maps in the padded layout; after `Flatten`, arrays are (N, features). The
outputs of fully connected layers lie feature by feature, the N values of a feature adjacent, since a BLAS
multiplies a large matrix by a narrow one faster than the other way round (docs/performance.md).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from numpy_vgg7 import network
from numpy_vgg7.engine.gemm import Gemm
from numpy_vgg7.engine.im2col import Im2col, Im2colWeightGradient
from numpy_vgg7.engine.layout import FeatureMaps, Scratch
from numpy_vgg7.engine.memory import Arena
from numpy_vgg7.engine.winograd import FilterTransform, Winograd, WinogradWeightGradient
from numpy_vgg7.engine.winograd import applies as winograd_applies
from numpy_vgg7.functional import Array, Arrays

Data = FeatureMaps | Array
QUARTER = 0.25


class LayerParams:
    """A layer's parameters as its kernel reads them, shared by all kernels of one task."""

    def __init__(self, layer: Any, params: Arrays, training: bool, arena: Arena) -> None:
        self.weight: Any = params.get("weight")
        self.bias = params.get("bias")

    def prepare(self) -> None:
        """Follow the current values of the parameters. Once per batch, before the kernels run."""


class Kernel:
    """A layer bound to the arrays of one batch shape.

    `gradients` holds those of its parameters, by key; `Linear` leaves its weight's as two factors.
    """

    Params = LayerParams
    out: Any
    d_out: Any
    d_x: Any = None

    def __init__(self, layer: Any, params: Any, x: Any, scratch: Scratch) -> None:
        self.layer, self.params, self.x, self.scratch = layer, params, x, scratch
        self.gradients: dict[str, Array] = {}

    def bind_backward(self, d_x: Any) -> None:
        """Make the arrays of the backward pass. `d_x` is None if that gradient is not needed."""
        raise NotImplementedError

    def forward(self) -> None:
        """Write `out`."""
        raise NotImplementedError

    def backward_params(self) -> None:
        """Write `gradients`."""

    def backward_input(self) -> None:
        """Write `d_x`."""
        raise NotImplementedError


class ConvParams(LayerParams):
    """Filters (filter row, filter column, in, out), zero between groups, and their transforms."""

    def __init__(self, layer: network.Conv2d, params: Arrays, training: bool, arena: Arena) -> None:
        super().__init__(layer, params, training, arena)
        weight, (c, k) = params["weight"], (layer.in_channels, layer.out_channels)
        self.training = training
        self.filters, self.rotated = (arena.array((3, 3, *io), weight.dtype) for io in ((c, k), (k, c)))
        self.blocks = [
            (self.filters[:, :, i, o], weight[o].transpose(2, 3, 1, 0)) for i, o in channel_blocks(layer)
        ]
        self.exchanged = self.filters[::-1, ::-1].swapaxes(2, 3)
        self.transform, self.transform_rotated = (
            FilterTransform(filters, arena) for filters in (self.filters, self.rotated)
        )

    def prepare(self) -> None:
        """Copy the weight to this layout, rotate and transform it."""
        for filters, weight in self.blocks:
            np.copyto(filters, weight)
        self.transform()
        if self.training:
            np.copyto(self.rotated, self.exchanged)
            self.transform_rotated()


def channel_blocks(layer: network.Conv2d) -> list[tuple[slice, slice]]:
    """Input and output channels of each group."""
    i, o = layer.in_channels // layer.groups, layer.out_channels // layer.groups
    return [(slice(g * i, g * i + i), slice(g * o, g * o + o)) for g in range(layer.groups)]


class Conv2d(Kernel):
    """3x3 convolution: by Winograd's algorithm where it applies, else by im2col."""

    Params = ConvParams
    params: ConvParams
    out: FeatureMaps

    def __init__(self, layer: network.Conv2d, params: ConvParams, x: FeatureMaps, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        n, _, height, width = x.shape
        self.out = FeatureMaps((n, layer.out_channels, height, width), x.dtype, scratch.arena)
        self.winograd = winograd_applies(params.filters, height)
        self.convolve = self._convolution(x, params.filters, params.transform, self.out)
        if params.bias is not None:
            self.rows = self.out.rows[1:-1]
            self.bias_row = scratch.arena.array(self.rows.shape[1:], x.dtype)
            self.bias_pixels = self.bias_row.reshape(-1, layer.out_channels)

    def bind_backward(self, d_x: FeatureMaps | None) -> None:
        """`d_out`, the convolution from `d_out` to `d_x`, and the gradients."""
        self.d_out, self.d_x = FeatureMaps(self.out.shape, self.x.dtype, self.scratch.arena), d_x
        if d_x is not None:
            params = self.params
            self.convolve_back = self._convolution(self.d_out, params.rotated, params.transform_rotated, d_x)
        self._bind_weight_gradient()
        if self.params.bias is not None:
            array = self.scratch.arena.array
            self.d_rows = self.d_out.rows
            self.d_row = array(self.d_rows.shape[1:], self.x.dtype)
            self.d_row_pixels = self.d_row.reshape(-1, self.layer.out_channels)
            self.gradients["bias"] = array((self.layer.out_channels,), self.x.dtype)

    def forward(self) -> None:
        """out[n,o,i,j] = bias[o] + sum over c,u,v of weight[o,c,u,v] * x[n,c,i+u-1,j+v-1]"""
        self.convolve()
        if self.params.bias is not None:
            np.copyto(self.bias_pixels, self.params.bias)
            np.add(self.rows, self.bias_row, self.rows)
        np.copyto(self.out.padding, 0)

    def backward_params(self) -> None:
        """d_weight[o,c,u,v] = sum over n,i,j of d_out[n,o,i,j] * x[n,c,i+u-1,j+v-1], d_bias = sum of d_out"""
        self.weight_gradient()
        for d_weight, d_filters in self.gradient_blocks:
            np.copyto(d_weight, d_filters)
        if self.params.bias is not None:
            np.add.reduce(self.d_rows, axis=0, out=self.d_row)
            np.add.reduce(self.d_row_pixels, axis=0, out=self.gradients["bias"])

    def backward_input(self) -> None:
        """d_x[n,c,i,j] = sum over o,u,v of weight[o,c,u,v] * d_out[n,o,i-u+1,j-v+1]"""
        self.convolve_back()
        np.copyto(self.d_x.padding, 0)

    def _convolution(
        self, x: FeatureMaps, filters: Array, transform: FilterTransform, out: FeatureMaps
    ) -> Winograd | Im2col:
        if self.winograd:
            return Winograd(x, transform.transformed, out, self.scratch)
        return Im2col(x, filters, out, self.scratch)

    def _bind_weight_gradient(self) -> None:
        """With groups, the blocks of the filters' gradient are copied to the weight's layout."""
        layer, dtype = self.layer, self.x.dtype
        algorithm = WinogradWeightGradient if self.winograd else Im2colWeightGradient
        d_filters = self.scratch.arena.array((3, 3, layer.in_channels, layer.out_channels), dtype)
        self.weight_gradient = algorithm(self.x, self.d_out, d_filters, self.scratch)
        self.gradient_blocks: list[tuple[Array, Array]] = []
        d_weight = d_filters.transpose(3, 2, 0, 1)
        if layer.groups > 1:
            d_weight = self.scratch.arena.array(layer.shapes()["weight"], dtype)
            self.gradient_blocks = [
                (d_weight[o], d_filters[:, :, i, o].transpose(3, 2, 0, 1)) for i, o in channel_blocks(layer)
            ]
        self.gradients["weight"] = d_weight


class AvgPool2d(Kernel):
    """2x2 average pooling."""

    out: FeatureMaps

    def __init__(self, layer: network.AvgPool2d, params: None, x: FeatureMaps, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        n, c, height, width = x.shape
        self.out = FeatureMaps((n, c, height // 2, width // 2), x.dtype, scratch.arena)
        self.even, self.odd = x.pixels[0::2], x.pixels[1::2]
        self.pairs, sums = scratch.array(layer.name, (2, height // 2, n, width + 1, c), x.dtype)
        flat = self.pairs.reshape(-1)
        self.left, self.right, self.sums = flat[:-c], flat[c:], sums.reshape(-1)[:-c]
        self.averages, self.inside = sums[:, :, 0:width:2], self.out.pixels[:, :, :-1]

    def bind_backward(self, d_x: FeatureMaps) -> None:
        """`d_out`, and for each pixel of `d_x` the window that it belongs to."""
        self.d_out, self.d_x = FeatureMaps(self.out.shape, self.x.dtype, self.scratch.arena), d_x
        d_pixels = self.d_out.pixels
        self.quarter = self.scratch.array(f"{self.layer.name} backward", d_pixels.shape, self.x.dtype)
        windows = np.arange(d_pixels[..., 0].size).reshape(d_pixels.shape[:-1]).repeat(2, axis=0)
        shape = d_x.pixels.shape[:-1]
        self.window_of = self.scratch.array(f"{self.layer.name} windows", shape, np.intp)
        np.copyto(self.window_of[..., :-1], windows[..., :-1].repeat(2, axis=2))
        # Padding comes from padding, which is zero in d_out and so need not be cleared in d_x.
        np.copyto(self.window_of[..., -1:], windows[..., -1:])
        self.quarters = self.quarter.reshape(-1, self.quarter.shape[-1])

    def forward(self) -> None:
        """out[i,j] = (x[2i,2j] + x[2i,2j+1] + x[2i+1,2j] + x[2i+1,2j+1]) / 4"""
        np.add(self.even, self.odd, self.pairs)
        np.multiply(self.pairs, QUARTER, self.pairs)
        np.add(self.left, self.right, self.sums)
        np.copyto(self.inside, self.averages)

    def backward_input(self) -> None:
        """d_x = d_out / 4 in all four pixels"""
        np.multiply(self.d_out.pixels, QUARTER, self.quarter)
        np.take(self.quarters, self.window_of, 0, self.d_x.pixels, "clip")  # the default copies first


class Flatten(Kernel):
    """(N, C, H, W) in the padded layout -> (N, C*H*W) in C order."""

    def __init__(self, layer: network.Flatten, params: None, x: FeatureMaps, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        self.out_nchw = scratch.arena.array(x.shape, x.dtype)
        self.out = self.out_nchw.reshape(len(self.out_nchw), -1)

    def bind_backward(self, d_x: FeatureMaps) -> None:
        """`d_out`, and the same numbers as (N, C, H, W)."""
        self.d_x, self.d_out = d_x, self.scratch.arena.array(self.out.shape, self.x.dtype)
        self.d_out_nchw = self.d_out.reshape(self.x.shape)

    def forward(self) -> None:
        """The same numbers, one row per image."""
        np.copyto(self.out_nchw, self.x.nchw)

    def backward_input(self) -> None:
        """The same numbers, back in their places."""
        np.copyto(self.d_x.nchw, self.d_out_nchw)


class Linear(Kernel):
    """Fully connected layer. Its weight gradient stays factored: `d_out` and `x` are the factors."""

    def __init__(self, layer: network.Linear, params: LayerParams, x: Array, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        self.out = scratch.arena.array((len(x), layer.out_features), x.dtype, order="F")
        self.gemm = Gemm(params.weight, x.T, self.out.T)
        if params.bias is not None:
            self.bias_column = params.bias[:, None]

    def bind_backward(self, d_x: Array) -> None:
        """`d_out`, and the gradient of the bias."""
        self.d_x, self.d_out = d_x, self.scratch.arena.array(self.out.shape, self.x.dtype, order="F")
        self.gemm_back = Gemm(self.params.weight.T, self.d_out.T, d_x.T)
        if self.params.bias is not None:
            self.gradients["bias"] = self.scratch.arena.array(self.params.bias.shape, self.x.dtype)

    def forward(self) -> None:
        """out[n,o] = bias[o] + sum over i of weight[o,i] * x[n,i]"""
        self.gemm()
        if self.params.bias is not None:
            np.add(self.out.T, self.bias_column, self.out.T)

    def backward_params(self) -> None:
        """d_bias[o] = sum over n of d_out[n,o]"""
        if self.params.bias is not None:
            np.add.reduce(self.d_out, axis=0, out=self.gradients["bias"])

    def backward_input(self) -> None:
        """d_x[n,i] = sum over o of weight[o,i] * d_out[n,o]"""
        self.gemm_back()


class ActivationKernel(Kernel):
    """An elementwise function, in place unless stated. All are 0 at 0, so padding stays 0."""

    def __init__(self, layer: network.Activation, params: None, x: Data, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        self.out = x
        self.y = contiguous(x)

    def bind_backward(self, d_x: Data) -> None:
        """`d_out` is `d_x`."""
        self.d_out = self.d_x = d_x
        self.d = contiguous(d_x)


def contiguous(data: Data) -> Array:
    """The numbers as a contiguous array, padding included."""
    return data.pixels if isinstance(data, FeatureMaps) else data.T


class ReLU(ActivationKernel):
    """Rectified linear unit."""

    def __init__(self, layer: network.Activation, params: None, x: Data, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        # The maximum of two arrays is faster than that of an array and a number.
        self.zeros = scratch.array("zeros", self.y.shape[1:], x.dtype)
        self.positive = scratch.array("positive", self.y.shape, np.bool_)

    def forward(self) -> None:
        """max(x, 0)"""
        np.maximum(self.y, self.zeros, out=self.y)

    def backward_input(self) -> None:
        """d_out where x > 0 or x is NaN, else 0, if d_out is finite"""
        np.not_equal(self.y, 0, self.positive)
        np.multiply(self.d, self.positive, self.d)


class Tanh(ActivationKernel):
    """Hyperbolic tangent."""

    def __init__(self, layer: network.Activation, params: None, x: Data, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        self.slope = scratch.array("slope", self.y.shape, x.dtype)

    def forward(self) -> None:
        """tanh(x)"""
        np.tanh(self.y, self.y)

    def backward_input(self) -> None:
        """d_out * (1 - tanh(x)^2)"""
        np.multiply(self.y, self.y, self.slope)
        np.subtract(1, self.slope, self.slope)
        np.multiply(self.d, self.slope, self.d)


class Arctan(ActivationKernel):
    """Inverse tangent. Its derivative needs the input, so the output has memory of its own."""

    def __init__(self, layer: network.Activation, params: None, x: Data, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        self.slope = scratch.array("slope", self.y.shape, x.dtype)
        self.out = like(x, scratch.arena)
        self.arctan = contiguous(self.out)

    def forward(self) -> None:
        """arctan(x)"""
        np.arctan(self.y, self.arctan)

    def backward_input(self) -> None:
        """d_out / (1 + x^2)"""
        np.multiply(self.y, self.y, self.slope)
        np.add(1, self.slope, self.slope)
        np.divide(self.d, self.slope, self.d)


def like(data: Data, arena: Arena) -> Data:
    """Zeros of the same shape and layout."""
    if isinstance(data, FeatureMaps):
        return FeatureMaps(data.shape, data.dtype, arena)
    return arena.array(data.shape, data.dtype, order="F")


class Identity(ActivationKernel):
    """Logits without a squashing function: nothing to do."""

    def forward(self) -> None:
        """x"""

    def backward_input(self) -> None:
        """d_out"""


KernelTable = Mapping[type[network.Layer] | str, type[Kernel]]

KERNELS: KernelTable = {
    network.Conv2d: Conv2d,
    network.AvgPool2d: AvgPool2d,
    network.Flatten: Flatten,
    network.Linear: Linear,
    "relu": ReLU,
    "tanh": Tanh,
    "arctan": Arctan,
    "identity": Identity,
}


def kernel_of(layer: network.Layer, kernels: KernelTable = KERNELS) -> type[Kernel]:
    """The kernel of a layer, or of the function of an activation."""
    return kernels[layer.function if isinstance(layer, network.Activation) else type(layer)]
