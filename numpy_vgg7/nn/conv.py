"""3x3 convolution, and why its backward pass is two more correlations."""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from numpy_vgg7.nn.arrays import Array, Arrays

KERNEL_SIZE = 3
PADDING = 1
TAPS = KERNEL_SIZE * KERNEL_SIZE


@dataclass(frozen=True)
class Conv2d:
    """3x3 cross-correlation with zero padding 1: (N, in, H, W) -> (N, out, H, W).

    `weight` is (out, in/groups, 3, 3), `bias` (out,), as in PyTorch. With `groups` g, input and
    output channels split into g blocks, and block k of the output sees block k of the input only.
    """

    name: str
    in_channels: int
    out_channels: int
    groups: int = 1
    bias: bool = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter shapes by key."""
        weight = (self.out_channels, self.in_channels // self.groups, KERNEL_SIZE, KERNEL_SIZE)
        return {"weight": weight, "bias": (self.out_channels,)} if self.bias else {"weight": weight}

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Array]:
        """Return the output and, as cache, the patches of `x`.

        out[n,o,i,j] = bias[o] + sum over c,u,v of weight[o,c,u,v] * x[n,c,i+u-1,j+v-1]
        """
        columns = patches(x, self.groups)
        out = correlate(params["weight"], columns, x)
        if self.bias:
            out = out + params["bias"][:, None, None]
        return out, columns

    def backward(self, params: Arrays, columns: Array, d_out: Array) -> tuple[Array, Arrays]:
        """Return d_x and the gradients of the parameters, from d_out (N, out, H, W).

        The sum above read backwards. Each weight met the patch element under its tap:
            d_weight[o,c,u,v] = sum over n,i,j of d_out[n,o,i,j] * x[n,c,i+u-1,j+v-1]
        Each pixel x[c,i,j] went through tap (u,v) to the output at (i-u+1, j-v+1):
            d_x[n,c,i,j]      = sum over o,u,v of weight[o,c,u,v] * d_out[n,o,i-u+1,j-v+1]
        which is again a correlation, of d_out with the kernel rotated by 180 degrees and its
        in and out channels exchanged. Only the kernel is rotated; d_x itself is not.
        """
        d_rows = channel_rows(d_out, self.groups)
        d_weight = (d_rows @ columns.swapaxes(1, 2)).reshape(params["weight"].shape)
        d_x = correlate(transposed(params["weight"], self.groups), patches(d_out, self.groups), d_out)
        gradients = {"weight": d_weight}
        if self.bias:
            gradients["bias"] = d_rows.sum(axis=2).reshape(self.out_channels)
        return d_x, gradients


def channel_rows(x: Array, groups: int) -> Array:
    """(N, C, H, W) -> (groups, C/groups, N*H*W): a channel a row, so that a GEMM sums over space."""
    n, channels, height, width = x.shape
    return x.swapaxes(0, 1).reshape(groups, channels // groups, n * height * width)


def patches(x: Array, groups: int) -> Array:
    """(N, C, H, W) -> (groups, C/groups * 9, N*H*W): under each output pixel, what its taps see."""
    n, channels, height, width = x.shape
    border = (PADDING, PADDING)
    padded = np.pad(x.swapaxes(0, 1), ((0, 0), (0, 0), border, border))
    windows = sliding_window_view(padded, (KERNEL_SIZE, KERNEL_SIZE), axis=(2, 3))
    rows = windows.transpose(0, 4, 5, 1, 2, 3)  # (C, N, H, W, u, v) -> (C, u, v, N, H, W)
    return rows.reshape(groups, channels // groups * TAPS, n * height * width)


def correlate(weight: Array, columns: Array, like: Array) -> Array:
    """Weight (out, in/groups, 3, 3) on the patches of `like` (N, in, H, W), in three GEMMs a group.

    A BLAS adds up a product's terms one after the other; in thirds, the sums round less.
    Returns (N, out, H, W), held channel by channel in memory: the next layer reads it in this order.
    """
    n, _, height, width = like.shape
    groups, taps, _ = columns.shape
    kernel = weight.reshape(groups, -1, taps)
    third = taps // KERNEL_SIZE
    parts = [slice(start, start + third) for start in range(0, taps, third)]
    first, second, last = (kernel[..., part] @ columns[:, part] for part in parts)  # (g, out/g, N*H*W)
    rows = first + second + last
    return rows.reshape(-1, n, height, width).swapaxes(0, 1)


def transposed(weight: Array, groups: int) -> Array:
    """The kernel of the way back: (out, in/g, 3, 3) -> (in, out/g, 3, 3), rotated by 180 degrees."""
    out_channels, in_block, _, _ = weight.shape
    blocks = weight.reshape(groups, out_channels // groups, in_block, KERNEL_SIZE, KERNEL_SIZE)
    exchanged = blocks.swapaxes(1, 2)[..., ::-1, ::-1]
    return exchanged.reshape(groups * in_block, out_channels // groups, KERNEL_SIZE, KERNEL_SIZE)
