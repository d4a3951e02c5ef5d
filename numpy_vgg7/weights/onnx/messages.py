"""What a VGG7 needs of the messages of an ONNX file. Source: onnx/onnx.proto."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.weights.tensors import BFLOAT16, Tensors

Attribute = int | float | str | tuple[int, ...] | NDArray[Any] | None

# TensorProto.DataType -> dtype.
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"), 11: np.dtype("<f8"), 10: np.dtype("<f2"), 16: BFLOAT16,
    6: np.dtype("<i4"), 7: np.dtype("<i8"), 2: np.dtype("u1"), 3: np.dtype("i1"), 9: np.dtype("?"),
}  # fmt: skip


@dataclass(frozen=True)
class Node:
    """One operator. The names of its inputs and outputs connect it with others; a missing input is ""."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    domain: str = ""


@dataclass(frozen=True)
class Array:
    """An input or output of a graph: its dtype, and its dimensions, where a text is not a fixed number."""

    name: str
    dtype: str
    shape: tuple[int | str, ...] | None


@dataclass(frozen=True)
class Graph:
    """Operators in the order of computation, and the constants (initializers)."""

    nodes: tuple[Node, ...]
    constants: Tensors
    inputs: tuple[Array, ...]
    outputs: tuple[Array, ...]


@dataclass(frozen=True)
class Model:
    """A graph with the versions that it is written for."""

    graph: Graph
    ir_version: int
    opset: int
    producer: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
