"""The layers of an ONNX graph: its operators, walked from the images to the last output.

The graph must be a chain. Exporters for channels-last programs transpose before and after each convolution,
add biases separately and compute shapes; all of this is followed (`constants.py`), and anything that VGG7 has
not is refused by its name.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from numpy_vgg7.errors import WeightsError
from numpy_vgg7.weights.chain import Described, Step, described, lacks
from numpy_vgg7.weights.features import FOLD, TRAIN
from numpy_vgg7.weights.onnx.constants import FUNCTIONS, Inputs, axes_of, integers
from numpy_vgg7.weights.onnx.messages import Model, Node
from numpy_vgg7.weights.tensors import Tensors

# Operators that VGG7 has not, where the name alone would not say it.
FEATURES = {
    "MaxPool": "max pooling", "GlobalAveragePool": "global average pooling",
    "GlobalMaxPool": "global max pooling", "LpPool": "other pooling than 2x2 averages",
    "BatchNormalization": "batch normalization", "InstanceNormalization": "normalization",
    "LayerNormalization": "normalization", "GroupNormalization": "normalization", "LRN": "normalization",
    "ReduceMean": "pooling of whole images", "ConvTranspose": "transposed convolutions",
    "QLinearConv": "quantized weights", "DequantizeLinear": "quantized weights",
    "QuantizeLinear": "quantized weights", "ConvInteger": "quantized weights",
    "MatMulInteger": "quantized weights", "LSTM": "recurrent layers", "GRU": "recurrent layers",
    "RNN": "recurrent layers", "Attention": "attention", "Resize": "upsampling", "Clip": "ReLU6 or clipping",
}  # fmt: skip
SIMPLE = {"Relu": "relu", "Tanh": "tanh", "Atan": "arctan", "Softmax": "softmax", "LogSoftmax": "log-softmax"}
SAME = ("SAME_UPPER", "SAME_LOWER")  # for odd kernels and a stride of 1, both are symmetric


@dataclass(frozen=True)
class Data:
    """The images or what a layer made of them: which axes it has, and how long they are.

    axes: "NCHW", "NHWC" or "NF"; or, with one channel, other orders. A length that is not fixed is None,
    that of the batch is 0, which in a Reshape keeps it.
    """

    axes: str
    shape: tuple[int | None, ...]

    @property
    def channel_axis(self) -> int:
        """The axis of channels or features."""
        return max(self.axes.find("C"), self.axes.find("F"))


def read_graph(model: Model, source: str, budget: int) -> Described:
    """The VGG7 in a graph. `budget`: most bytes to compute from constants.

    Raises WeightsError if the graph is that of another network, ValueError if it is none.
    """
    walk = _Walk(model, source, budget)
    for node in model.graph.nodes:
        walk.step(node)
    return walk.result()


class _Walk:
    def __init__(self, model: Model, source: str, budget: int) -> None:
        graph = model.graph
        self.source, self.budget = source, budget
        self.constants: Tensors = dict(graph.constants)
        inputs = [array for array in graph.inputs if array.name not in self.constants]
        if len(inputs) != 1:
            raise lacks(source, f"{len(inputs)} inputs", ", ".join(array.name for array in inputs))
        if len(graph.outputs) != 1:
            names = ", ".join(array.name for array in graph.outputs)
            raise lacks(source, f"{len(graph.outputs)} outputs", names)
        self.current, self.output = inputs[0].name, graph.outputs[0].name
        shape = inputs[0].shape
        if shape is None or len(shape) < 2:
            raise ValueError(f"images of shape {shape}")
        fixed = [n if isinstance(n, int) and n > 0 else None for n in shape]
        self.batch = fixed[0]
        self.data = {self.current: _images((0, *fixed[1:]), source)}
        self.chain: list[Step] = []
        self.size: int | None = None
        self.lines: dict[str, list[str]] = {}

    def step(self, node: Node) -> None:
        """Follow one operator."""
        if node.domain not in ("", "ai.onnx"):
            raise lacks(self.source, f"operator {node.op} of {node.domain}", f"{node.domain}.{node.op}")
        names = [name for name in node.inputs if name]
        for name in names:
            if name not in self.constants and name not in self.data:
                raise ValueError(f"{node.op} of {name}, which nothing computes before")
        if node.op == "Shape" and names and names[0] in self.data:
            self._constant(node, self._shape(node, self.data[names[0]]))
        elif not any(name in self.data for name in names):
            if node.op not in FUNCTIONS:
                raise self._unknown(node)
            self._constant(node, FUNCTIONS[node.op](node, [self.constants[name] for name in names]))
        else:
            self._layer(node, names)

    def result(self) -> Described:
        """The VGG7, when all operators were followed."""
        if self.output != self.current:
            raise lacks(self.source, "branches", f"{self.output} is not the last output")
        lines = [f"{line}: {', '.join(names)}" for line, names in self.lines.items()]
        return described(self.chain, self.size, lines, self.source)

    def _once(self, name: str) -> None:
        if name in self.constants or name in self.data:
            raise ValueError(f"{name} is computed twice")

    def _constant(self, node: Node, value: NDArray[Any]) -> None:
        self.budget -= value.nbytes
        if self.budget < 0:
            raise ValueError("more constants than fit in the file")
        self._once(node.outputs[0])
        self.constants[node.outputs[0]] = value

    def _shape(self, node: Node, data: Data) -> NDArray[Any]:
        start, end = node.attributes.get("start", 0), node.attributes.get("end")
        if not isinstance(start, int) or not isinstance(end, int | None):
            raise ValueError("Shape without numbers")
        shape = data.shape[start:end]
        if None in shape:
            fix = "export it with a fixed image size"
            raise lacks(self.source, "shapes that depend on the image", f"{node.op} of {data.axes}", fix)
        return np.array(shape, np.int64)

    def _layer(self, node: Node, names: list[str]) -> None:
        of_data = [name for name in names if name in self.data]
        if len(of_data) > 1:
            raise lacks(self.source, "skip connections or branches", f"{node.op} of {' and '.join(of_data)}")
        if of_data[0] != self.current:
            raise lacks(self.source, "branches", f"{node.op} of {of_data[0]}, which was used before")
        if node.op in SIMPLE:
            data = self._simple(node)
        elif node.op in _HANDLERS:
            if names[0] != self.current and node.op != "Add":  # which has either order
                raise lacks(self.source, f"{node.op} of a constant and data", " and ".join(names))
            rest = [self.constants[name] for name in names if name != self.current]
            data = _HANDLERS[node.op](self, node, self.data[self.current], rest)
        else:
            raise self._unknown(node)
        self.current = node.outputs[0]
        self._once(self.current)
        self.data[self.current] = data

    def _unknown(self, node: Node) -> WeightsError:
        fix = FOLD if "ormalization" in node.op else TRAIN
        return lacks(self.source, FEATURES.get(node.op, f"operator {node.op}"), node.op, fix)

    def _simple(self, node: Node) -> Data:
        data, kind = self.data[self.current], SIMPLE[node.op]
        if kind.endswith("softmax"):
            axis = node.attributes.get("axis", -1)
            if data.axes != "NF" or axis not in (1, -1):
                raise lacks(self.source, f"{kind} over axis {axis}", data.axes)
        self.chain.append(Step(kind))
        return data

    def _conv(self, node: Node, data: Data, rest: Inputs) -> Data:
        weight, *bias = rest
        self._require(data, node, "NCHW")
        if weight.ndim != 4:
            raise lacks(self.source, "convolutions in one or three dimensions", f"weight {weight.shape}")
        if weight.shape[2:] != (3, 3):
            raise lacks(self.source, "kernels of another size than 3x3", f"Conv weight {weight.shape}")
        groups = node.attributes.get("group", 1)
        if type(groups) is not int or groups < 1:
            raise ValueError(f"{groups} groups")
        if node.attributes.get("kernel_shape", (3, 3)) != (3, 3):
            raise ValueError(f"kernel_shape {node.attributes['kernel_shape']}")
        for name, one, feature in (
            ("strides", (1, 1), "convolutions with a stride"),
            ("dilations", (1, 1), "dilated convolutions"),
        ):
            if node.attributes.get(name, one) != one:
                raise lacks(self.source, feature, f"{name} {node.attributes[name]}")
        pads, auto = node.attributes.get("pads", (0,) * 4), node.attributes.get("auto_pad", "NOTSET")
        if auto not in SAME and (auto != "NOTSET" or pads != (1,) * 4):
            found = f"pads {pads}" if auto == "NOTSET" else f"auto_pad {auto}"
            raise lacks(self.source, "convolutions without padding 1", found)
        channels = data.shape[1]
        if not self.chain:
            self.size = data.shape[2]
            if (channels or 1) > 1 or groups * weight.shape[1] > 1:
                feature = "images with several channels (VGG7 takes grey ones)"
                raise lacks(self.source, feature, f"Conv weight {weight.shape}")
            if None not in data.shape[2:] and data.shape[2] != data.shape[3]:
                raise lacks(self.source, "images that are not square", f"{data.shape[2]}x{data.shape[3]}")
        elif channels is not None and channels != groups * weight.shape[1]:
            raise ValueError(f"Conv of {channels} channels with weight {weight.shape}")
        self.chain.append(Step("conv", weight, _bias(bias, len(weight)), groups))
        return replace(data, shape=(0, len(weight), *data.shape[2:]))

    def _gemm(self, node: Node, data: Data, rest: Inputs) -> Data:
        weight, *bias = rest
        for name, default in (("alpha", 1.0), ("beta", 1.0), ("transA", 0)):
            if node.attributes.get(name, default) != default:
                raise lacks(self.source, f"Gemm with {name}", f"{name} {node.attributes[name]}")
        return self._linear(data, node, weight if node.attributes.get("transB", 0) else weight.T, bias)

    def _matmul(self, node: Node, data: Data, rest: Inputs) -> Data:
        return self._linear(data, node, rest[0].T, [])

    def _linear(self, data: Data, node: Node, weight: NDArray[Any], bias: Inputs) -> Data:
        self._require(data, node, "NF")
        if weight.ndim != 2 or data.shape[1] not in (None, weight.shape[1]):
            raise ValueError(f"{node.op} of {data.shape[1]} features with {weight.shape[::-1]}")
        self.chain.append(Step("fc", weight, _bias(bias, len(weight))))
        return replace(data, shape=(0, len(weight)))

    def _add(self, _node: Node, data: Data, rest: Inputs) -> Data:
        """A bias that is added separately."""
        last = self.chain[-1] if self.chain else None
        if last is None or last.weight is None or last.bias is not None:
            raise lacks(self.source, "arithmetic outside of layers", f"Add of {rest[0].shape}")
        count, axis = len(last.weight), data.channel_axis
        shape = (1,) * (len(data.axes) - rest[0].ndim) + rest[0].shape
        if len(shape) != len(data.axes) or prod(shape) != shape[axis]:
            raise lacks(self.source, "biases of pixels", f"Add of {rest[0].shape} to {data.axes}")
        self.chain[-1] = replace(last, bias=_bias(rest, count))
        return data

    def _pool(self, node: Node, data: Data, _rest: Inputs) -> Data:
        self._require(data, node, "NCHW")
        for name, usual in (("kernel_shape", (2, 2)), ("strides", (2, 2)), ("pads", (0,) * 4)):
            # Without strides they are 1.
            found = node.attributes.get(name, (1, 1) if name == "strides" else usual)
            if found != usual:
                raise lacks(self.source, "pooling of other windows than 2x2", f"{name} {found}")
        if node.attributes.get("dilations", (1, 1)) != (1, 1):
            raise lacks(self.source, "dilated pooling", f"dilations {node.attributes['dilations']}")
        self.chain.append(Step("pool"))
        return replace(data, shape=(*data.shape[:2], *(n and n // 2 for n in data.shape[2:])))

    def _flatten(self, node: Node, data: Data, _rest: Inputs) -> Data:
        axis = node.attributes.get("axis", 1)
        if axis not in (1, 1 - len(data.axes)):
            raise lacks(self.source, f"Flatten from axis {axis}", data.axes)
        return self._flat(data)

    def _flat(self, data: Data) -> Data:
        if data.axes == "NF":
            return data
        flatten = {"NCHW": "chw", "NHWC": "hwc"}.get(data.axes)
        if flatten is None:
            raise lacks(self.source, f"flatten in the order {data.axes[1:]}", data.axes)
        self.chain.append(Step("flatten", flatten=flatten))
        return Data("NF", (0, _count(data.shape[1:])))

    def _reshape(self, node: Node, data: Data, rest: Inputs) -> Data:
        shape = integers(rest[0])
        if not self.chain and len(shape) == 4:
            images = _images((0, *(n if n > 0 else None for n in shape[1:])), self.source)
            before, after = data.shape[1:], images.shape[1:]
            if None in before or None in after or _count(before) == _count(after):
                return images
        batch = len(shape) == 2 and shape[0] in (0, -1, self.batch)
        flat = self._flat(data) if batch else data
        # A batch of -1 is that of the images only if all features are together.
        if not batch or shape[1] not in (-1, flat.shape[1]) or shape == [-1, -1]:
            raise lacks(self.source, f"Reshape of {data.axes} to {shape}", node.op)
        return flat

    def _transpose(self, node: Node, data: Data, _rest: Inputs) -> Data:
        order = node.attributes.get("perm")
        if not isinstance(order, tuple) or sorted(order) != list(range(len(data.axes))):
            raise lacks(self.source, "transposed images", f"Transpose {order} of {data.axes}")
        axes = "".join(data.axes[i] for i in order)
        if axes not in ("NCHW", "NHWC", "NF"):
            raise lacks(self.source, f"images in the order {axes}", f"Transpose {order} of {data.axes}")
        return replace(data, axes=axes, shape=tuple(data.shape[i] for i in order))

    def _unsqueeze(self, node: Node, data: Data, rest: Inputs) -> Data:
        """Images (N, H, W) get their channel."""
        axes = axes_of(node, [np.empty(0), *rest])
        if self.chain or len(data.axes) != 3 or axes not in ([1], [3], [-1]):
            raise lacks(self.source, "operator Unsqueeze", f"Unsqueeze {axes} of {data.axes}")
        shape = list(data.shape)
        shape.insert(axes[0] % 4, 1)
        return _images(tuple(shape), self.source)

    def _same(self, node: Node, data: Data, rest: Inputs) -> Data:
        """Identity, and Dropout, which does nothing outside of training."""
        if any(flag.dtype == bool and flag.any() for flag in rest):
            raise lacks(self.source, "Dropout outside of training", "training_mode")
        return data

    def _cast(self, node: Node, data: Data, _rest: Inputs) -> Data:
        if node.attributes.get("to") not in (1, 11):
            raise lacks(self.source, "half precision or integers", f"Cast to {node.attributes.get('to')}")
        return data

    def _require(self, data: Data, node: Node, axes: str) -> None:
        if data.axes != axes:
            raise lacks(self.source, f"{node.op} of {data.axes}", f"{node.op} of {data.axes}, not {axes}")


def _count(shape: tuple[int | None, ...]) -> int | None:
    return None if None in shape else prod(n for n in shape if n is not None)


def _images(shape: tuple[int | None, ...], source: str) -> Data:
    """Grey images of any shape: the axis of length 1 is the channel."""
    axes = {(2, False): "NF", (3, False): "NHW", (4, True): "NCHW"}.get((len(shape), shape[1] == 1))
    if len(shape) == 4 and shape[3] == 1 and axes is None:
        axes = "NHWC"
    if axes is None and len(shape) == 4 and shape[1] is None:
        axes = "NCHW"  # nothing is fixed; conv1 tells its channels
    if axes is None:
        feature = "images with several channels (VGG7 takes grey ones)"
        raise lacks(source, feature, f"images of shape (N, {', '.join(map(str, shape[1:]))})")
    return Data(axes, shape)


def _bias(found: Inputs, count: int) -> NDArray[Any] | None:
    """A bias (count,), whichever axes of length 1 it has."""
    if not found:
        return None
    if found[0].size not in (1, count):
        raise ValueError(f"a bias of {found[0].shape} for {count} outputs")
    return np.broadcast_to(found[0].reshape(-1), (count,))


_HANDLERS: dict[str, Callable[[_Walk, Node, Data, Inputs], Data]] = {
    "Conv": _Walk._conv, "Gemm": _Walk._gemm, "MatMul": _Walk._matmul, "Add": _Walk._add,
    "AveragePool": _Walk._pool, "Flatten": _Walk._flatten, "Reshape": _Walk._reshape,
    "Transpose": _Walk._transpose, "Unsqueeze": _Walk._unsqueeze, "Identity": _Walk._same,
    "Dropout": _Walk._same, "Cast": _Walk._cast,
}  # fmt: skip
