"""What other networks have and VGG7 has not, recognized by names and shapes."""

import re
from collections.abc import Iterator

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.weights.tensors import Tensors

TRAIN = "train a VGG7 instead"
FOLD = "fold it into the layer before it and export that, or train a network without it"
MERGE = "merge it into the weights, with torch.nn.utils.parametrize.remove_parametrizations, and export those"

# The names of tensors -> the feature that they belong to, and what to do.
BY_NAME = {
    r"running_(mean|var)|num_batches_tracked|moving_(mean|variance)|\b(gamma|beta)$": (
        "batch normalization (BatchNorm)", FOLD,
    ),
    r"(^|[._])(bn|batch_?norm|norm|ln|layer_?norm|gn|group_?norm)(_?\d*)?\.": ("normalization layers", FOLD),
    r"weight_(g|v|orig)$|parametrizations\.": ("weight or spectral normalization", MERGE),
    r"prelu": ("PReLU", TRAIN),
    r"in_proj|out_proj|attn|attention": ("attention", TRAIN),
    r"_ih(_l\d)?$|_hh(_l\d)?$": ("recurrent layers", TRAIN),
    r"zero_point$|_packed_params": ("quantized weights", TRAIN),
}  # fmt: skip

# The kinds of layers that a VGG7 has, by the dimensions of their weights, and how many.
LAYERS = {4: ("convolutions", 4), 2: ("fully connected layers", 3)}
OTHERS = {
    1: "layers with a weight per channel, such as normalization or PReLU",
    3: "one-dimensional convolutions",
    5: "three-dimensional convolutions",
}


def require_vgg7(tensors: Tensors, source: str) -> None:
    """Raise WeightsError, with what was found, if the tensors are those of another kind of network.

    Only what names and shapes show: max pooling, for example, has neither.
    """
    for feature, found, fix in _features(tensors):
        raise WeightsError(source, f"the layers of a VGG7, which has {feature}", found, fix)


def _features(tensors: Tensors) -> Iterator[tuple[str, str, str]]:
    """What a VGG7 has instead, what was found, and what to do."""
    for pattern, (feature, fix) in BY_NAME.items():
        names = [name for name in tensors if re.search(pattern, name, re.IGNORECASE)]
        if names:
            yield f"no {feature}", _list(names), fix
    weights = {name.removesuffix(".weight"): t for name, t in tensors.items() if name.endswith(".weight")}
    for ndim, feature in OTHERS.items():
        found = [f"{layer}.weight" for layer, weight in weights.items() if weight.ndim == ndim]
        if found:
            yield f"no {feature}", _list(found), TRAIN
    for ndim, (kind, count) in LAYERS.items():
        layers = [layer for layer, weight in weights.items() if weight.ndim == ndim]
        if weights and len(layers) != count:
            fix = TRAIN if len(layers) > count else "check that the file is complete, or train a VGG7"
            yield f"{count} {kind}", f"{len(layers)}: {_list(layers)}", fix
    kernels = {layer: weight.shape for layer, weight in weights.items() if weight.ndim == 4}
    for layer, shape in kernels.items():
        where = f"{layer}.weight of shape {shape}"
        if shape[2:] != (3, 3) and shape[:2] == (3, 3):
            fix = "give `import` --layout keras if the kernels are (H, W, in, out)"
            yield "kernels of (out, in, 3, 3)", f"{where}, as in Keras", fix
        if shape[2:] != (3, 3):
            yield "kernels of 3x3 only", where, TRAIN
    for layer in ["conv1"] if "conv1" in kernels else sorted(kernels, key=lambda name: kernels[name][1])[:1]:
        channels = kernels[layer][1]
        if channels > 1:
            images = "colour images (RGB)" if channels == 3 else f"images with {channels} channels"
            where = f"{layer}.weight of shape {kernels[layer]}"
            yield "one input channel, for grey images", f"{images}: {where}", TRAIN


def _list(names: list[str]) -> str:
    return ", ".join(names[:8] + ["..."] * (len(names) > 8)) or "none"
