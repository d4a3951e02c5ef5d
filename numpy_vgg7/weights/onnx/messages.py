"""The messages of an ONNX file that a VGG7 needs, and their fields. Source: onnx/onnx.proto."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.weights.onnx.protobuf import Message, Value, encode
from numpy_vgg7.weights.tensors import BFLOAT16, Tensors, plain

Attribute = int | float | str | tuple[int, ...] | NDArray[Any] | None

# TensorProto.DataType -> dtype. Half precision may be stored in 32-bit integers.
DTYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"), 11: np.dtype("<f8"), 10: np.dtype("<f2"), 16: BFLOAT16,
    6: np.dtype("<i4"), 7: np.dtype("<i8"), 2: np.dtype("u1"), 3: np.dtype("i1"), 9: np.dtype("?"),
}  # fmt: skip
CODES = {np.dtype(dtype).str: code for code, dtype in DTYPES.items() if dtype != BFLOAT16}

_MOST_INTEGERS = 1 << 22  # of one tensor: half precision of a large VGG7, in 32 MB

# AttributeProto.AttributeType
_FLOAT, _INT, _STRING, _TENSOR, _INTS = 1, 2, 3, 4, 7


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


def decode_model(content: bytes) -> Model:
    """Read a file. Raises ValueError if it is damaged, or has what no VGG7 needs."""
    message = Message(memoryview(content))
    if 7 not in message:
        raise ValueError("no graph")
    if 25 in message:
        raise ValueError("functions of its own")
    opsets = {found.text(1): found.integer(2) for found in message.messages(8)}
    entries = {entry.text(1): entry.text(2) for entry in message.messages(14)}
    graph = _graph(message.message(7))
    return Model(graph, message.integer(1), opsets.get("", 1), message.text(2), entries)


def _graph(message: Message) -> Graph:
    if 15 in message:
        raise ValueError("sparse tensors")
    tensors = {found.text(8): tensor(found) for found in message.messages(5)}
    nodes = tuple(_node(found) for found in message.messages(1))
    inputs, outputs = (tuple(_array(found) for found in message.messages(number)) for number in (11, 12))
    return Graph(nodes, tensors, inputs, outputs)


def _node(message: Message) -> Node:
    attributes = {found.text(1): _attribute(found) for found in message.messages(5)}
    inputs, outputs = tuple(message.texts(1)), tuple(message.texts(2))
    return Node(message.text(4), inputs, outputs, attributes, message.text(7))


def _attribute(message: Message) -> Attribute:
    kind = message.integer(20)
    if kind == _FLOAT:
        return float(message.numbers(2, "<f4")[-1])
    if kind == _INT:
        return message.integer(3)
    if kind == _STRING:
        return message.text(4)
    if kind == _TENSOR:
        return tensor(message.message(5))
    return tuple(message.integers(8)) if kind == _INTS else None


def _array(message: Message) -> Array:
    kind = message.message(2).message(1)
    dtype = DTYPES.get(kind.integer(1))
    dimensions = [d.integer(1) if 1 in d else d.text(2) for d in kind.message(2).messages(1)]
    return Array(message.text(1), dtype.str if dtype else "", tuple(dimensions) if 2 in kind else None)


def tensor(message: Message) -> NDArray[Any]:
    """A TensorProto; its numbers are a view of the file. Raises ValueError unless they fit its shape."""
    name, dtype = message.text(8), DTYPES.get(message.integer(2))
    if 13 in message or message.integer(14):
        raise ValueError(f"{name}: numbers in another file (external data)")
    if dtype is None or 3 in message:
        raise ValueError(f"{name}: a tensor of the unknown type {message.integer(2)}")
    shape = tuple(message.integers(1))
    if any(n < 0 for n in shape) or len(shape) > 8:
        raise ValueError(f"{name}: shape {shape}")
    flat = _numbers(message, dtype)
    if prod(shape) != flat.size:
        raise ValueError(f"{name}: shape {shape} for {flat.size:,} numbers")
    return flat.reshape(shape)


def _numbers(message: Message, dtype: np.dtype[Any]) -> NDArray[Any]:
    if 9 in message:
        return np.frombuffer(message.content(9), dtype)
    if dtype.str in ("<f4", "<f8"):
        return message.numbers(4 if dtype.itemsize == 4 else 10, dtype.str)
    integers = message.integer_array(7 if dtype.str == "<i8" else 5, _MOST_INTEGERS)
    if dtype.itemsize == 2:  # the 16 bits
        return integers.astype(np.uint16).view(dtype)
    return integers.astype(dtype)


def encode_model(model: Model) -> bytes:
    """The content of a file."""
    return encode(
        {
            1: model.ir_version,
            2: model.producer,
            7: _encoded_graph(model.graph),
            8: encode({1: "", 2: model.opset}),
            14: [encode({1: key, 2: value}) for key, value in model.metadata.items()],
        }
    )


def _encoded_graph(graph: Graph) -> bytes:
    return encode(
        {
            1: [_encoded_node(node) for node in graph.nodes],
            2: "vgg7",
            5: [_encoded_tensor(name, value) for name, value in graph.constants.items()],
            11: [_encoded_array(array) for array in graph.inputs],
            12: [_encoded_array(array) for array in graph.outputs],
        }
    )


def _encoded_node(node: Node) -> bytes:
    attributes = []
    for name, value in node.attributes.items():
        fields: dict[int, Value | tuple[int, ...]] = {1: name}
        if isinstance(value, int):
            fields |= {3: value, 20: _INT}
        elif isinstance(value, tuple):
            fields |= {8: value, 20: _INTS}
        else:
            raise TypeError(f"attribute {name}: {value!r}")
        attributes.append(encode(fields))
    # ONNX Runtime names nodes in its messages.
    return encode({1: node.inputs, 2: node.outputs, 3: node.outputs[0], 4: node.op, 5: attributes})


def _encoded_tensor(name: str, value: NDArray[Any]) -> bytes:
    numbers = plain(value).astype(value.dtype.newbyteorder("<"), copy=False)
    return encode({1: value.shape, 2: CODES[numbers.dtype.str], 8: name, 9: numbers.tobytes()})


def _encoded_array(array: Array) -> bytes:
    dimensions = [encode({1 if isinstance(n, int) else 2: n}) for n in array.shape or ()]
    kind = encode({1: CODES[array.dtype], 2: encode({1: dimensions})})
    return encode({1: array.name, 2: encode({1: kind})})
