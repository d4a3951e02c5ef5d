"""2x2 average pooling, and the flattening between the convolutions and the linear layers."""

from dataclasses import dataclass

from numpy_vgg7.nn.arrays import Array, Arrays


@dataclass(frozen=True)
class AvgPool2d:
    """Mean of each 2x2 window: (N, C, H, W) -> (N, C, H/2, W/2), H and W even."""

    name: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """No parameters."""
        return {}

    def forward(self, params: Arrays, x: Array) -> tuple[Array, None]:
        """out[i,j] = (x[2i,2j] + x[2i,2j+1] + x[2i+1,2j] + x[2i+1,2j+1]) / 4"""
        top, bottom = x[:, :, 0::2], x[:, :, 1::2]
        total = top[..., 0::2] + top[..., 1::2] + bottom[..., 0::2] + bottom[..., 1::2]
        return total * 0.25, None

    def backward(self, params: Arrays, cache: None, d_out: Array) -> tuple[Array, Arrays]:
        """Each of the four pixels carried a quarter of the output: d_x = d_out / 4 in all four."""
        return (d_out * 0.25).repeat(2, axis=2).repeat(2, axis=3), {}


@dataclass(frozen=True)
class Flatten:
    """(N, C, H, W) -> (N, C*H*W) in C order: all of channel 0, then channel 1, ..."""

    name: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """No parameters."""
        return {}

    def forward(self, params: Arrays, x: Array) -> tuple[Array, tuple[int, ...]]:
        """The same numbers in one row an image; the cache is the shape they had."""
        return x.reshape(x.shape[0], -1), x.shape

    def backward(self, params: Arrays, shape: tuple[int, ...], d_out: Array) -> tuple[Array, Arrays]:
        """The same numbers again, back in their places."""
        return d_out.reshape(shape), {}
