"""Files that contain the layers themselves, not only weights (ONNX, Keras): are they those of a VGG7?"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.weights.features import TRAIN
from numpy_vgg7.weights.tensors import Tensors

# What is behind each layer with weights; each of these has an activation in between, or none.
ORDER = ("conv", "conv", "pool", "conv", "conv", "pool", "flatten", "fc", "fc", "fc")
NAMES = ("conv1", "conv2", "", "conv3", "conv4", "", "", "fc5", "fc6", "fc7")
ENDS = ("softmax", "log-softmax")
IN_WORDS = {
    "conv": "convolution", "pool": "average pooling", "fc": "fully connected",
}  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One layer of a file: a kind of `ORDER`, an activation, or one of `ENDS`. What it lacks is None.

    weight and bias have PyTorch's layout. flatten: the order before fc5, chw or hwc.
    """

    kind: str
    weight: NDArray[Any] | None = None
    bias: NDArray[Any] | None = None
    groups: int = 1
    flatten: str | None = None


@dataclass(frozen=True)
class Described:
    """The tensors of a file that contains its layers, in PyTorch's layout, and what it says of them.

    flatten: the order before fc5, chw or hwc. layout: of the program that wrote it, one of `LAYOUTS`.
    image_size is None where it is not fixed. `steps` has a line for each step that was taken to read it.
    """

    tensors: Tensors
    activations: tuple[str, ...]
    flatten: str
    image_size: int | None = None
    steps: tuple[str, ...] = ()
    layout: str = "pytorch"


def lacks(source: str, feature: str, found: str, fix: str = TRAIN) -> WeightsError:
    """The error of a file with a layer that VGG7 has not."""
    return WeightsError(source, f"the layers of a VGG7, which has no {feature}", found, fix)


def described(chain: Sequence[Step], image_size: int | None, steps: Sequence[str], source: str) -> Described:
    """The VGG7 that a chain of layers is. Raises WeightsError if it is none."""
    kinds = [step.kind for step in chain]
    lines = list(steps)
    if kinds and kinds[-1] in ENDS:
        lines.append(f"left out the {kinds[-1]} at the end: the outputs are the logits before it")
        chain, kinds = chain[:-1], kinds[:-1]
    for before, kind in pairwise(["images", *kinds]):
        if kind in ACTIVATIONS and before not in ("conv", "fc"):
            feature = f"{kind} after {IN_WORDS.get(before, before)}"
            raise lacks(source, feature, _words(kinds))
    if tuple(kind for kind in kinds if kind not in ACTIVATIONS) != ORDER:
        expected = f"the layers of a VGG7, {_words(ORDER)}, each with an activation or none"
        raise WeightsError(source, expected, _words(kinds), TRAIN)
    tensors: Tensors = {}
    activations = []
    channels = 1
    names = iter(NAMES)
    for step, after in zip(chain, [*kinds[1:], ""], strict=True):
        name = next(names) if step.kind in ORDER else ""
        if step.weight is None or not name:
            continue
        if step.kind == "conv":
            if step.groups * step.weight.shape[1] != channels:
                found = f"{step.groups} groups, weight {step.weight.shape}"
                raise WeightsError(f"{source}: {name}", f"{channels} input channels", found, "correct it")
            channels = step.weight.shape[0]
        tensors[f"{name}.weight"] = step.weight
        if step.bias is not None:
            tensors[f"{name}.bias"] = step.bias
        activations.append(after if after in ACTIVATIONS else "identity")
    flatten = next(step.flatten or "chw" for step in chain if step.kind == "flatten")
    return Described(tensors, tuple(activations), flatten, image_size, tuple(lines))


def _words(kinds: Sequence[str]) -> str:
    return ", ".join(IN_WORDS.get(kind, kind) for kind in kinds) or "no layers"
