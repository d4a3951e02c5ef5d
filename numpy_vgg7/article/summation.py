"""The article's network with its sums in the order of the article's script.

A faulty training magnifies the last bit of a sum until nothing else is left of it, so to follow the script
for some steps is to add up as it does: at each pixel one tap after the other, as SciPy's `convolve2d` does;
windows of the pool row by row; and weights that lie in memory as (in, out). The backward passes are the
product's own.
"""

from dataclasses import astuple

import numpy as np

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import AvgPool2d, Conv2d, Layer
from numpy_vgg7.nn.strip import border, pictures, positions, taps
from numpy_vgg7.nn.workspace import FRESH, Workspace


class ScriptConv2d(Conv2d):
    """A convolution without bias that adds up its taps from the last to the first."""

    def forward(self, params: Arrays, x: Array, workspace: Workspace = FRESH) -> tuple[Array, Array]:
        """What `Conv2d.forward` returns, up to rounding."""
        x = workspace.lay(f"{self.name}.x", x)
        n, _, height, width = x.shape
        out = workspace.images(self.name, (n, self.out_channels, height, width), x.dtype)
        seen = taps(x)[::-1, ::-1]
        products = workspace.scratch.array("products", (3, 3, *seen.shape[3:]), x.dtype)
        for channel in range(self.out_channels):
            # The article's convolutions have one input channel to each output channel.
            source = channel * self.groups // self.out_channels
            weight = params["weight"][channel, 0, ::-1, ::-1, None]
            workspace.do(np.multiply, seen[:, :, source], weight, out=products)
            pixels = positions(out)[: seen.shape[3], channel]
            workspace.do(np.add.reduce, products.reshape(9, -1), axis=0, out=pixels)
        workspace.do(np.copyto, border(out), 0)
        return out, x


class ScriptPool(AvgPool2d):
    """Average pooling that adds the two pixels of a row first."""

    def forward(self, params: Arrays, x: Array, workspace: Workspace = FRESH) -> tuple[Array, None]:
        """What `AvgPool2d.forward` returns, up to rounding."""
        n, channels, height, width = x.shape
        x = pictures(workspace.lay(f"{self.name}.x", x))
        out = workspace.images(self.name, (n, channels, height // 2, width // 2), x.dtype)
        pairs = workspace.scratch.array(f"{self.name}.rows", (height, n, width // 2, channels), x.dtype)
        inside = pictures(out)[:, :, :-1]
        workspace.do(np.add, x[:, :, 0:width:2], x[:, :, 1:width:2], out=pairs)
        workspace.do(np.add, pairs[0::2], pairs[1::2], out=inside)
        workspace.do(np.multiply, inside, 0.25, out=inside)
        return out, None


def in_script_order(layers: list[Layer]) -> list[Layer]:
    """The same layers, those whose sums have an order replaced by the two above."""
    replaced: list[Layer] = []
    for layer in layers:
        if isinstance(layer, Conv2d):
            layer = ScriptConv2d(*astuple(layer))
        elif isinstance(layer, AvgPool2d):
            layer = ScriptPool(layer.name)
        replaced.append(layer)
    return replaced


def in_script_layout(params: Arrays) -> Arrays:
    """The same parameters, weights of linear layers stored as (in, out); they read as (out, in) still."""
    return {name: np.asfortranarray(p) if p.ndim == 2 else p.copy() for name, p in params.items()}
