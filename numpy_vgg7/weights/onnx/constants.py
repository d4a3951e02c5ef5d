"""What a graph computes from weights and shapes alone: exporters transpose weights and assemble shapes so."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.weights.onnx.messages import DTYPES, Node

LONGEST = 64  # elements of a shape; no weights are gathered or concatenated

Inputs = list[NDArray[Any]]


def _constant(node: Node, _inputs: Inputs) -> NDArray[Any]:
    ((kind, value),) = node.attributes.items()
    if kind not in ("value", "value_int", "value_ints", "value_float"):
        raise ValueError(f"a Constant with {kind}")
    return np.asarray(value)


def integers(array: NDArray[Any]) -> list[int]:
    """The elements of a shape. Raises ValueError if it is none."""
    if array.dtype.kind != "i" or array.ndim > 1 or array.size > LONGEST:
        raise ValueError(f"a shape of {array.size} elements of {array.dtype}")
    return [int(n) for n in np.atleast_1d(array)]


def axes_of(node: Node, inputs: Inputs) -> list[int]:
    """The axes of Squeeze and Unsqueeze: an attribute, since opset 13 an input."""
    found = node.attributes.get("axes")
    if isinstance(found, tuple):
        return list(found)
    return integers(inputs[1]) if len(inputs) > 1 else []


def _transpose(node: Node, inputs: Inputs) -> NDArray[Any]:
    order = node.attributes.get("perm")
    return inputs[0].transpose(order if isinstance(order, tuple) else None)


def _reshape(_node: Node, inputs: Inputs) -> NDArray[Any]:
    shape = integers(inputs[1])
    return inputs[0].reshape([inputs[0].shape[i] if n == 0 else n for i, n in enumerate(shape)])


def _unsqueeze(node: Node, inputs: Inputs) -> NDArray[Any]:
    return np.expand_dims(inputs[0], tuple(axes_of(node, inputs)))


def _squeeze(node: Node, inputs: Inputs) -> NDArray[Any]:
    return np.squeeze(inputs[0], tuple(axes_of(node, inputs)) or None)


def _cast(node: Node, inputs: Inputs) -> NDArray[Any]:
    to = node.attributes.get("to")
    dtype = DTYPES.get(to) if isinstance(to, int) else None
    if dtype is None or not np.can_cast(inputs[0].dtype, dtype, "safe"):
        raise ValueError(f"a Cast of {inputs[0].dtype} to the type {to}")
    return inputs[0].astype(dtype)


def _gather(node: Node, inputs: Inputs) -> NDArray[Any]:
    if node.attributes.get("axis", 0) != 0:
        raise ValueError("a Gather on another axis than the first")
    shape = np.array(integers(inputs[0]))
    if inputs[1].ndim > 1:
        raise ValueError("a Gather of several axes")
    return np.asarray(shape[np.array(integers(inputs[1])).reshape(inputs[1].shape)])


def _concat(_node: Node, inputs: Inputs) -> NDArray[Any]:
    return np.array([n for part in inputs for n in integers(part)], np.int64)


def _slice(_node: Node, inputs: Inputs) -> NDArray[Any]:
    (start,), (end,) = integers(inputs[1]), integers(inputs[2])
    step = integers(inputs[4])[0] if len(inputs) > 4 else 1
    return np.array(integers(inputs[0])[start:end:step], np.int64)


def _mul(_node: Node, inputs: Inputs) -> NDArray[Any]:
    a, b = (integers(part) for part in inputs)
    if 0 in a + b:
        raise ValueError("a product with the size of the batch")
    return np.asarray(inputs[0] * inputs[1])


# Operators whose inputs are constants. They raise ValueError where they are not what exporters write.
FUNCTIONS: dict[str, Callable[[Node, Inputs], NDArray[Any]]] = {
    "Constant": _constant, "Identity": lambda _node, inputs: inputs[0],
    "Transpose": _transpose, "Reshape": _reshape, "Unsqueeze": _unsqueeze, "Squeeze": _squeeze,
    "Cast": _cast, "Gather": _gather, "Concat": _concat, "Slice": _slice, "Mul": _mul,
}  # fmt: skip
