"""The second batch of a case: what an ordinary one hides.

Random numbers are never exactly zero before a ReLU, so any value will do for its derivative there; and with
small logits a softmax needs no maximum. The second batch has three images and parameters of its own:

- the last image is black, no convolution has a bias, and one channel of each is dead where others remain:
  exact zeros before every ReLU, both with and without an input;
- where the convolutions are followed by ReLU, conv1.weight is multiplied by LARGE and fc5.weight divided by
  it, so that a limit of the activations, as of ReLU6, shows;
- the logits of the first image are near +1000, those of the second near -1000, and the last image has both.
  Each label is LABEL below the largest logit, which makes the gradient insensitive to rounding, and keeps the
  probability of the label larger than the smallest float32.
"""

from dataclasses import replace
from itertools import combinations

import numpy as np

from numpy_vgg7 import network
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import FEW_CHANNELS
from numpy_vgg7.parity.case import Case

PREFIX = "second/"
IMAGES = 3
LOGIT = 1000.0
LABEL = -40.0  # the label's logit, relative to the largest of the image
LARGE = 64.0  # a power of 2: exact
OTHERS = (-60.0, -50.0)  # those of the other classes


def second_case(case: Case, seed: int) -> Case:
    """The second batch for the network of `case`: no updates, since they would only repeat the first.

    Logits are small where a bounded activation follows fc7: then no softmax can fail.
    """
    rng = np.random.default_rng([seed, 5])
    config = case.model.config
    params = {name: parameter.copy() for name, parameter in case.model.params.items()}
    for name, parameter in params.items():
        if name.startswith("conv"):
            if name.endswith("bias"):
                parameter[:] = 0
            elif len(parameter) > FEW_CHANNELS:
                parameter[rng.integers(len(parameter))] = 0
    if set(config.activations[: len(config.channels)]) == {"relu"}:
        params["conv1.weight"] *= LARGE
        params["fc5.weight"] /= LARGE
    size = config.image_size
    images = np.maximum(rng.uniform(-0.5, 1, (IMAGES, 1, size, size)), 0)
    images[0, :, : size // 2] *= 0.25  # different from the next one in brightness and shape
    images[-1] = 0
    labels = rng.integers(config.classes, size=IMAGES)
    if config.activations[-1] == "identity":
        _set_logits(case.model.layers, params, images, _large_logits(labels, config.classes, rng))
    model = VGG7.from_params(config, params)
    return replace(case, model=model, images=images, labels=labels, steps=())


def _large_logits(labels: Array, classes: int, rng: np.random.Generator) -> Array:
    """Logits (IMAGES, classes) as described above."""
    logits = rng.uniform(*OTHERS, (IMAGES, classes))
    rows = np.arange(IMAGES)
    logits[rows, labels] = LABEL
    likely = labels
    while np.array_equal(np.sort(likely), np.sort(labels)):  # then the gradient of fc7.bias would cancel
        likely = (labels + rng.integers(1, classes, IMAGES)) % classes
    logits[rows, likely] = 0
    logits[-1, logits[-1] < LABEL] -= 2 * LOGIT
    signs: Array = np.array([[1.0], [-1.0], [1.0]])
    return logits + LOGIT * signs


def _set_logits(layers: network.Layers, params: Arrays, images: Array, wanted: Array) -> None:
    """Change fc7 so that the images get the wanted logits, or the nearest that it can give them."""
    tape = network.forward(layers, params, images)
    x = next(entry.x for entry in tape if entry.layer.name == "fc7")
    bias = params.get("fc7.bias", 0)
    params["fc7.weight"][...] = np.linalg.lstsq(x, wanted - bias, rcond=None)[0].T


def telling_batch_size(classes: int, image_size: int) -> int:
    """The smallest batch from 5 whose 1/N can be taken for no other factor of a gradient."""
    size = 5
    while any("1/N" in pair for pair in confusions(size, classes, image_size)):
        size += 1
    return size


def confusions(batch: int, classes: int, image_size: int) -> list[str]:
    """The factors of a gradient that are equal with these sizes: "1/5 is both 1/N and 2/K".

    A batch of N images, K classes, 1/4 and 1/9 of the windows, and means over the space of a feature map.
    """
    factors = {
        "1/N": batch, "1/N^2": batch**2, "1/K": classes, "2/K": classes / 2,
        "the 1/4 of a pool": 4, "the 1/9 of a kernel": 9,
    }  # fmt: skip
    factors |= {f"the mean over {side}x{side} pixels": side**2 for side in _sides(image_size) if side > 1}
    return [
        f"1/{value:g} is both {one} and {other}"
        for (one, value), (other, same) in combinations(factors.items(), 2)
        if value == same
    ]


def _sides(image_size: int) -> tuple[int, ...]:
    """Pixels per side of the feature maps."""
    return image_size, image_size // 2, image_size // 4
