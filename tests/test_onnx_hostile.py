"""Hostile ONNX files: typed errors, and no more memory than the file is long."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import import_weights
from numpy_vgg7.weights.onnx.export import onnx_model
from numpy_vgg7.weights.onnx.messages import Node, encode_model
from numpy_vgg7.weights.onnx.protobuf import encode


def _tensor(**fields):
    numbers = {"dims": 1, "type": 2, "floats": 4, "name": 8, "raw": 9, "external": 13, "location": 14}
    return encode({numbers[key]: value for key, value in fields.items()})


HOSTILE = {
    "weights in another file": (
        _tensor(dims=(2,), type=1, name="w", external=encode({1: "location", 2: "other"}), location=1),
        "external data",
    ),
    "a terabyte": (_tensor(dims=(2**20, 2**20), type=1, name="w", raw=b"1234"), "w: shape"),
    "a negative shape": (_tensor(dims=(-1, -1), type=1, name="w", raw=b"1234"), "w: shape"),
    "an unknown type": (_tensor(dims=(1,), type=77, name="w", raw=b"1234"), "unknown type 77"),
    "half a number": (_tensor(dims=(1,), type=1, name="w", raw=b"123"), "buffer size"),
    "a field longer than the file": (b"\x4a\xff\xff\xff\xff\x0f", "are left"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tensor_is_refused_before_memory_is_taken(tmp_path, kind):
    tensor, words = HOSTILE[kind]
    (tmp_path / "w.onnx").write_bytes(encode({1: 8, 7: encode({5: tensor})}))
    tracemalloc.start()
    with pytest.raises(VGG7Error, match=words):
        import_weights(tmp_path / "w.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


def test_constants_that_grow_are_refused_before_they_fill_the_memory(tmp_path):
    model = random_model(VGG7Config(image_size=8, channels=(2, 2, 4, 4), hidden=(6, 6)), 3, "float32")
    graph = onnx_model(model.config, model.params)
    grow = [Node("Concat", (f"g{i}", f"g{i}"), (f"g{i + 1}",), {"axis": 0}) for i in range(40)]
    nodes = (*grow, *graph.graph.nodes)
    constants = graph.graph.constants | {"g0": np.array([1])}
    grown = replace(graph, graph=replace(graph.graph, nodes=nodes, constants=constants))
    (tmp_path / "w.onnx").write_bytes(encode_model(grown))
    with pytest.raises(VGG7Error, match="a shape of 128 elements"):
        import_weights(tmp_path / "w.onnx")


def test_millions_of_empty_operators_are_refused_without_the_memory_for_them(tmp_path):
    (tmp_path / "w.onnx").write_bytes(encode({7: b"\x0a\x00" * 10**6}))
    tracemalloc.start()
    with pytest.raises(VGG7Error, match="more than 4096 fields"):
        import_weights(tmp_path / "w.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2e6 + 1e6


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is a text\n", bytes(100)], ids=["empty", "text", "zeros"]
)
def test_a_file_that_is_no_graph_is_refused(tmp_path, content):
    (tmp_path / "w.onnx").write_bytes(content)
    with pytest.raises(VGG7Error, match="ONNX file"):
        import_weights(tmp_path / "w.onnx")
