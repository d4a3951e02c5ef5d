"""Hostile ONNX files: typed errors, and no memory for numbers that the file does not contain."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from onnx import GraphProto, ModelProto, StringStringEntryProto, TensorProto

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import import_weights
from numpy_vgg7.weights.onnx.export import onnx_model
from numpy_vgg7.weights.onnx.file import LONGEST
from numpy_vgg7.weights.onnx.messages import Node
from numpy_vgg7.weights.onnx.proto import encode_model


def _file(**fields):
    """A file with one tensor, w."""
    graph = GraphProto(initializer=[TensorProto(**{"dims": (1,), "data_type": 1, "name": "w"} | fields)])
    return ModelProto(ir_version=8, graph=graph).SerializeToString()


LOCATION = StringStringEntryProto(key="location", value="other")
HOSTILE = {
    "weights in another file": (_file(external_data=[LOCATION], data_location=1), "external data"),
    "a terabyte": (_file(dims=(2**20, 2**20), raw_data=b"1234"), "w: shape"),
    "a terabyte of numbers in a list": (_file(dims=(2**20, 2**20), float_data=[1.0]), "w: shape"),
    "a terabyte of half precision": (_file(dims=(2**40,), data_type=10, int32_data=[1]), "w: shape"),
    "a terabyte of 4-bit integers": (_file(dims=(2**40,), data_type=22, raw_data=b"1"), "unknown type 22"),
    "a negative shape": (_file(dims=(-1, -1), raw_data=b"1234"), "w: shape"),
    "a thousand dimensions": (_file(dims=(1,) * 1000, raw_data=b"1234"), "w: shape"),
    "an unknown type": (_file(data_type=77, raw_data=b"1234"), "unknown type 77"),
    "text": (_file(data_type=8, string_data=[b"text"]), "unknown type 8"),
    "half a number": (_file(raw_data=b"123"), "w: shape .* 3 bytes"),
    "no numbers": (_file(), "w: shape .* 0 numbers"),
    "a part of a tensor": (_file(segment=TensorProto.Segment(begin=0, end=1), float_data=[1.0]), "unknown"),
    "a field longer than the file": (_file() + b"\x3a\xff\xff\xff\xff\x0f", "DecodeError"),
    "a name that is no text": (_file(raw_data=b"1234").replace(b"w", b"\xff"), "not UTF-8"),
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_tensor_is_refused_before_memory_is_taken(tmp_path, kind):
    content, words = HOSTILE[kind]
    (tmp_path / "w.onnx").write_bytes(content)
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


def test_millions_of_empty_operators_are_refused_before_they_become_objects(tmp_path):
    graph = GraphProto.FromString(b"\x0a\x00" * 10**6)
    (tmp_path / "w.onnx").write_bytes(ModelProto(graph=graph).SerializeToString())
    tracemalloc.start()
    with pytest.raises(VGG7Error, match="more than 4096 elements"):
        import_weights(tmp_path / "w.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * 2e6 + 1e6


def test_a_file_longer_than_the_format_allows_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "w.onnx").open("wb") as file:
        file.truncate(LONGEST + 1)  # takes no space
    tracemalloc.start()
    with pytest.raises(VGG7Error, match="at most 2,147,483,647 bytes"):
        import_weights(tmp_path / "w.onnx")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6


@pytest.mark.parametrize(
    "content", [b"", b"hello, this is a text\n", bytes(100)], ids=["empty", "text", "zeros"]
)
def test_a_file_that_is_no_graph_is_refused(tmp_path, content):
    (tmp_path / "w.onnx").write_bytes(content)
    with pytest.raises(VGG7Error, match="ONNX file"):
        import_weights(tmp_path / "w.onnx")
