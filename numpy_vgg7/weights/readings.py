"""The usual wrong readings of weights. Which one would give the outputs of the other program?

Each reading computes the logits in another way. They are tried one by one, then several together.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations, product
from typing import Any

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.weights.layouts import hwc_to_chw
from numpy_vgg7.weights.probe import Probe

IMAGES = 1  # of a probe, with which readings are tried; the one that fits is confirmed with all

FUNCTIONS: dict[str, Callable[[Array], Array]] = {
    name: activation.forward for name, activation in ACTIVATIONS.items()
}
# Functions that VGG7 does not have; recognized, so that they can be named.
FOREIGN: dict[str, Callable[[Array], Any]] = {
    "sigmoid": lambda x: 0.5 * (1 + np.tanh(x / 2)),
    "leaky_relu (slope 0.01)": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "silu": lambda x: x * 0.5 * (1 + np.tanh(x / 2)),
    "gelu": lambda x: x * 0.5 * (1 + np.vectorize(math.erf, [float])(x / math.sqrt(2))),
    "gelu (tanh)": lambda x: x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
}
# Mean and std of images: of MNIST and Fashion-MNIST, symmetric, inverted, pixels 0..255 and 0..16, 0..1/255.
NORMALISATIONS = (
    (0.1307, 0.3081), (0.2860, 0.3530), (0.5, 0.5), (1.0, -1.0), (0.0, 1 / 255), (0.0, 1 / 16), (0.0, 255.0),
)  # fmt: skip
NOT_FOLDED = "VGG7 takes pixels 0..1 and pads with 0: train it on those"


@dataclass(frozen=True)
class Network:
    """A network like a VGG7, and how it differs: what it is called, and what to do about it."""

    config: VGG7Config
    params: Arrays
    activations: tuple[str, ...]
    pool: str = "average"
    pool_first: bool = False
    padding: int = 1
    scale: float = 1.0
    shift: float = 0.0
    words: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()

    def logits(self, images: Array) -> Array:
        """(N, 1, H, W) -> (N, classes), float64."""
        x = images * self.scale + self.shift
        for number in (1, 2, 3, 4):
            weight, bias = self._layer(f"conv{number}")
            x = F.conv2d(x, weight, bias, self.config.groups[number - 1])
            x = x if self.padding else x[:, :, 1:-1, 1:-1]
            steps = [self._function(number - 1)]
            if number in (2, 4):
                steps.insert(0 if self.pool_first else 1, _max_pool if self.pool == "max" else _avg_pool)
            for step in steps:
                x = step(x)
        x = F.flatten(x)
        for number in (5, 6, 7):
            x = self._function(number - 1)(F.linear(x, *self._layer(f"fc{number}")))
        return x

    def _layer(self, name: str) -> tuple[Array, Array | None]:
        return self.params[f"{name}.weight"], self.params.get(f"{name}.bias")

    def _function(self, index: int) -> Callable[[Array], Array]:
        function: Callable[[Array], Array] = (FUNCTIONS | FOREIGN)[self.activations[index]]
        return function

    def read(self, words: str, fix: str, **changes: object) -> "Network":
        """The same network with another reading."""
        changed: Network = replace(self, words=(*self.words, words), fixes=(*self.fixes, fix), **changes)  # type: ignore[arg-type]
        return changed

    def with_params(self, words: str, fix: str, params: Arrays) -> "Network":
        """The same network with some parameters changed."""
        return self.read(words, fix, params=self.params | params)


def _avg_pool(x: Array) -> Array:
    return F.avg_pool2d(x[:, :, : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2])


def _max_pool(x: Array) -> Array:
    n, c, h, w = x.shape
    blocks = x[:, :, : h // 2 * 2, : w // 2 * 2].reshape(n, c, h // 2, 2, w // 2, 2)
    largest: Array = blocks.max(axis=(3, 5))
    return largest


Reading = Callable[[Network], Iterator[Network]]
_KERNEL = "correct the kernels in the program that wrote them"


def transposed_matrices(net: Network) -> Iterator[Network]:
    """Square matrices (in, out) instead of (out, in), which no shape shows."""
    names = [f"fc{n}.weight" for n in (5, 6, 7)]
    square = [name for name in names if net.params[name].shape[0] == net.params[name].shape[1]]
    for count in range(len(square), 0, -1):
        for chosen in combinations(square, count):
            verb = "is" if count == 1 else "are"
            yield net.with_params(
                f"{' and '.join(chosen)} {verb} transposed: (in, out) instead of (out, in)",
                "transpose it where it was written, or give `import` --layout keras if all weights are so",
                {name: net.params[name].T for name in chosen},
            )


def flatten_order(net: Network) -> Iterator[Network]:
    """H, W, C before fc5, as in Keras."""
    fc5, channels = net.params["fc5.weight"], net.config.channels[3]
    if channels > 1 and fc5.shape[1] > channels:
        changed = {"fc5.weight": hwc_to_chw(fc5, channels)}
        yield net.with_params("the flatten order is H, W, C, as in Keras", "give --flatten hwc", changed)


def kernels(net: Network) -> Iterator[Network]:
    """Kernels rotated by 180 degrees, or with their axes exchanged, or input and output channels."""
    conv = {name: p for name, p in net.params.items() if p.ndim == 4}
    rotated = {name: p[:, :, ::-1, ::-1] for name, p in conv.items()}
    yield net.with_params(
        "the kernels are rotated by 180 degrees: a convolution, not a correlation", _KERNEL, rotated
    )
    swapped = {name: p.swapaxes(2, 3) for name, p in conv.items()}
    yield net.with_params("height and width of the kernels are swapped", _KERNEL, swapped)
    square = {name: p.swapaxes(0, 1) for name, p in conv.items() if 1 < p.shape[0] == p.shape[1]}
    for count in range(len(square), 0, -1):
        for chosen in combinations(square, count):
            words = f"input and output channels of {' and '.join(chosen)} are swapped"
            yield net.with_params(words, _KERNEL, {name: square[name] for name in chosen})


def pooling(net: Network) -> Iterator[Network]:
    """Max pooling, and pooling before the activation."""
    fix = "VGG7 has average pooling after the activation only: train it with that"
    yield net.read("the network has max pooling", fix, pool="max")
    if any(function != "identity" for function in net.activations[:4]):
        yield net.read("the network pools before the activation", fix, pool_first=True)


def normalisations(net: Network) -> Iterator[Network]:
    """Images that were scaled or normalised before."""
    for mean, std in NORMALISATIONS:
        yield normalised(net, mean, std)


def normalised(net: Network, mean: float, std: float) -> Network:
    """The network behind a normalisation (x - mean) / std of its images."""
    words, fix = f"the images are normalised: (x - {mean:.4f}) / {std:.4f}", NOT_FOLDED
    if abs(mean) < 1e-4 * abs(std):
        white = round(1 / std)
        std = 1 / white if abs(white * std - 1) < 1e-5 else std  # 255, say, not 254.9999
        words, fix = f"the network takes pixels in 0..{1 / std:.6g}", f"give --std {std:.9g}"
    elif abs(mean - 1) < 1e-3 and abs(std + 1) < 1e-3:
        words = "the images are inverted: 1 - x"
    return net.read(words, fix, scale=1 / std, shift=-mean / std)


def activations(net: Network) -> Iterator[Network]:
    """Another function for fc5 and fc6, another for fc7."""
    for hidden, last in product(FUNCTIONS, repeat=2):
        yield from _with_functions(net, (*net.activations[:4], hidden, hidden, last))


def mixed_activations(net: Network) -> Iterator[Network]:
    """Any functions of VGG7, with one for all convolutions."""
    for conv, *rest in product(FUNCTIONS, repeat=4):
        yield from _with_functions(net, (*(conv,) * 4, *rest))


def foreign_activations(net: Network) -> Iterator[Network]:
    """Functions that VGG7 does not have: in all layers, in the convolutions, in fc5 and fc6."""
    for foreign, last in product(FOREIGN, FUNCTIONS):
        for conv, hidden in ((foreign, foreign), (foreign, "tanh"), (foreign, "relu"), ("relu", foreign)):
            yield from _with_functions(net, ((conv,) * 4 + (hidden,) * 2 + (last,)))


def _with_functions(net: Network, functions: tuple[str, ...]) -> Iterator[Network]:
    names, foreign = ",".join(functions), [name for name in dict.fromkeys(functions) if name in FOREIGN]
    fix = f"give --activations {names}"
    if foreign:
        fix = f"VGG7 has no {' and no '.join(foreign)}: train it with {', '.join(FUNCTIONS)}"
    if functions != net.activations:
        yield net.read(f"the activations are {names}", fix, activations=functions)


READINGS: tuple[Reading, ...] = (
    transposed_matrices, flatten_order, kernels, pooling, normalisations, activations,
)  # fmt: skip
ALONE: tuple[Reading, ...] = (mixed_activations, foreign_activations)  # too many to combine
TRIPLE: tuple[Reading, ...] = (pooling, normalisations, activations)  # what tutorials combine


def explain(plain: Network, probe: Probe) -> Network | None:
    """The reading of a network's weights that gives the outputs of a probe, or None if none is known."""
    few = probe.first(IMAGES)
    for network in chain(_without_padding(plain, few), _candidates(plain)):
        if fits(network, few) and fits(network, probe):
            return network
    return None


def fits(network: Network, probe: Probe) -> bool:
    """Whether a network gives the outputs of a probe."""
    try:
        with np.errstate(all="ignore"):
            return probe.fits(network.logits(probe.images))
    except ValueError:  # images of another size
        return False


def _candidates(plain: Network) -> Iterator[Network]:
    for reading in READINGS + ALONE:
        yield from reading(plain)
    for several in (*combinations(READINGS, 2), TRIPLE):
        networks: Iterator[Network] = iter([plain])
        for reading in several:
            networks = chain.from_iterable(map(reading, networks))
        yield from networks


def _without_padding(plain: Network, probe: Probe) -> Iterator[Network]:
    if probe.images.shape[2] != plain.config.image_size:
        fix = "VGG7 pads by 1: train it with that"
        yield plain.read("the convolutions have no padding", fix, padding=0)
