"""VGG7: its configuration, the list of layers it describes, and the model a user holds."""

from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from numpy_vgg7.errors import ConfigError
from numpy_vgg7.inputs import as_images, as_labels
from numpy_vgg7.nn.activations import ACTIVATIONS
from numpy_vgg7.nn.arrays import Array, Arrays, Labels, dense
from numpy_vgg7.nn.conv import Conv2d
from numpy_vgg7.nn.init import initial_params
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.linear import Linear
from numpy_vgg7.nn.loss import softmax
from numpy_vgg7.nn.parallel import Engine, Pass
from numpy_vgg7.nn.pooling import AvgPool2d, Flatten
from numpy_vgg7.nn.sgd import SGD

if TYPE_CHECKING:
    from pathlib import Path

DTYPES = ("float32", "float64")
INFERENCE_BATCH = 256  # images at a time, so that a large set needs no more memory than a batch

_SQUASHED = ("relu", "relu", "relu", "relu", "tanh", "tanh", "arctan")
_PLAIN = ("relu", "relu", "relu", "relu", "tanh", "tanh", "identity")


@dataclass(frozen=True)
class VGG7Config:
    """Everything that shapes the network. Validated on creation: raises ConfigError.

    image_size: pixels a side, a multiple of 4 (it is halved twice).
    channels, groups: of conv1..conv4; the image has one channel.
    hidden: outputs of fc5 and fc6; fc7 has `classes`.
    activations: behind conv1..conv4, fc5..fc7, each of relu, tanh, arctan, identity.
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
                raise _config_error(name, f"{length} values", value, "list one for each layer")
            object.__setattr__(self, name, tuple(value))
        for name in ("image_size", "classes", "channels", "groups", "hidden"):
            value = getattr(self, name)
            for number in value if isinstance(value, tuple) else (value,):
                if type(number) is not int or number < 1:
                    raise _config_error(name, "whole numbers >= 1", value, "correct it")
        if self.image_size % 4:
            fix = f"use {max(4, round(self.image_size / 4) * 4)}"
            raise _config_error("image_size", "a multiple of 4", self.image_size, fix)
        if self.classes < 2:
            raise _config_error("classes", "at least 2", self.classes, "add a class")
        for index, group in enumerate(self.groups):
            inputs, outputs = (1, *self.channels)[index : index + 2]
            if inputs % group or outputs % group:
                raise _config_error(
                    f"groups of conv{index + 1}",
                    f"a divisor of its {inputs} input and {outputs} output channels",
                    group,
                    "change groups or channels",
                )
        for activation in self.activations:
            if not isinstance(activation, str) or activation not in ACTIVATIONS:
                known = ", ".join(ACTIVATIONS)
                raise _config_error("activations", f"each of {known}", activation, "correct it")
        if type(self.bias) is not bool:
            raise _config_error("bias", "true or false", self.bias, "correct it")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> "VGG7Config":
        """A named configuration, with fields changed: `preset("vgg7", image_size=8)`."""
        if name not in PRESETS:
            known = ", ".join(PRESETS)
            raise ConfigError("preset", expected=f"one of {known}", found=name, fix="choose one")
        return replace(PRESETS[name], **changes)

    def to_json(self) -> str:
        """One JSON object, a key a field."""
        import json

        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> "VGG7Config":
        """Read what `to_json` wrote. Raises ConfigError on anything else."""
        import json

        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _config_error("configuration", "JSON", error, "write it anew") from error
        known = {field.name for field in fields(cls)}
        if not isinstance(record, dict) or record.keys() != known:
            found = sorted(record) if isinstance(record, dict) else type(record).__name__
            expected = f"an object with the keys {', '.join(sorted(known))}"
            raise _config_error("configuration", expected, found, "add or remove keys")
        return cls(**record)

    def layers(self) -> list[Layer]:
        """The network as a list, first layer first; the last activation's output is the logits."""
        conv, linear, act = self._conv, self._linear, self._activation
        return [
            conv(1), act(1), conv(2), act(2), AvgPool2d("pool2"),
            conv(3), act(3), conv(4), act(4), AvgPool2d("pool4"),
            Flatten("flatten"),
            linear(5), act(5), linear(6), act(6), linear(7), act(7),
        ]  # fmt: skip

    def _conv(self, number: int) -> Conv2d:
        inputs, outputs = (1, *self.channels)[number - 1 : number + 1]
        return Conv2d(f"conv{number}", inputs, outputs, self.groups[number - 1], self.bias)

    def _linear(self, number: int) -> Linear:
        flat = self.channels[3] * (self.image_size // 4) ** 2
        inputs, outputs = (flat, *self.hidden, self.classes)[number - 5 : number - 3]
        return Linear(f"fc{number}", inputs, outputs, self.bias)

    def _activation(self, number: int) -> Layer:
        name = f"act{number}" if number < 7 else "logits"
        return ACTIVATIONS[self.activations[number - 1]](name)


def _config_error(what: str, expected: str, found: object, fix: str) -> ConfigError:
    return ConfigError(what, expected=expected, found=str(found), fix=fix)


PRESETS: dict[str, VGG7Config] = {
    "article": VGG7Config(
        channels=(1, 1, 2, 2), groups=(1, 1, 1, 2), hidden=(1024, 512),
        activations=_SQUASHED, bias=False,
    ),
    "vgg7": VGG7Config(),
    "vgg7-wide": VGG7Config(channels=(32, 32, 64, 64), hidden=(1024, 512)),
}  # fmt: skip


class VGG7:
    """A VGG7 with its parameters.

    `params` maps PyTorch's names to arrays in PyTorch's layout ("conv1.weight" -> (out, in/groups,
    3, 3), "fc5.weight" -> (out, in)). Images are (N, H, W) or (N, 1, H, W) with pixels in 0..1.

    A batch of more than a few images is shared out over `threads`; the BLAS should have one thread then
    (threadpoolctl sets it). Calls on one model take turns. Memory for batches of every size that came
    is kept until `release`.
    """

    def __init__(self, config: VGG7Config, seed: int = 0, dtype: str = "float32", threads: int = 1) -> None:
        if dtype not in DTYPES:
            raise _config_error("dtype", " or ".join(DTYPES), dtype, "choose one")
        if type(seed) is not int or seed < 0:
            raise _config_error("seed", "a whole number >= 0", seed, "choose one")
        self.config = config
        self.dtype = dtype
        self.layers = config.layers()
        self.params = initial_params(self.layers, seed, dtype)
        self._lock = Lock()
        self.threads = threads

    @property
    def threads(self) -> int:
        """How many threads share a batch."""
        return self._threads

    @threads.setter
    def threads(self, count: int) -> None:
        if type(count) is not int or count < 1:
            raise _config_error("threads", "a whole number >= 1", count, "choose one")
        self._threads = count
        self.release()

    @cached_property
    def _engine(self) -> Engine:
        return Engine(self.layers, self.threads)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles have an engine and a lock of their own."""
        return {key: value for key, value in vars(self).items() if key not in ("_engine", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock())

    def logits(self, images: Array) -> Array:
        """The last layer's output, (N, classes)."""
        x = as_images(images, self.config.image_size, self.dtype)
        batches = (x[i : i + INFERENCE_BATCH] for i in range(0, len(x), INFERENCE_BATCH))
        return np.concatenate([self.forward(batch) for batch in batches])

    def predict_proba(self, images: Array) -> Array:
        """Probability of each class, (N, classes), rows sum to 1."""
        return softmax(self.logits(images))

    def predict(self, images: Array) -> Labels:
        """The most probable class of each image, (N,)."""
        labels: Labels = self.logits(images).argmax(axis=1)
        return labels

    def loss_and_gradients(self, images: Array, labels: Array) -> tuple[float, Arrays]:
        """Mean cross-entropy of the batch, and its gradient by each parameter, keyed like `params`."""
        with self._lock:
            done = self._engine.propagate(self.params, *self._batch(images, labels))
            found = dense(done.gradients)
            return float(done.loss), {name: np.array(found[name], order="C") for name in self.params}

    def trace(self, images: Array, labels: Array) -> Arrays:
        """Everything one batch computes, by name, in the order it is computed.

        Values forward ("input", "conv1.weight", "conv1.bias", "conv1", "act1", ..., "logits", "probs",
        "loss"), then the gradients of the loss backward ("logits.grad", "fc7.grad",
        "fc7.weight.grad", ..., "input.grad"). Softmax and cross-entropy are one on the way back, so
        there is no "probs.grad".
        """
        x, labels = self._batch(images, labels)
        engine = Engine(self.layers, self.threads, reuse=False)
        with self._lock:
            done = engine.propagate(self.params, x, labels, to_input=True)
        found = dense(done.gradients)
        outs, d_outs = done.activations()
        trace = {"input": x}
        for layer in self.layers:
            own = [f"{layer.name}.{key}" for key in layer.shapes()]
            trace |= {name: self.params[name].copy() for name in own} | {layer.name: outs[layer.name]}
        trace |= {"probs": done.probs, "loss": done.loss}
        for layer in reversed(self.layers):
            trace[f"{layer.name}.grad"] = d_outs[layer.name]
            trace |= {f"{layer.name}.{key}.grad": found[f"{layer.name}.{key}"] for key in layer.shapes()}
        trace["input.grad"] = d_outs["input"]
        return trace

    def forward(self, x: Array) -> Array:
        """`logits` for callers whose images are checked already, (N, 1, H, W)."""
        with self._lock:
            return self._engine.logits(self.params, x).copy()

    def back_propagate(self, x: Array, labels: Labels) -> Pass:
        """One batch there and back, for callers whose images and labels are checked already.

        What it returns is valid until the next call of any method.
        """
        with self._lock:
            return self._engine.propagate(self.params, x, labels)

    def descend(self, x: Array, labels: Labels, sgd: SGD, velocity: Arrays, scale: float = 1.0) -> Pass:
        """`back_propagate`, and one step of `sgd` with what it found. Changes `params` and `velocity`."""
        with self._lock:
            return self._engine.descend(self.params, x, labels, sgd, velocity, scale)

    def release(self) -> None:
        """Give back the memory that batches have used, and forget what was recorded of them."""
        with self._lock:
            vars(self).pop("_engine", None)

    def save(self, path: "str | Path") -> None:
        """Write a safetensors file with the configuration, checksums and a probe inside."""
        from pathlib import Path

        from numpy_vgg7.weights import save

        save(Path(path), self)

    @classmethod
    def load(cls, path: "str | Path") -> "VGG7":
        """Read a file that `save` wrote. Raises WeightsError if it is not whole and exact."""
        from pathlib import Path

        from numpy_vgg7.weights import load

        return load(Path(path))

    @classmethod
    def from_params(cls, config: VGG7Config, params: Arrays, threads: int = 1) -> "VGG7":
        """A model around copies of existing parameters. Raises WeightsError if they don't fit."""
        from numpy_vgg7.weights import check_tensors

        check_tensors(params, config, "parameters")
        model = cls(config, dtype=next(iter(params.values())).dtype.name, threads=threads)
        model.params = {name: params[name].astype(model.dtype, order="C", copy=True) for name in model.params}
        return model

    def _batch(self, images: Array, labels: Array) -> tuple[Array, Labels]:
        x = as_images(images, self.config.image_size, self.dtype)
        return x, as_labels(labels, len(x), self.config.classes)
