"""Other names of the same layers: prefixes, numbered layers, and names that the user maps."""

import re
from collections.abc import Iterable, Sequence
from itertools import combinations, pairwise, permutations, takewhile
from typing import Any

from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.suggestions import instead
from numpy_vgg7.weights.state_dict import NUMBERED, layer_and_key
from numpy_vgg7.weights.tensors import Tensors

LAYERS = ("conv1", "conv2", "conv3", "conv4", "fc5", "fc6", "fc7")


def normalise(tensors: Tensors, source: str, maps: Sequence[str] = ()) -> tuple[Tensors, list[str]]:
    """Give tensors the names of VGG7's; also return a line for each step.

    `maps` are pairs OLD=NEW of names, of a layer or of one tensor. Raises WeightsError where a pair names no
    tensor. Names that say nothing remain as they are: `check_tensors` reports them.
    """
    found = _named_alike(tensors, source)
    steps = []
    prefix = _common_prefix(found)
    if prefix:
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
        steps.append(f"removed the prefix {prefix!r} from all names")
    if maps:
        found = _mapped(found, prefix, maps, source)
    order = _by_order(found)
    if order:
        found = {_renamed(name, order): tensor for name, tensor in found.items()}
        pairs = ", ".join(f"{old} -> {new}" for old, new in order.items() if old != new)
        steps.append(f"mapped layers by order and shape: {pairs} (`import` changes it with --map OLD=NEW)")
    return found, steps


def _named_alike(tensors: Tensors, source: str) -> Tensors:
    """Separate with dots, and call the parameters of a layer "weight" and "bias"."""
    found: Tensors = {}
    numbered = all(NUMBERED.fullmatch(name) for name in tensors)
    layer = ""
    for old, tensor in tensors.items():
        name = ".".join(layer_and_key(old) or (old.replace("/", "."),))
        if numbered:  # numpy.savez(FILE, *weights): each weight, then its bias
            layer = old if tensor.ndim > 1 else layer
            name = f"{layer}.{'weight' if tensor.ndim > 1 else 'bias'}"
        if name in found:
            raise WeightsError(f"{source}: {old}", "names that differ", f"two tensors {name}", "rename one")
        found[name] = tensor
    return found


def _common_prefix(names: Iterable[str]) -> str:
    """The components that all names begin with, with the dot after them."""
    columns = zip(*(name.split(".")[:-2] for name in names), strict=False)
    common = takewhile(lambda parts: len(set(parts)) == 1, columns)
    return "".join(f"{parts[0]}." for parts in common)


def _mapped(tensors: Tensors, prefix: str, maps: Sequence[str], source: str) -> Tensors:
    for pair in maps:
        old, equals, new = pair.partition("=")
        old = old.removeprefix(prefix)
        chosen = [name for name in tensors if name == old or name.startswith(f"{old}.")]
        if not (equals and new and chosen):
            expected = "OLD=NEW, where OLD is a layer or a tensor of the file"
            names = [*dict.fromkeys(name.rpartition(".")[0] for name in tensors), *tensors]
            fix = instead(old, names, f"choose from {_list(tensors)}")
            raise WeightsError(f"--map {pair}", expected, "no such name", fix)
        renamed = {name: new + name.removeprefix(old) for name in chosen}
        tensors = {renamed.get(name, name): tensor for name, tensor in tensors.items()}
        if len(set(tensors)) < len(tensors):
            raise WeightsError(f"--map {pair}", "names that differ", new, f"choose another in {source}")
    return tensors


def _by_order(tensors: Tensors) -> dict[str, str]:
    """Names of the layers -> VGG7's, or nothing where they have them already or their order is not clear."""
    weights = {name.removesuffix(".weight"): t for name, t in tensors.items() if name.endswith(".weight")}
    kinds = [[layer for layer in weights if weights[layer].ndim == ndim] for ndim in (4, 2)]
    if set(weights) == set(LAYERS) or [len(kind) for kind in kinds] != [4, 3] or len(weights) != len(LAYERS):
        return {}
    ordered: list[str] = []
    for kind in kinds:
        orders = (order for order in permutations(kind) if _ascending(order))
        fits = [order for order in orders if _chain([weights[layer] for layer in order])]
        if len(fits) != 1:
            return {}
        ordered += fits[0]
    return dict(zip(ordered, LAYERS, strict=True))


def _chain(weights: Sequence[NDArray[Any]]) -> bool:
    """Whether each layer can take the output of the one before it; a convolution may have groups."""
    if weights[0].ndim == 4 and weights[0].shape[1] > 1 and any(w.shape[1] == 1 for w in weights):
        return False  # the images are grey
    for before, after in pairwise(weights):
        outputs, inputs = before.shape[0], after.shape[1]
        if outputs != inputs and not (after.ndim == 4 and inputs and outputs % inputs == 0):
            return False
    return True


def _ascending(layers: Sequence[str]) -> bool:
    """Whether the numbers ascend in names that differ in their numbers only."""
    parts = [_text_and_numbers(layer) for layer in layers]
    return all(a[0] != b[0] or a[1] < b[1] for a, b in combinations(parts, 2))


def _text_and_numbers(layer: str) -> tuple[str, list[int]]:
    numbered = re.sub(r"(?<=2d)$|(?<=dense)$", "_0", layer)  # Keras' first layer has no number
    return re.sub(r"\d+", "#", numbered), [int(number) for number in re.findall(r"\d+", numbered)]


def _renamed(name: str, order: dict[str, str]) -> str:
    layer, _, key = name.rpartition(".")
    return f"{order[layer]}.{key}" if layer in order else name


def _list(names: Iterable[str]) -> str:
    layers = list(dict.fromkeys(name.rpartition(".")[0] or name for name in names))
    return ", ".join(layers[:12] + ["..."] * (len(layers) > 12))
