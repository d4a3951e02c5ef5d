"""Arrays as small PNG images inside a page: pixels, kernels and what the layers compute."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from numpy_vgg7.data import Dataset
from numpy_vgg7.functional import Array
from numpy_vgg7.model import VGG7

MAX_CHANNELS = 32  # shown of a layer
MAX_SIDE = 64  # pixels of an image; a larger one is reduced


@dataclass(frozen=True)
class View:
    """The output of a layer for one image, or its kernels, on one scale.

    lowest, highest: of all channels, also those that are not shown.
    signed: in colours, red positive and blue negative; else black is 0 and white the highest value.
    flat: one image with a pixel for each element, of a layer without channels.
    """

    name: str
    shape: str
    lowest: float
    highest: float
    signed: bool
    flat: bool
    channels: int
    images: tuple[str, ...]


def kernels(model: VGG7) -> View:
    """The 3x3 kernels of conv1."""
    return _view("conv1", model.params["conv1.weight"][:, 0], signed=True)


def activations(model: VGG7, data: Dataset, index: int) -> list[View]:
    """What each activation and pool computes for one image, first layer first."""
    trace = model.trace(data.batch(slice(index, index + 1)), data.labels[index : index + 1])
    shown = [layer.name for layer in model.layers if layer.name.startswith(("act", "pool"))]
    return [_view(name, trace[name][0], signed=bool(trace[name].min() < 0)) for name in shown]


def pixels(data: Dataset, index: int) -> str:
    """An image of a data set, as an address."""
    return address(_grey(data.batch(slice(index, index + 1))[0, 0]))


def address(image: Image.Image) -> str:
    """An image as an address that contains it."""
    side = max(image.size)
    if image.height > 1 and side > MAX_SIDE:
        image = image.reduce(-(-side // MAX_SIDE))
    png = io.BytesIO()
    image.save(png, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"


def _view(name: str, values: Array, signed: bool) -> View:
    """A view of (channels, height, width), or of (elements,)."""
    flat = values.ndim == 1
    channels = values[None, None] if flat else values
    limit = float(max(np.abs(values).max(), 1e-12))
    draw = _coloured if signed else _grey
    images = tuple(address(draw(channel / limit)) for channel in channels[:MAX_CHANNELS])
    shape = "x".join(map(str, values.shape))
    return View(name, shape, float(values.min()), float(values.max()), signed, flat, len(channels), images)


def _grey(values: Array) -> Image.Image:
    return Image.fromarray(np.rint(values.clip(0, 1) * 255).astype(np.uint8))


def _coloured(values: Array) -> Image.Image:
    """Values in -1..1: blue, white, red."""
    from matplotlib import colormaps

    colours = colormaps["RdBu_r"](values / 2 + 0.5, bytes=True)
    return Image.fromarray(np.ascontiguousarray(colours[..., :3]))
