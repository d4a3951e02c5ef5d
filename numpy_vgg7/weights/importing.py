"""Weights of any program, step by step: unwrap, widen, name, transpose, infer; and say what was assumed."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import ConfigError, WeightsError
from numpy_vgg7.model import VGG7
from numpy_vgg7.suggestions import instead
from numpy_vgg7.weights.chain import Described
from numpy_vgg7.weights.features import require_vgg7
from numpy_vgg7.weights.formats import reader
from numpy_vgg7.weights.infer import infer_config
from numpy_vgg7.weights.layouts import FLATTENS, LAYOUTS, to_chw, to_pytorch
from numpy_vgg7.weights.names import normalise
from numpy_vgg7.weights.record import check_tensors, verify
from numpy_vgg7.weights.state_dict import unwrap
from numpy_vgg7.weights.tensors import Tensors, widen


@dataclass(frozen=True)
class Origin:
    """What the user says of a file that does not say it itself. None is "not said".

    layout: of kernels and matrices, one of `LAYOUTS`. flatten: the order before fc5, chw or hwc; if None,
    that of the layout. maps: pairs OLD=NEW of names. mean, std: images were normalised to (x - mean) / std.
    """

    config: VGG7Config | None = None
    activations: tuple[str, ...] | None = None
    layout: str = "pytorch"
    flatten: str | None = None
    maps: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        for name, value, known in (
            ("layout", self.layout, LAYOUTS),
            ("flatten", self.flatten, (None, *FLATTENS)),
        ):
            if value not in known:
                names = ", ".join(filter(None, known))
                raise ConfigError(name, f"one of {names}", value, instead(value, filter(None, known)))
        if not np.isfinite(self.mean) or not np.isfinite(self.std) or self.std == 0:
            raise ConfigError(
                "mean and std", "numbers, std not 0", f"{self.mean}, {self.std}", "correct them"
            )


@dataclass(frozen=True)
class Imported:
    """A model, a line for each step that was taken to read it, and one for each assumption."""

    model: VGG7
    steps: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def import_weights(path: Path, origin: Origin | None = None) -> Imported:
    """Read a model from a file of any known format and program.

    A file that numpy-vgg7 wrote says everything; then nothing is assumed, and an `origin` that says
    something else is an error. Raises WeightsError or ConfigError.
    """
    said = Origin() if origin is None else origin
    source = str(path)
    tree, metadata = reader(path)(path)
    if metadata is not None:
        return _own(tree, metadata, said, source)
    described = tree if isinstance(tree, Described) else None
    if described:
        said, tensors, steps = _as_described(described, said, source), described.tensors, [*described.steps]
    else:
        tensors, steps = unwrap(tree, source, path.stat().st_size)
    for step in (
        widen,
        lambda found: to_pytorch(found, said.layout),
        lambda found: normalise(found, source, said.maps),
        zero_biases,
        lambda found: to_chw(found, said.flatten or ("chw" if said.layout == "pytorch" else "hwc"), source),
    ):
        tensors, lines = step(tensors)
        steps += lines
    require_vgg7(tensors, source)
    config = said.config or infer_config(tensors, source)
    if said.activations:
        config = replace(config, activations=said.activations)  # type: ignore[arg-type]
    check_tensors(tensors, config, source)
    if described and described.image_size not in (None, config.image_size):
        expected = f"weights for images of {described.image_size} pixels per side"
        fix = "it has other padding or pooling than a VGG7"
        raise WeightsError(source, expected, f"weights for {config.image_size}", fix)
    tensors, lines = fold_normalisation(tensors, said.mean, said.std)
    model = VGG7.from_params(config, tensors)
    return Imported(model, tuple(steps + lines), tuple(_assumptions(config, said, described)))


def _own(tensors: Tensors, metadata: str, said: Origin, source: str) -> Imported:
    config = verify(metadata, tensors, source)
    if said.config not in (None, config):
        fix = "omit the option: the file contains its configuration"
        assert said.config is not None
        raise WeightsError(f"{source}: configuration", said.config.to_json(), config.to_json(), fix)
    if said.activations not in (None, config.activations):
        fix = "omit the option: the file contains its configuration"
        raise ConfigError(f"{source}: activations", str(config.activations), str(said.activations), fix)
    if replace(said, config=None, activations=None) != Origin():
        fix = "omit the options: the file contains its names, layout and configuration"
        raise WeightsError(source, "weights of another program", "a file of numpy-vgg7", fix)
    return Imported(VGG7.from_params(config, tensors))


def _as_described(described: Described, said: Origin, source: str) -> Origin:
    """What a file says that contains its layers. An option that says something else is an error."""
    for what, given, found in (
        ("activations", said.activations or (said.config and said.config.activations), described.activations),
        ("flatten order", said.flatten, described.flatten),
        ("layout", None if said.layout == "pytorch" else said.layout, described.layout),
    ):
        if given not in (None, found):
            fix = "omit the option: the file contains its layers"
            raise ConfigError(f"{source}: {what}", str(found), str(given), fix)
    if said.maps:
        fix = "omit --map: the file contains the order of its layers"
        raise ConfigError(f"{source}: names", "none", ", ".join(said.maps), fix)
    return replace(said, layout="pytorch", activations=described.activations, flatten=described.flatten)


def zero_biases(tensors: Tensors) -> tuple[Tensors, list[str]]:
    """Give layers without a bias one of zeros, if others have one; also return a line."""
    weights = {name.removesuffix(".weight"): t for name, t in tensors.items() if name.endswith(".weight")}
    missing = [layer for layer in weights if f"{layer}.bias" not in tensors]
    if not missing or len(missing) == len(weights):
        return tensors, []
    zeros = {f"{layer}.bias": np.zeros(len(weights[layer]), weights[layer].dtype) for layer in missing}
    return tensors | zeros, [f"added biases of zeros, which change nothing: {', '.join(zeros)}"]


def fold_normalisation(tensors: Tensors, mean: float, std: float) -> tuple[Tensors, list[str]]:
    """Weights for pixels x that do what these do for (x - mean) / std; also return a line.

    Only a mean of 0 can be folded. The padding of conv1 is 0, which in a normalised image is the pixel
    `mean`; after folding it is the pixel 0. Raises WeightsError.
    """
    if (mean, std) == (0, 1):
        return tensors, []
    if mean:
        found = f"{mean:g}: the zero padding of conv1 stands for that pixel, and would stand for pixel 0"
        fix = "train without the mean (images / std), which can be imported exactly"
        raise WeightsError("--mean", "0, which can be folded into conv1", found, fix)
    weight = tensors["conv1.weight"]
    folded = (weight.astype(np.float64) / std).astype(weight.dtype)
    return tensors | {"conv1.weight": folded}, [f"divided conv1.weight by the std {std:g}"]


def _assumptions(config: VGG7Config, said: Origin, described: Described | None) -> list[str]:
    """What neither the file nor the user said."""
    size = config.image_size
    assumed = []
    if said.config is None and said.activations is None:
        names = ", ".join(config.activations)
        assumed.append(f"activations: {names} (`import` changes it with --activations, --preset or --config)")
    if described is None or described.image_size is None:
        assumed.append(f"image size: {size}x{size}, which follows from padding 1 and two 2x2 pools")
    if described is None:
        assumed.append("pooling: average, after the activation")
    if said.layout == "pytorch" and said.flatten is None:
        assumed.append("flatten order: C, H, W (`import` changes it with --flatten hwc or --layout keras)")
    if (said.mean, said.std) == (0, 1):
        assumed.append("pixels: 0..1, not normalised (`import` changes it with --mean and --std)")
    return [f"assumed {line}" for line in assumed]


def read_foreign(path: Path, config: VGG7Config | None = None) -> tuple[VGG7, bool]:
    """Read a model from any known format; also return whether its configuration was inferred.

    The configuration is that of the metadata if the file has any, else `config`, else it is inferred from the
    shapes (`infer_config`). `import_weights` does the same and says more. Raises WeightsError.
    """
    imported = import_weights(path, Origin(config=config))
    return imported.model, bool(imported.assumed) and config is None
