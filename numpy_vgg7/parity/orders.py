"""Right numbers in another order: a layout other than (N, C, H, W), or a file with scrambled memory.

`safetensors.numpy` (0.8.0) writes the memory behind an array and not the array: what is transposed comes back
in the order of memory, and the inside of a padded array with parts of its padding.
"""

from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array

FILE, LAYOUT = "file", "layout"  # places that are no layer
SCRAMBLED = (
    "in the order of memory, as safetensors.numpy writes an array that is not contiguous: save "
    'numpy.array(..., order="C") of it (or, if the file was written otherwise, reshaped without a transpose)'
)
PADDED = (
    "the memory of a padded array, as safetensors.numpy writes a slice that is not contiguous: save "
    'numpy.array(..., order="C") of it'
)
FLATTENED = "in the flatten order H, W, C: the case expects C, H, W"
MOST_AXES = 4
PADDING = 1  # on each side


class Order(NamedTuple):
    """How a tensor is to be read. `words` continue "conv1.weight.grad is ...".

    `array` is the tensor read rightly, or None where the file does not have all of it. An order is `doubtful`
    where a wrong formula gives the same numbers.
    """

    place: str
    words: str
    array: Array | None
    doubtful: bool = False


# Of activations and their gradients, then of weights: where the expected axes are in the candidate.
ACTIVATIONS = {
    "NHWC": ("(N, H, W, C) instead of (N, C, H, W)", (0, 3, 1, 2)),
    "CHWN": ("(C, H, W, N) instead of (N, C, H, W)", (3, 0, 1, 2)),
    "WHCN": ("(W, H, C, N) instead of (N, C, H, W)", (3, 2, 1, 0)),
}
WEIGHTS = {
    "HWIO": ("(kH, kW, in, out) instead of (out, in, kH, kW)", (3, 2, 0, 1)),
    "OHWI": ("(out, kH, kW, in) instead of (out, in, kH, kW)", (0, 3, 1, 2)),
    "IOHW": ("(in, out, kH, kW) instead of (out, in, kH, kW)", (1, 0, 2, 3)),
}


def other_order(suspect: Array, truth: Array, allowed: Array, name: str, channels: int) -> Order | None:
    """The order in which `suspect` is right, if there is one. `channels` are those that are flattened."""
    for order in _orders(suspect, truth, name, channels):
        if order.array is not None and agree(order.array, truth, allowed):
            return order
    maps = suspect.shape == truth.shape and suspect.ndim == MOST_AXES
    if maps and _inside_of_padded(suspect, truth, allowed):
        return Order(FILE, PADDED, None)
    return None


def agree(suspect: Array, truth: Array, allowed: Array) -> bool:
    """Whether each element is as it should be; shapes are equal."""
    return bool((np.abs(suspect - truth) <= allowed).all())


def _orders(suspect: Array, truth: Array, name: str, channels: int) -> Iterator[Order]:
    weight = ".weight" in name
    if suspect.ndim == truth.ndim == MOST_AXES:
        for layout, (what, axes) in (WEIGHTS if weight else ACTIVATIONS).items():
            array = suspect.transpose(axes)
            # Exchanged axes of equal size are not a layout of a weight, but a mistake.
            if array.shape == truth.shape and (not weight or suspect.shape != truth.shape):
                place = "" if weight else LAYOUT
                yield Order(place, f"in {layout} order, {what}: use transpose{axes}", array)
    elif suspect.ndim == 2 and suspect.shape == truth.shape[::-1] != truth.shape:
        yield Order("", f"transposed, with shape {suspect.shape} instead of {truth.shape}", suspect.T)
    if suspect.shape != truth.shape:
        return
    if truth.ndim == 2 and channels and name.split(".")[0] in ("flatten", "fc5") and name != "fc5.grad":
        pixels = truth.shape[1] // channels
        if channels > 1 and pixels > 1 and channels * pixels == truth.shape[1]:
            array = suspect.reshape(len(suspect), pixels, channels).swapaxes(1, 2).reshape(suspect.shape)
            yield Order(LAYOUT, FLATTENED, array)
    if 1 < truth.ndim <= MOST_AXES:
        for memory in permutations(range(truth.ndim)):
            shape = tuple(truth.shape[axis] for axis in memory)
            array = suspect.reshape(shape).transpose(np.argsort(memory))
            yield Order(FILE, SCRAMBLED, array, doubtful=shape == truth.shape)


def _inside_of_padded(suspect: Array, truth: Array, allowed: Array) -> bool:
    """Whether `suspect` is the memory from the first pixel on of an array with padding around `truth`."""
    n, c, height, width = truth.shape
    places = np.arange(n * c * (height + 2 * PADDING) * (width + 2 * PADDING))
    places = places.reshape(n, c, height + 2 * PADDING, width + 2 * PADDING)[:, :, :height, :width]
    there = places < suspect.size
    found, right = suspect.ravel()[places[there]], truth[there]
    return there.sum() > width and agree(found, right, np.broadcast_to(allowed, truth.shape)[there])
