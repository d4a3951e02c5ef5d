"""The settings of a training."""

import math
from dataclasses import dataclass

from numpy_vgg7.data.augmentation import AUGMENTATIONS
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.optim import SGD


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained. Validated on creation: raises ConfigError.

    Learning rates are per step on the mean loss of a batch; they are the peaks of the schedule, one cycle.
    `augmentation` is a name in AUGMENTATIONS, used if `augment` is true.
    """

    epochs: int = 60
    batch_size: int = 32
    lr_conv: float = 0.05
    lr_fc: float = 0.05
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: bool = True
    seed: int = 0
    augmentation: str = "gentle"

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
        if self.augmentation not in tuple(AUGMENTATIONS):
            raise _error("augmentation", f"one of {', '.join(AUGMENTATIONS)}", self.augmentation)
        if self.momentum >= 1:
            raise _error("momentum", "less than 1", self.momentum)

    def sgd(self) -> SGD:
        """The optimizer: Nesterov's momentum with these rates."""
        return SGD(self.lr_conv, self.lr_fc, self.momentum, self.weight_decay, nesterov=self.momentum > 0)


def _error(name: str, expected: str, found: object) -> ConfigError:
    return ConfigError(name, expected=expected, found=str(found), fix="correct it")
