"""ONNX files, by the package onnx. Only this module imports it; `file.py` does so when it is needed.

Protocol Buffers read a whole file at once: one of empty messages takes a hundred times its length.
"""

from collections.abc import Sequence
from math import prod
from typing import Any, TypeVar

import onnx
from numpy.typing import NDArray
from onnx import (
    AttributeProto,
    GraphProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from numpy_vgg7.weights.onnx.messages import DTYPES, Array, Attribute, Graph, Model, Node
from numpy_vgg7.weights.tensors import plain

__all__ = ["ExternalDataError", "decode_model", "encode_model"]

MOST = 4096  # elements of a list: a VGG7 has a few dozen, and small ones could fill the memory

Element = TypeVar("Element")


class ExternalDataError(ValueError):
    """The numbers of a tensor are in another file."""


def decode_model(content: bytes) -> Model:
    """Read a file. Raises ValueError, or what onnx raises, if it is damaged or has what no VGG7 needs."""
    found = onnx.load_model_from_string(content)
    if not found.HasField("graph"):
        raise ValueError("no graph")
    if found.functions:
        raise ValueError("functions of its own")
    opsets = {_text(opset.domain): opset.version for opset in _few(found.opset_import)}
    entries = {_text(entry.key): _text(entry.value) for entry in _few(found.metadata_props)}
    graph, producer = _graph(found.graph), _text(found.producer_name)
    return Model(graph, found.ir_version, opsets.get("", 1), producer, entries)


def _few(found: Sequence[Element]) -> Sequence[Element]:
    if len(found) > MOST:
        raise ValueError(f"a list of more than {MOST} elements")
    return found


def _text(found: str | bytes) -> str:
    if isinstance(found, bytes):  # the package gives them where a text is not UTF-8
        raise ValueError("a text that is not UTF-8")
    return found


def _graph(found: GraphProto) -> Graph:
    if found.sparse_initializer:
        raise ValueError("sparse tensors")
    constants = {_text(tensor.name): _tensor(tensor) for tensor in _few(found.initializer)}
    nodes = tuple(_node(node) for node in _few(found.node))
    inputs, outputs = (tuple(_array(array) for array in _few(side)) for side in (found.input, found.output))
    return Graph(nodes, constants, inputs, outputs)


def _node(found: NodeProto) -> Node:
    attributes = {_text(attribute.name): _attribute(attribute) for attribute in _few(found.attribute)}
    inputs, outputs = (tuple(_text(name) for name in _few(side)) for side in (found.input, found.output))
    return Node(_text(found.op_type), inputs, outputs, attributes, _text(found.domain))


def _attribute(found: AttributeProto) -> Attribute:
    match found.type:
        case AttributeProto.FLOAT:
            return found.f
        case AttributeProto.INT:
            return found.i
        case AttributeProto.STRING:
            return found.s.decode()
        case AttributeProto.TENSOR:
            return _tensor(found.t)
        case AttributeProto.INTS:
            return tuple(_few(found.ints))
    return None


def _array(found: ValueInfoProto) -> Array:
    kind = found.type.tensor_type
    dtype = DTYPES.get(kind.elem_type)
    dimensions = [
        n.dim_value if n.HasField("dim_value") else _text(n.dim_param) for n in _few(kind.shape.dim)
    ]
    shape = tuple(dimensions) if kind.HasField("shape") else None
    return Array(_text(found.name), dtype.str if dtype else "", shape)


def _tensor(found: TensorProto) -> NDArray[Any]:
    """The numbers of a tensor. Raises ValueError unless they fit its shape."""
    name, dtype = found.name, DTYPES.get(found.data_type)
    if found.external_data or found.data_location:
        raise ExternalDataError(f"{name}: numbers in another file (external data)")
    if dtype is None or found.HasField("segment"):
        raise ValueError(f"{name}: a tensor of the unknown type {found.data_type}")
    shape = tuple(found.dims[:9])
    if any(n < 0 for n in shape) or len(shape) > 8:
        raise ValueError(f"{name}: shape {shape}")
    if found.HasField("raw_data"):
        stored, claimed, unit = len(found.raw_data), prod(shape) * dtype.itemsize, "bytes"
    else:
        numbers = getattr(found, helper.tensor_dtype_to_field(found.data_type))
        stored, claimed, unit = len(numbers), prod(shape), "numbers"
    if stored != claimed:
        raise ValueError(f"{name}: shape {shape} for {stored:,} {unit}")
    return numpy_helper.to_array(found).view(dtype)  # the package has a bfloat16 of its own


def encode_model(model: Model) -> bytes:
    """The content of a file; the same for the same model."""
    graph = helper.make_graph(
        [_made(node) for node in model.graph.nodes],
        "vgg7",
        [_info(array) for array in model.graph.inputs],
        [_info(array) for array in model.graph.outputs],
        [numpy_helper.from_array(plain(value), name) for name, value in model.graph.constants.items()],
    )
    opsets = [helper.make_opsetid("", model.opset)]
    made = helper.make_model(
        graph, opset_imports=opsets, ir_version=model.ir_version, producer_name=model.producer
    )
    helper.set_model_props(made, model.metadata)
    content: bytes = made.SerializeToString(deterministic=True)
    return content


def _made(node: Node) -> NodeProto:
    attributes: dict[str, Any] = node.attributes
    name = node.outputs[0]  # ONNX Runtime names nodes in its messages
    return helper.make_node(
        node.op, node.inputs, node.outputs, name, domain=node.domain or None, **attributes
    )


def _info(array: Array) -> ValueInfoProto:
    code = next(code for code, dtype in DTYPES.items() if dtype.str == array.dtype)
    return helper.make_tensor_value_info(array.name, code, array.shape)
