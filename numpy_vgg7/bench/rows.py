"""What is measured: networks, batch sizes, and how much arithmetic each of them is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.functional import Array, Labels
from numpy_vgg7.network import AvgPool2d, Conv2d
from numpy_vgg7.optim import SGD
from numpy_vgg7.suggestions import instead

TRAINING, INFERENCE = "training", "inference"
RUN = 16  # steps of a single image that are timed together; one is too short for a clock
RATES = SGD(lr_conv=1e-4, lr_fc=1e-4)  # small: random images for ever must not lead to infinite numbers


@dataclass(frozen=True)
class Row:
    """One network at one batch size, training or inference."""

    case: str
    mode: str
    config: VGG7Config
    batch_size: int

    @property
    def steps(self) -> int:
        """Steps that are timed together."""
        return RUN if self.batch_size == 1 else 1

    @property
    def flops(self) -> int:
        """Multiplications and additions of a step, those of convolutions and linear layers.

        Training takes the products three times: output, gradient of the weight, gradient of the input;
        but nobody needs the last for the images.
        """
        size, macs = self.config.image_size, []
        for layer in self.config.layers():
            if isinstance(layer, AvgPool2d):
                size //= 2
            elif "weight" in layer.shapes():
                places = size**2 if isinstance(layer, Conv2d) else 1
                macs.append(places * prod(layer.shapes()["weight"]))
        passes = 3 * sum(macs) - macs[0] if self.mode == TRAINING else sum(macs)
        return 2 * passes * self.batch_size

    def batches(self) -> list[tuple[Array, Labels]]:
        """Random images (N, 1, H, W), float32, and labels (N,), a batch a step."""
        random, side = np.random.default_rng(0), self.config.image_size
        shape = (self.batch_size, 1, side, side)
        return [
            (random.random(shape, "float32"), random.integers(0, self.config.classes, self.batch_size))
            for _ in range(self.steps)
        ]


_ARTICLE, _VGG7, _WIDE = (VGG7Config.preset(name) for name in ("article", "vgg7", "vgg7-wide"))

ROWS = (
    Row("article-b1", TRAINING, _ARTICLE, 1),
    Row("article-b64", TRAINING, _ARTICLE, 64),
    Row("vgg7-b64", TRAINING, _VGG7, 64),
    Row("wide-b64", TRAINING, _WIDE, 64),
    Row("article-b1", INFERENCE, _ARTICLE, 1),
    Row("vgg7-b64", INFERENCE, _VGG7, 64),
    Row("wide-b64", INFERENCE, _WIDE, 64),
)
USUAL = ROWS[2]  # whose memory and profile are shown


def select(names: Sequence[str]) -> list[Row]:
    """The rows of these cases, all without names. Raises ConfigError on a name that there is not."""
    known = list(dict.fromkeys(row.case for row in ROWS))
    for name in names:
        if name not in known:
            raise ConfigError("cases", f"one of {', '.join(known)}", repr(name), instead(name, known))
    return [row for row in ROWS if not names or row.case in names]
