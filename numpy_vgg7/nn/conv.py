"""3x3 convolution, and why its backward pass is two more correlations."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays, Gradients
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.strip import border, rows
from numpy_vgg7.nn.winograd import correlate, correlate_pairs
from numpy_vgg7.nn.workspace import FRESH, Workspace

KERNEL_SIZE = 3


@dataclass(frozen=True)
class Conv2d(Layer):
    """3x3 cross-correlation with zero padding 1: (N, in, H, W) -> (N, out, H, W).

    `weight` is (out, in/groups, 3, 3), `bias` (out,), as in PyTorch. With `groups` g, input and
    output channels split into g blocks, and block k of the output sees block k of the input only.
    """

    in_channels: int
    out_channels: int
    groups: int = 1
    bias: bool = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter shapes by key."""
        weight = (self.out_channels, self.in_channels // self.groups, KERNEL_SIZE, KERNEL_SIZE)
        return {"weight": weight, "bias": (self.out_channels,)} if self.bias else {"weight": weight}

    def forward(self, params: Arrays, x: Array, workspace: Workspace = FRESH) -> tuple[Array, Array]:
        """Return the output and, as cache, `x`.

        out[n,o,i,j] = bias[o] + sum over c,u,v of weight[o,c,u,v] * x[n,c,i+u-1,j+v-1]
        """
        x = workspace.lay(f"{self.name}.x", x)
        kernel = self._kernel(params["weight"], workspace)
        n, _, height, width = x.shape
        dtype = np.result_type(x, *params.values())
        out = workspace.images(self.name, (n, self.out_channels, height, width), dtype)
        correlate(x, kernel, out, workspace)
        if self.bias:
            row = self._row(params["bias"], n * (width + 1), workspace)
            workspace.do(np.add, rows(out)[1:-1], row, out=rows(out)[1:-1])
        workspace.do(np.copyto, border(out), 0)
        return out, x

    def d_x(self, params: Arrays, x: Array, d_out: Array, workspace: Workspace = FRESH) -> Array:
        """The sum above read backwards: pixel (i,j) went through tap (u,v) to the output at (i-u+1, j-v+1).

        d_x[n,c,i,j] = sum over o,u,v of weight[o,c,u,v] * d_out[n,o,i-u+1,j-v+1]

        It is a correlation again, of d_out with the kernel rotated by 180 degrees and its in and out
        channels exchanged. Only the kernel is rotated; d_x itself is not.
        """
        d_out = workspace.lay(f"{self.name}.d_out", d_out)
        kernel = self._rotated(params["weight"], workspace)
        d_x = workspace.images(f"{self.name}.d_x", x.shape, d_out.dtype)
        correlate(d_out, kernel, d_x, workspace)
        workspace.do(np.copyto, border(d_x), 0)
        return d_x

    def gradients(self, params: Arrays, x: Array, d_out: Array, workspace: Workspace = FRESH) -> Gradients:
        """Each weight met the pixels under its tap, each bias every pixel.

        d_weight[o,c,u,v] = sum over n,i,j of d_out[n,o,i,j] * x[n,c,i+u-1,j+v-1]
        d_bias[o]         = sum over n,i,j of d_out[n,o,i,j]
        """
        d_out = workspace.lay(f"{self.name}.d_out", d_out)
        shape = (KERNEL_SIZE, KERNEL_SIZE, self.in_channels, self.out_channels)
        d_kernel = workspace.array(f"{self.name}.d_kernel", shape, d_out.dtype)
        correlate_pairs(x, d_out, d_kernel, workspace)
        gradients: Gradients = {"weight": self._weight(d_kernel, workspace)}
        if self.bias:
            row = workspace.array(f"{self.name}.d_row", rows(d_out).shape[1:], d_out.dtype)
            d_bias = workspace.array(f"{self.name}.d_bias", (self.out_channels,), d_out.dtype)
            workspace.do(np.add.reduce, rows(d_out), axis=0, out=row)
            workspace.do(np.add.reduce, row.reshape(-1, self.out_channels), axis=0, out=d_bias)
            gradients["bias"] = d_bias
        return gradients

    def _kernel(self, weight: Array, workspace: Workspace) -> Array:
        """(out, in/groups, 3, 3) -> (3, 3, in, out), with zeros between the groups."""

        def fill(kernel: Array) -> None:
            if self.groups > 1:
                workspace.do(np.copyto, kernel, 0)
            for inputs, outputs in self._blocks():
                workspace.do(np.copyto, kernel[:, :, inputs, outputs], weight[outputs].transpose(2, 3, 1, 0))

        shape = (KERNEL_SIZE, KERNEL_SIZE, self.in_channels, self.out_channels)
        return workspace.once(f"{self.name}.kernel", shape, weight.dtype, fill)

    def _weight(self, kernel: Array, workspace: Workspace) -> Array:
        """Back again: (3, 3, in, out) -> (out, in/groups, 3, 3)."""
        blocks = [kernel[:, :, i, o].transpose(3, 2, 0, 1) for i, o in self._blocks()]
        if len(blocks) == 1:
            return blocks[0]
        weight = workspace.array(f"{self.name}.d_weight", self.shapes()["weight"], kernel.dtype)
        workspace.do(np.concatenate, blocks, out=weight)
        return weight

    def _row(self, bias: Array, pixels: int, workspace: Workspace) -> Array:
        """The bias of every pixel of a row: adding one long row is faster than many short ones."""

        def fill(row: Array) -> None:
            workspace.do(np.copyto, row.reshape(pixels, -1), bias)

        return workspace.once(f"{self.name}.row", (pixels * len(bias),), bias.dtype, fill)

    def _rotated(self, weight: Array, workspace: Workspace) -> Array:
        """The kernel of the way back: rotated by 180 degrees, in and out channels exchanged."""
        kernel = self._kernel(weight, workspace)

        def fill(rotated: Array) -> None:
            workspace.do(np.copyto, rotated, kernel[::-1, ::-1].swapaxes(2, 3))

        shape = (KERNEL_SIZE, KERNEL_SIZE, self.out_channels, self.in_channels)
        return workspace.once(f"{self.name}.rotated", shape, weight.dtype, fill)

    def _blocks(self) -> list[tuple[slice, slice]]:
        """Input and output channels of each group."""
        i, o = self.in_channels // self.groups, self.out_channels // self.groups
        return [(slice(g * i, g * i + i), slice(g * o, g * o + o)) for g in range(self.groups)]
