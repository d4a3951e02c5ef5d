"""Bugs of reading and writing weights."""

from collections.abc import Callable
from typing import Any

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.model import VGG7
from numpy_vgg7.parity.mutants.mutant import Mutant, bug
from numpy_vgg7.weights.formats import WRITERS


def written(name: str, change: Callable[[str, Array], Array]) -> Mutant:
    """Tensors changed when a safetensors file is written."""
    return bug(name, "weights", WRITERS, ".safetensors",
               lambda original: lambda path, tensors, metadata: original(
                   path, {name: change(name, tensor) for name, tensor in tensors.items()}, metadata))  # fmt: skip


def aliases(original: Any) -> Any:
    """A model around the very arrays that it was given."""

    def from_params(cls: type[VGG7], config: Any, params: Arrays, threads: int = 1) -> VGG7:
        model: VGG7 = original.__func__(cls, config, params, threads)
        model.params = {name: params[name] for name in model.params}
        return model

    return classmethod(from_params)


INTERCHANGE = (
    written("square FC exported untransposed", lambda name, tensor: tensor.T if name == "fc6.weight" else tensor),
    written("kernel axes swapped on export",
            lambda name, tensor: tensor.swapaxes(2, 3) if tensor.ndim == 4 else tensor),
    written("float16 on save", lambda name, tensor: tensor.astype("float16").astype(tensor.dtype)),
    bug("imported arrays alias the source", "weights", VGG7, "from_params", aliases),
)  # fmt: skip
