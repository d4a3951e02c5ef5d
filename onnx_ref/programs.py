"""Two programs that run ONNX graphs. They take the graph from `numpy_vgg7`, and none of its arithmetic."""

from collections.abc import Callable

import onnx
import onnxruntime
from onnx.reference import ReferenceEvaluator

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.model import VGG7
from numpy_vgg7.parity.forward import ForwardReference, value_names
from numpy_vgg7.weights.onnx.export import onnx_model
from numpy_vgg7.weights.onnx.proto import encode_model


def _values(run: Callable[[bytes, Array], list[Array]]) -> Callable[[VGG7, Array], Arrays]:
    """A function that computes all values of the forward pass for images (N, 1, H, W)."""

    def values(model: VGG7, images: Array) -> Arrays:
        names = value_names(model.layers)
        graph = encode_model(onnx_model(model.config, model.params, names))
        return dict(zip(names, run(graph, images), strict=True))

    return values


def _evaluator(graph: bytes, images: Array) -> list[Array]:
    return list(ReferenceEvaluator(onnx.load_model_from_string(graph)).run(None, {"images": images}))


def _runtime(graph: bytes, images: Array) -> list[Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return list(session.run(None, {"images": images}))


# ONNX Runtime has no convolution in float64.
PROGRAMS = (
    ForwardReference(f"ONNX's reference evaluator {onnx.__version__}", "float64", _values(_evaluator)),
    ForwardReference(f"ONNX Runtime {onnxruntime.__version__}", "float32", _values(_runtime)),
)
