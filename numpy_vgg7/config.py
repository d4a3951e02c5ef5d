"""The configuration of a VGG7, and the presets."""

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from numpy_vgg7.errors import ConfigError
from numpy_vgg7.network import ACTIVATIONS, Layer, vgg7
from numpy_vgg7.reading import LONGEST_TEXT, FileKind
from numpy_vgg7.suggestions import instead

DTYPES = ("float32", "float64")
CONFIG_FILE = FileKind("configuration in JSON", ConfigError, longest=LONGEST_TEXT)

_SQUASHED = ("relu", "relu", "relu", "relu", "tanh", "tanh", "arctan")
_PLAIN = ("relu", "relu", "relu", "relu", "tanh", "tanh", "identity")


@dataclass(frozen=True)
class VGG7Config:
    """The architecture of a network. Validated on creation: raises ConfigError.

    image_size: pixels per side, a multiple of 4 (it is halved twice).
    channels, groups: of conv1..conv4; the image has one channel.
    hidden: outputs of fc5 and fc6; fc7 has `classes`.
    activations: after conv1..conv4 and fc5..fc7, each of relu, tanh, arctan, identity.
    """

    image_size: int = 28
    classes: int = 10
    channels: tuple[int, int, int, int] = (16, 16, 32, 32)
    groups: tuple[int, int, int, int] = (1, 1, 1, 1)
    hidden: tuple[int, int] = (256, 128)
    activations: tuple[str, str, str, str, str, str, str] = _PLAIN
    bias: bool = True

    def __post_init__(self) -> None:
        for name, length in (("channels", 4), ("groups", 4), ("hidden", 2), ("activations", 7)):
            value = getattr(self, name)
            if not isinstance(value, (list, tuple)) or len(value) != length:
                raise ConfigError(name, f"{length} values", value, "give one for each layer")
            object.__setattr__(self, name, tuple(value))
        for name in ("image_size", "classes", "channels", "groups", "hidden"):
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if type(number) is not int or number < 1:
                    raise ConfigError(name, "whole numbers >= 1", value, "correct it")
        if self.image_size % 4:
            fix = f"use {max(4, round(self.image_size / 4) * 4)}"
            raise ConfigError("image_size", "a multiple of 4", self.image_size, fix)
        if self.classes < 2:
            raise ConfigError("classes", "at least 2", self.classes, "add a class")
        for index, group in enumerate(self.groups):
            inputs, outputs = (1, *self.channels)[index : index + 2]
            if inputs % group or outputs % group:
                expected = (
                    f"groups of conv{index + 1} that divide its {inputs} input and {outputs} output channels"
                )
                raise ConfigError("channels and groups", expected, group, "change one of them")
        for activation in self.activations:
            if not isinstance(activation, str) or activation not in ACTIVATIONS:
                known = ", ".join(ACTIVATIONS)
                fix = instead(activation, ACTIVATIONS)
                raise ConfigError("activations", f"each of {known}", activation, fix)
        if type(self.bias) is not bool:
            raise ConfigError("bias", "true or false", self.bias, "correct it")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "VGG7Config":
        """A named configuration, with fields changed: `preset("vgg7", image_size=8)`."""
        if name not in PRESETS:
            known = ", ".join(PRESETS)
            raise ConfigError("preset", f"one of {known}", name, instead(name, PRESETS))
        return replace(PRESETS[name], **changes)

    def to_json(self) -> str:
        """One JSON object with a key per field."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "VGG7Config":
        """Read what `to_json` wrote. Raises ConfigError on anything else."""
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError("configuration", "JSON", error, "write it again") from error
        known = {field.name for field in fields(cls)}
        if not isinstance(record, dict) or record.keys() != known:
            found = sorted(record) if isinstance(record, dict) else type(record).__name__
            expected = f"an object with the keys {', '.join(sorted(known))}"
            raise ConfigError("configuration", expected, found, "add or remove keys")
        return cls(**record)

    def parameter_count(self) -> int:
        """The number of parameters, without making them."""
        return sum(math.prod(shape) for layer in self.layers() for shape in layer.shapes().values())

    def values_per_image(self) -> int:
        """How many numbers all layers give for one image, whatever their size."""
        c1, c2, c3, c4 = self.channels
        per_pixel = 1 + 2 * (c1 + c2) + c2 / 4 + (c3 + c4) / 2 + c4 / 8
        return round(per_pixel * self.image_size**2) + 2 * (sum(self.hidden) + self.classes)

    def values_kept(self) -> int:
        """How many numbers inference keeps per image of a batch: pixels and inputs of fc5, with copies."""
        return 2 * self.image_size**2 + 3 * self.channels[-1] * (self.image_size // 4) ** 2

    def layers(self) -> tuple[Layer, ...]:
        """The network as a list, first layer first; the last activation's output is the logits."""
        return vgg7(**{field.name: getattr(self, field.name) for field in fields(self)})


def read_config(path: Path) -> VGG7Config:
    """Read a file with the output of `VGG7Config.to_json`. Raises ConfigError."""
    try:
        return VGG7Config.from_json(CONFIG_FILE.read(path))
    except ConfigError as error:
        if error.what == str(path):
            raise
        if error.what == "configuration":
            raise CONFIG_FILE.damaged(path, error.found) from error
        raise ConfigError(f"{path}: {error.what}", error.expected, error.found, error.fix) from error


PRESETS: dict[str, VGG7Config] = {
    "article": VGG7Config(
        channels=(1, 1, 2, 2), groups=(1, 1, 1, 2), hidden=(1024, 512),
        activations=_SQUASHED, bias=False,
    ),
    "vgg7": VGG7Config(),
    "vgg7-wide": VGG7Config(channels=(32, 32, 64, 64), hidden=(1024, 512)),
}  # fmt: skip
