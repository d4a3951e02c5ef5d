"""ONNX files (.onnx). They need the package onnx, which is optional."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy_vgg7 import files
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import ConfigError, MissingDependencyError, OutputError, WeightsError
from numpy_vgg7.reading import WEIGHTS, FileKind, most_bytes
from numpy_vgg7.weights.chain import Described
from numpy_vgg7.weights.onnx.export import onnx_model
from numpy_vgg7.weights.onnx.graph import read_graph
from numpy_vgg7.weights.record import KEY
from numpy_vgg7.weights.tensors import Tensors

LONGEST = 2**31 - 1  # bytes of a message of Protocol Buffers
GRAPH = 1 << 26  # bytes that a graph has beside its weights, at most
ONNX = FileKind("ONNX file", WeightsError, longest=LONGEST)


def read_onnx(path: Path) -> tuple[Any, str | None]:
    """The network in an ONNX file, `Described`, and None; the tensors and the metadata of a file of ours.

    The numbers are read as they are; none are computed but shapes. Raises WeightsError if the file is
    damaged, is the graph of another network, or has its weights in another file; MissingDependencyError
    without onnx.
    """
    content = ONNX.read(path)
    proto = _proto(path)
    with ONNX.parsing(path):
        try:
            model = proto.decode_model(content)
        except proto.ExternalDataError as error:
            fix = "save it in one file: torch.onnx.export(..., external_data=False), or onnx.save"
            raise WeightsError(str(path), "weights in the file itself", str(error), fix) from error
        found = read_graph(model, str(path), most_bytes(len(content), WEIGHTS))
    metadata = model.metadata.get(KEY)
    return (found, None) if metadata is None else (_verified(found, metadata, path), metadata)


def _verified(found: Described, metadata: str, path: Path) -> Tensors:
    """The tensors of a file of ours, whose graph must be that of the configuration in it."""
    try:
        config = VGG7Config.from_json(json.dumps(json.loads(metadata)["config"]))
    except (ValueError, TypeError, KeyError, RecursionError, ConfigError):
        return found.tensors  # `record.verify` says what is wrong with the metadata
    said = replace(found, activations=config.activations, flatten="chw", image_size=config.image_size)
    if found != said:
        expected = f"a graph with {', '.join(said.activations)} for images of {said.image_size} pixels"
        graph = f"{', '.join(found.activations)}, {found.image_size} pixels, flatten order {found.flatten}"
        raise WeightsError(str(path), expected, graph, "the file was edited: export it again")
    return found.tensors


def write_onnx(path: Path, tensors: Tensors, metadata: str) -> None:
    """Write an ONNX file. The metadata, which it keeps, says the configuration.

    Raises OutputError, or MissingDependencyError without onnx.
    """
    proto, size = _proto(path), sum(tensor.nbytes for tensor in tensors.values())
    if size + GRAPH > LONGEST:
        fix = "export it to .safetensors"
        raise OutputError(str(path), "weights of less than 2 GB, as in any ONNX file", f"{size:,} bytes", fix)
    config = VGG7Config.from_json(json.dumps(json.loads(metadata)["config"]))
    files.write_bytes(path, proto.encode_model(onnx_model(config, tensors, metadata=metadata)))


def _proto(path: Path) -> ModuleType:
    try:
        from numpy_vgg7.weights.onnx import proto
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        fix = "install it: pip install 'numpy-vgg7[onnx]'"
        raise MissingDependencyError(str(path), "onnx", "no package onnx", fix) from error
    return proto
