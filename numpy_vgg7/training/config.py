"""The settings of a training."""

import math
from dataclasses import dataclass

from numpy_vgg7.data.augmentation import AUGMENTATIONS
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.optim import SGD


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained. Validated on creation: raises ConfigError.

    `lr_conv` and `lr_fc` are the maximum learning rates of the one-cycle schedule, per step on the mean loss
    of a batch. `augmentation` is a name in AUGMENTATIONS, used if `augment` is true.
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
                raise ConfigError(name, f"a whole number >= {lowest}", value, "correct it")
        for name in ("lr_conv", "lr_fc", "momentum", "weight_decay"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not (math.isfinite(value) and value >= 0):
                raise ConfigError(name, "a finite number >= 0", value, "correct it")
        if type(self.augment) is not bool:
            raise ConfigError("augment", "true or false", self.augment, "correct it")
        if self.augmentation not in tuple(AUGMENTATIONS):
            raise ConfigError(
                "augmentation", f"one of {', '.join(AUGMENTATIONS)}", self.augmentation, "correct it"
            )
        if self.momentum >= 1:
            raise ConfigError("momentum", "less than 1", self.momentum, "correct it")

    def sgd(self) -> SGD:
        """The optimizer: SGD with Nesterov momentum."""
        return SGD(self.lr_conv, self.lr_fc, self.momentum, self.weight_decay, nesterov=self.momentum > 0)
