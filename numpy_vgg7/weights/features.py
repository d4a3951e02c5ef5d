"""What other networks have and VGG7 has not, recognized by names and shapes."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.weights.tensors import Tensors

# The name of a tensor -> the feature it belongs to.
BY_NAME = {
    r"running_(mean|var)|num_batches_tracked|moving_(mean|variance)|\b(gamma|beta)$": "batch normalization",
    r"(^|\.)(bn|batch_?norm|norm|ln|layer_?norm|gn|group_?norm)(_?\d*)?\.": "normalization",
    r"in_proj|out_proj|attn|attention": "attention",
    r"_ih(_l\d)?$|_hh(_l\d)?$": "recurrent layers",
    r"scales?$|zero_point$|_packed_params": "quantized weights",
}
FOLDS = "fold it into the convolution before it and export that, or train a network without it"

# The layer of a weight, and the weight -> what it has that VGG7 has not.
BY_SHAPE: dict[str, Callable[[str, NDArray[Any]], bool]] = {
    "kernels of another size than 3x3": lambda layer, w: w.ndim == 4 and w.shape[2:] != (3, 3),
    "images with several channels (VGG7 takes grey ones)": lambda layer, w: (
        layer == "conv1" and w.ndim == 4 and w.shape[1] > 1
    ),
    "convolutions in one or three dimensions": lambda layer, w: w.ndim in (3, 5),
}


def require_vgg7(tensors: Tensors, source: str) -> None:
    """Raise WeightsError, with what was found, if the tensors are those of another kind of network.

    Only what names and shapes show: max pooling, for example, has neither.
    """
    for feature, found, fix in _features(tensors):
        raise WeightsError(source, f"the layers of a VGG7, which has no {feature}", found, fix)


def _features(tensors: Tensors) -> Iterator[tuple[str, str, str]]:
    for pattern, feature in BY_NAME.items():
        names = [name for name in tensors if re.search(pattern, name, re.IGNORECASE)]
        if names:
            fix = FOLDS if "normalization" in feature else "train a VGG7 instead"
            yield feature, ", ".join(names[:4]), fix
    weights = {name.removesuffix(".weight"): t for name, t in tensors.items() if name.endswith(".weight")}
    for layer, weight in weights.items():
        for feature, has in BY_SHAPE.items():
            if has(layer, weight):
                found = f"{layer}.weight of shape {weight.shape}"
                if weight.ndim == 4 and weight.shape[:2] == (3, 3):
                    found += ", as in Keras"
                    yield feature, found, "give --layout keras if the kernels are (H, W, in, out)"
                yield feature, found, "train a VGG7 instead"
    for kind, ndim, most in (("convolutions", 4, 4), ("fully connected layers", 2, 3)):
        layers = [layer for layer in weights if weights[layer].ndim == ndim]
        if len(layers) > most:
            feature = f"more than {most} {kind}"
            yield feature, f"{len(layers)}: {', '.join(layers)}", "train a VGG7 instead"
