"""The metadata of a weights file, and the checks on its tensors."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.config import DTYPES, VGG7Config
from numpy_vgg7.errors import ConfigError, WeightsError
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.limits import size as readable
from numpy_vgg7.network import forward, parameter_shapes
from numpy_vgg7.weights.tensors import dtype_name, plain

FORMAT_VERSION = 1
PROBE_MEMORY = 2**26  # bytes: small files must not take much more
KEY = "numpy_vgg7"  # the only metadata key: safetensors writes several in varying order
PROBE_TOLERANCE = 1e-9  # relative to the largest logit; float64 on another machine differs by about 1e-14


def check_tensors(tensors: dict[str, NDArray[Any]], config: VGG7Config, source: str) -> None:
    """Raise WeightsError, with the name of the tensor, unless `tensors` are valid parameters of `config`."""
    if not isinstance(config, VGG7Config):
        found = type(config).__name__
        raise WeightsError(f"{source}: configuration", "a VGG7Config", found, "create one, or use a preset")
    if not isinstance(tensors, Mapping):
        raise WeightsError(
            source, "a dictionary of arrays", type(tensors).__name__, "give names to the arrays"
        )
    for name, tensor in tensors.items():
        if not isinstance(tensor, np.ndarray):
            fix = "convert it with numpy.asarray"
            raise WeightsError(f"{source}: {name}", "a NumPy array", type(tensor).__name__, fix)
    shapes = parameter_shapes(config.layers())
    for name in (name for name in shapes if name not in tensors):
        fix = "check the names, and that the file is complete"
        raise WeightsError(f"{source}: {name}", f"shape {shapes[name]}", "no such tensor", fix)
    for name in (name for name in tensors if name not in shapes):
        found, fix = f"shape {tensors[name].shape}", "if the network uses it, it is not a VGG7"
        raise WeightsError(f"{source}: {name}", "no such tensor", found, fix)
    first = next(iter(shapes))
    for name, shape in shapes.items():
        tensor = tensors[name]
        if tensor.dtype.name not in DTYPES:
            found = dtype_name(tensor.dtype)
            raise WeightsError(f"{source}: {name}", " or ".join(DTYPES), found, "convert it")
        if tensor.dtype.name != tensors[first].dtype.name:
            expected = f"{tensors[first].dtype.name} like {first}"
            raise WeightsError(f"{source}: {name}", expected, tensor.dtype.name, "convert one of them")
        if tensor.shape != shape:
            fix = "transpose or reshape it in the program that wrote it"
            raise WeightsError(f"{source}: {name}", f"shape {shape}", f"shape {tensor.shape}", fix)
        if not np.isfinite(tensor).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(tensor))[0])
            found = f"{tensor[index]} at {list(index)}"
            raise WeightsError(
                f"{source}: {name}", "finite numbers", found, "save a model that has not diverged"
            )


def checksum(tensor: NDArray[Any]) -> str:
    """SHA-256 of a tensor's bytes in C order, native byte order."""
    return hashlib.sha256(plain(tensor).tobytes()).hexdigest()


def probe_logits(config: VGG7Config, params: Arrays) -> Array:
    """Logits of two fixed images, (2, classes), in float64 for weights of either dtype.

    No shape check detects that two tensors of the same shape were exchanged, or that a square one was
    transposed; the logits do. The images are given by a formula, so they never change.
    """
    size = config.image_size
    columns = 9 * max(1, *(c // g for c, g in zip(config.channels, config.groups, strict=True))) * size**2
    needed = 2 * 8 * (config.values_per_image() + columns)
    if needed > max(PROBE_MEMORY, 64 * sum(parameter.nbytes for parameter in params.values())):
        expected, fix = "layers that fit its parameters", "use smaller images, or fewer channels"
        raise WeightsError("probe of the network", expected, f"{readable(needed)} for two images", fix)
    pixels = np.arange(2 * size * size, dtype=np.float64).reshape(2, 1, size, size)
    wide: Arrays = {name: parameter.astype(np.float64) for name, parameter in params.items()}
    return forward(config.layers(), wide, (pixels * 0.6180339887498949) % 1.0)[-1].out


def describe(config: VGG7Config, params: Arrays) -> str:
    """The metadata of a weights file: one JSON object."""
    return json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "config": json.loads(config.to_json()),
            "sha256": {name: checksum(parameter) for name, parameter in params.items()},
            "probe_logits": probe_logits(config, params).tolist(),
        }
    )


def verify(text: str, tensors: dict[str, NDArray[Any]], source: str) -> VGG7Config:
    """Verify `tensors` against the metadata written with them, and return the configuration.

    Raises WeightsError, with the name of the tensor, if anything is missing, changed or damaged.
    """
    try:
        record = json.loads(text)
        version, config_record = record["format_version"], record["config"]
        sums, probe = dict(record["sha256"]), np.array(record["probe_logits"], dtype=np.float64)
    except Exception as error:  # as many kinds as there are kinds of damage
        expected = "numpy-vgg7 metadata"
        raise WeightsError(
            f"{source}: {KEY}", expected, f"something else ({error!r})", "export it again"
        ) from error
    if type(version) is not int or version != FORMAT_VERSION:
        fix = "install a newer numpy-vgg7"
        raise WeightsError(f"{source}: format_version", str(FORMAT_VERSION), repr(version), fix)
    try:
        config = VGG7Config.from_json(json.dumps(config_record))
    except ConfigError as error:
        raise WeightsError(
            f"{source}: config: {error.what}", error.expected, error.found, error.fix
        ) from error
    check_tensors(tensors, config, source)
    for name in parameter_shapes(config.layers()):
        found = checksum(tensors[name])
        if sums.get(name) != found:
            expected = f"SHA-256 {str(sums.get(name))[:12]}..."
            fix = "the file is damaged or was edited: copy or export it again"
            raise WeightsError(f"{source}: {name}", expected, f"{found[:12]}...", fix)
    logits = probe_logits(config, tensors)
    if probe.shape != logits.shape or not np.allclose(
        probe, logits, rtol=0, atol=PROBE_TOLERANCE * float(np.abs(logits).max())
    ):
        expected = "the logits these weights gave when they were saved"
        fix = "export it again: the configuration or the layout does not fit these weights"
        raise WeightsError(f"{source}: probe_logits", expected, "other logits", fix)
    return config
