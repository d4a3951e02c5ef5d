"""The settings of a training, and presets of them."""

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from numpy_vgg7.errors import ConfigError
from numpy_vgg7.suggestions import instead

if TYPE_CHECKING:
    from numpy_vgg7.optim import SGD

MOST = 10**9
WHOLE = {"epochs": 1, "batch_size": 1, "seed": 0, "average": 0, "patience": 0}  # the lowest values
NUMBERS = ("lr_conv", "lr_fc", "momentum", "weight_decay", "label_smoothing")  # at least 0
BELOW_ONE = ("momentum", "label_smoothing")
FLAGS = ("augment", "nesterov", "decay_biases")


@dataclass(frozen=True)
class TrainingConfig:
    """How a model is trained. Validated on creation: raises ConfigError.

    `lr_conv` and `lr_fc` are the maximum learning rates, per step on the mean loss of a batch; `schedule` is
    a name in `optim.SCHEDULES`. `augmentation` is a name in AUGMENTATIONS, used if `augment` is true.
    `nesterov` selects Nesterov's momentum, and `decay_biases` a weight decay of biases as well.
    `label_smoothing` is the share of each label that all classes get. `clip_norm` limits the norm of the
    gradients. The weights after each of the last `average` epochs are averaged (Izmailov et al. 2018).
    Training stops early when `patience` epochs have not lowered the smoothed validation loss; 0 is never.
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
    schedule: str = "one-cycle"
    nesterov: bool = True
    decay_biases: bool = True
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    average: int = 0
    patience: int = 0

    def __post_init__(self) -> None:
        # Here, since the command line shows the default settings in its help, which must not load NumPy.
        from numpy_vgg7.data.augmentation import AUGMENTATIONS
        from numpy_vgg7.optim import SCHEDULES

        for name, lowest in WHOLE.items():
            value = getattr(self, name)
            if type(value) is not int or value < lowest:
                raise ConfigError(name, f"a whole number >= {lowest}", value, "correct it")
            if value > MOST and name != "seed":
                raise ConfigError(name, f"at most {MOST:,}", value, "correct it")
        for name in NUMBERS:
            value = getattr(self, name)
            if not _is_number(value) or value < 0:
                raise ConfigError(name, "a finite number >= 0", value, "correct it")
        for name in BELOW_ONE:
            if getattr(self, name) >= 1:
                raise ConfigError(name, "less than 1", getattr(self, name), "correct it")
        for name in FLAGS:
            if type(getattr(self, name)) is not bool:
                raise ConfigError(name, "true or false", getattr(self, name), "correct it")
        for name, known in (("augmentation", tuple(AUGMENTATIONS)), ("schedule", tuple(SCHEDULES))):
            value = getattr(self, name)
            if not isinstance(value, str) or value not in known:
                raise ConfigError(name, f"one of {', '.join(known)}", value, instead(str(value), known))
        if self.clip_norm is not None and not (_is_number(self.clip_norm) and self.clip_norm > 0):
            raise ConfigError(
                "clip_norm", "a finite number > 0", self.clip_norm, "correct it, or leave it out"
            )
        if self.average and self.patience:
            fix = "leave one out: with early stopping, the last epochs are not known in advance"
            raise ConfigError("average and patience", "one of them", "both", fix)

    @classmethod
    def preset(cls, name: str = "default", **changes: Any) -> "TrainingConfig":
        """Named settings, with fields changed: `preset("fast", seed=1)`. Raises ConfigError."""
        if name not in PRESETS:
            raise ConfigError("settings", f"one of {', '.join(PRESETS)}", name, instead(name, PRESETS))
        known = [field.name for field in fields(cls)]
        for key in changes.keys() - set(known):
            raise ConfigError(
                "settings", f"some of {', '.join(known)}", key, instead(key, known, "correct it")
            )
        return cls(**(PRESETS[name] | changes))

    def sgd(self) -> "SGD":
        """The optimizer: SGD with momentum."""
        from numpy_vgg7.optim import SGD

        nesterov = self.nesterov and self.momentum > 0
        return SGD(
            self.lr_conv,
            self.lr_fc,
            self.momentum,
            self.weight_decay,
            nesterov,
            self.decay_biases,
            self.clip_norm,
        )


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


# `fast` and `best` are for MNIST; the default is for a few thousand small images.
PRESETS: dict[str, dict[str, Any]] = {
    "default": {},
    "fast": {"epochs": 2, "batch_size": 128, "lr_conv": 0.2, "lr_fc": 0.2, "augment": False},
    "best": {
        "epochs": 30, "batch_size": 64, "lr_conv": 0.1, "lr_fc": 0.1, "augmentation": "strong",
        "label_smoothing": 0.1, "decay_biases": False, "average": 5,
    },
}  # fmt: skip
