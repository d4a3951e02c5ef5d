"""The article's order of summation, as kernels for the engine.

With the article's faulty gradients, training amplifies a difference in the last bit of a sum until two runs
have nothing in common. To follow the article's script for some steps, sums must therefore be taken in its
order:

- a convolution adds up its nine taps one after another, from the last to the first, as SciPy's `convolve2d`
  does for the rotated kernel;
- the average pool adds the two pixels of a row first, then the two rows;
- weights lie in memory as (in, out), which is the layout in which the BLAS sees the script's products.

The backward passes are the engine's own.
"""

import numpy as np

from numpy_vgg7 import network
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.engine import kernels
from numpy_vgg7.engine.executor import Executor
from numpy_vgg7.engine.layout import FeatureMaps, Scratch
from numpy_vgg7.functional import Arrays
from numpy_vgg7.model import VGG7


class TapByTapConv2d(kernels.Conv2d):
    """A convolution that adds up its taps from the last to the first.

    Only for layers like the article's: no bias, and each output channel has one input channel.
    """

    def __init__(
        self, layer: network.Conv2d, params: kernels.ConvParams, x: FeatureMaps, scratch: Scratch
    ) -> None:
        super().__init__(layer, params, x, scratch)
        seen = x.im2col_view()[::-1, ::-1]
        taps = params.filters[::-1, ::-1, ..., None]
        pixels = seen.shape[-1]
        self.products = scratch.array("products", (3, 3, pixels), x.dtype)
        self.terms = self.products.reshape(9, pixels)
        sources = [o * layer.groups // layer.out_channels for o in range(layer.out_channels)]
        out = self.out.flat_pixels()[:pixels]
        self.channels = [(seen[:, :, i], taps[:, :, i, o], out[:, o]) for o, i in enumerate(sources)]

    def forward(self) -> None:
        """out[n,o,i,j] = sum over u,v of weight[o,c,u,v] * x[n,c,i+u-1,j+v-1], (u, v) from (2, 2) to (0, 0)

        c is the one input channel of output channel o.
        """
        for seen, taps, out in self.channels:
            np.multiply(seen, taps, self.products)
            np.add.reduce(self.terms, axis=0, out=out)
        np.copyto(self.out.padding, 0)


class RowByRowAvgPool2d(kernels.AvgPool2d):
    """Average pooling that adds the two pixels of a row first."""

    def __init__(self, layer: network.AvgPool2d, params: None, x: FeatureMaps, scratch: Scratch) -> None:
        super().__init__(layer, params, x, scratch)
        n, c, height, width = x.shape
        self.columns = x.pixels[:, :, 0:width:2], x.pixels[:, :, 1:width:2]
        self.row_sums = scratch.array(f"{layer.name} row sums", (height, n, width // 2, c), x.dtype)
        self.row_pairs = self.row_sums[0::2], self.row_sums[1::2]

    def forward(self) -> None:
        """out[i,j] = ((x[2i,2j] + x[2i,2j+1]) + (x[2i+1,2j] + x[2i+1,2j+1])) / 4"""
        np.add(*self.columns, self.row_sums)
        np.add(*self.row_pairs, self.inside)
        np.multiply(self.inside, kernels.QUARTER, self.inside)


KERNELS: kernels.KernelTable = {
    **kernels.KERNELS,
    network.Conv2d: TapByTapConv2d,
    network.AvgPool2d: RowByRowAvgPool2d,
}


class ArticleVGG7(VGG7):
    """The article's network with its order of summation. Only for the configuration `article`."""

    def _new_executor(self) -> Executor:
        return Executor(self.layers, self.threads, KERNELS)

    @classmethod
    def from_params(cls, config: VGG7Config, params: Arrays, threads: int = 1) -> VGG7:
        """`VGG7.from_params`, with fully connected weights in Fortran order: stored as (in, out)."""
        model = super().from_params(config, params, threads)
        model.params = {
            name: np.asfortranarray(value) if value.ndim == 2 else value
            for name, value in model.params.items()
        }
        return model
