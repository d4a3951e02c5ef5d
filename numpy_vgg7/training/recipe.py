"""The settings of a training, and its learning rate over time."""

import math
from dataclasses import dataclass

from numpy_vgg7.data.augmentation import MOTIONS
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.nn.sgd import SGD

WARM_UP = 0.1  # share of all steps


@dataclass(frozen=True)
class Recipe:
    """How a model is trained. Validated on creation: raises ConfigError.

    Rates are per step on the mean loss of a batch; they are the peaks of `schedule`.
    `motion` names how far augmentation moves an image, in MOTIONS.
    """

    epochs: int = 60
    batch_size: int = 32
    lr_conv: float = 0.05
    lr_fc: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: bool = True
    seed: int = 0
    motion: str = "gentle"

    def __post_init__(self) -> None:
        for name, lowest in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < lowest:
                raise _error(name, f"a whole number >= {lowest}", value)
        for name in ("lr_conv", "lr_fc", "momentum", "weight_decay"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not (math.isfinite(value) and value >= 0):
                raise _error(name, "a finite number >= 0", value)
        if type(self.augment) is not bool:
            raise _error("augment", "true or false", self.augment)
        if self.motion not in tuple(MOTIONS):
            raise _error("motion", f"one of {', '.join(MOTIONS)}", self.motion)
        if self.momentum >= 1:
            raise _error("momentum", "less than 1", self.momentum)

    def optimiser(self) -> SGD:
        """SGD with these rates and Nesterov's momentum."""
        return SGD(self.lr_conv, self.lr_fc, self.momentum, self.weight_decay, nesterov=self.momentum > 0)


def schedule(step: int, steps: int) -> float:
    """Factor on both learning rates at a step: up to 1 in a line, then down to 0 on a cosine.

    One cycle (Smith and Topin 2018): large rates in the middle explore, small ones at the end settle.
    """
    rise = max(1, round(WARM_UP * steps))
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def _error(name: str, expected: str, found: object) -> ConfigError:
    return ConfigError(name, expected=expected, found=str(found), fix="correct it")
