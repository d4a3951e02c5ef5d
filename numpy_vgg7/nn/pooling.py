"""2x2 average pooling, and the flattening between the convolutions and the linear layers."""

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.strip import pictures
from numpy_vgg7.nn.workspace import FRESH, Workspace


class AvgPool2d(Layer):
    """Mean of each 2x2 window: (N, C, H, W) -> (N, C, H/2, W/2), H and W even."""

    def forward(self, params: Arrays, x: Array, workspace: Workspace = FRESH) -> tuple[Array, None]:
        """out[i,j] = (x[2i,2j] + x[2i,2j+1] + x[2i+1,2j] + x[2i+1,2j+1]) / 4"""
        n, channels, height, width = x.shape
        x = pictures(workspace.lay(f"{self.name}.x", x))
        out = workspace.images(self.name, (n, channels, height // 2, width // 2), x.dtype)
        shape = (height // 2, n, width + 1, channels)
        pairs, sums = workspace.scratch.array(f"{self.name}.pairs", (2, *shape), x.dtype)
        workspace.do(np.add, x[0::2], x[1::2], out=pairs)
        workspace.do(np.multiply, pairs, 0.25, out=pairs)
        one, next_one = pairs.reshape(-1)[:-channels], pairs.reshape(-1)[channels:]
        workspace.do(np.add, one, next_one, out=sums.reshape(-1)[:-channels])
        workspace.do(np.copyto, pictures(out)[:, :, :-1], sums[:, :, 0:width:2])
        return out, None

    def d_x(self, params: Arrays, cache: None, d_out: Array, workspace: Workspace = FRESH) -> Array:
        """Each of the four pixels carried a quarter of the output: d_x = d_out / 4 in all four."""
        n, channels, height, width = d_out.shape
        d_out = pictures(workspace.lay(f"{self.name}.d_out", d_out))
        d_x = workspace.images(f"{self.name}.d_x", (n, channels, 2 * height, 2 * width), d_out.dtype)
        quarter = workspace.scratch.array(f"{self.name}.quarter", d_out.shape, d_out.dtype)
        workspace.do(np.multiply, d_out, 0.25, out=quarter)
        inside = pictures(d_x)[:, :, :-1]
        for row in (0, 1):
            for column in (0, 1):
                workspace.do(np.copyto, inside[row::2, :, column::2], quarter[:, :, :-1])
        return d_x


class Flatten(Layer):
    """(N, C, H, W) -> (N, C*H*W) in C order: all of channel 0, then channel 1, ..."""

    def forward(
        self, params: Arrays, x: Array, workspace: Workspace = FRESH
    ) -> tuple[Array, tuple[int, ...]]:
        """The same numbers in one row an image; the cache is the shape they had."""
        out = workspace.array(self.name, x.shape, x.dtype)
        workspace.do(np.copyto, out, x)
        return out.reshape(len(x), -1), x.shape

    def d_x(
        self, params: Arrays, shape: tuple[int, ...], d_out: Array, workspace: Workspace = FRESH
    ) -> Array:
        """The same numbers again, back in their places."""
        d_x = workspace.images(f"{self.name}.d_x", shape, d_out.dtype)
        workspace.do(np.copyto, d_x, d_out.reshape(shape))
        return d_x
