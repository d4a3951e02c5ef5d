"""ONNX files are lossless, and a graph is imported as the same function or refused with the reason."""

import json
from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7.config import PRESETS
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import Origin, import_weights, save
from numpy_vgg7.weights.layouts import from_pytorch
from numpy_vgg7.weights.onnx.export import onnx_model
from numpy_vgg7.weights.onnx.file import LONGEST, write_onnx
from numpy_vgg7.weights.onnx.messages import Array, Node
from numpy_vgg7.weights.onnx.proto import decode_model, encode_model
from numpy_vgg7.weights.record import describe
from tests.commands import ROOT, numpy_vgg7, python

CONFIG = VGG7Config(image_size=8, channels=(2, 2, 4, 4), hidden=(6, 6))
GROUPED = VGG7Config(
    image_size=12, channels=(2, 4, 4, 6), groups=(1, 2, 4, 2), hidden=(5, 7), classes=3,
    activations=("relu", "tanh", "arctan", "identity", "relu", "arctan", "tanh"),
)  # fmt: skip
CONFIGS = {name: VGG7Config.preset(name, image_size=8) for name in PRESETS} | {"grouped": GROUPED}


@pytest.fixture(scope="module")
def model():
    return random_model(CONFIG, 3, "float32")


@pytest.fixture
def graph(model):
    """The graph of a model as another program would write it: without metadata."""
    return onnx_model(model.config, model.params)


def imported(graph, folder, **origin):
    path = folder / "w.onnx"
    path.write_bytes(encode_model(graph))
    return import_weights(path, Origin(**origin))


def changed(graph, old, *nodes, constants=None):
    """The graph with the nodes instead of the one whose output is `old`."""
    found = [new for n in graph.graph.nodes for new in (nodes if n.outputs == (old,) else (n,))]
    return replace(
        graph,
        graph=replace(graph.graph, nodes=tuple(found), constants=graph.graph.constants | (constants or {})),
    )


def with_attributes(graph, name, op=None, **attributes):
    """The graph with other attributes, and maybe another operator, in the node whose output is `name`."""
    (node,) = (node for node in graph.graph.nodes if node.outputs == (name,))
    return changed(graph, name, replace(node, op=op or node.op, attributes=node.attributes | attributes))


def with_images(graph, *shape):
    (images,) = graph.graph.inputs
    return replace(graph, graph=replace(graph.graph, inputs=(replace(images, shape=shape),)))


def assert_same(found, model):
    assert found.config == model.config
    for name, parameter in model.params.items():
        assert found.params[name].tobytes() == parameter.tobytes(), name
        assert found.params[name].dtype == parameter.dtype, name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONFIGS)
def test_weights_round_trip_bit_for_bit(tmp_path, name, dtype):
    model = random_model(CONFIGS[name], 3, dtype)
    save(tmp_path / "w.onnx", model)
    found = import_weights(tmp_path / "w.onnx")
    assert (found.steps, found.assumed) == ((), ())
    assert_same(found.model, model)
    assert_same(VGG7.load(tmp_path / "w.onnx"), model)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_graph_alone_says_everything_but_the_range_of_pixels(tmp_path, name):
    model = random_model(CONFIGS[name], 3, "float32")
    found = imported(onnx_model(model.config, model.params), tmp_path)
    assert_same(found.model, model)
    assert [line.split(":")[0] for line in found.assumed] == ["assumed pixels"]


SOURCES = {
    "Fortran-ordered": np.asfortranarray,
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "sliced": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
}


@pytest.mark.parametrize("kind", SOURCES)
def test_arrays_of_any_memory_layout_are_written_bit_for_bit(model, tmp_path, kind):
    params = {name: SOURCES[kind](parameter) for name, parameter in model.params.items()}
    assert_same(imported(onnx_model(model.config, params), tmp_path).model, model)


@pytest.mark.parametrize("field", ["raw_data", "int32_data"])
def test_bfloat16_is_widened_exactly(graph, model, tmp_path, field):
    file = ModelProto.FromString(encode_model(graph))
    for tensor in file.graph.initializer:
        bits = np.frombuffer(tensor.raw_data, np.uint32) >> 16
        tensor.ClearField("raw_data")
        tensor.data_type = TensorProto.BFLOAT16
        if field == "raw_data":
            tensor.raw_data = bits.astype("<u2").tobytes()
        else:
            tensor.int32_data.extend(bits.tolist())
    (tmp_path / "w.onnx").write_bytes(file.SerializeToString())
    found = import_weights(tmp_path / "w.onnx")
    assert found.steps == ("widened 14 tensors from bfloat16 to float32, exactly",)
    for name, parameter in model.params.items():
        expected = (parameter.view(np.uint32) & 0xFFFF0000).view(np.float32)
        assert np.array_equal(found.model.params[name], expected), name


def test_the_commands_convert_both_ways(model, tmp_path):
    model.save(tmp_path / "w.safetensors")
    assert numpy_vgg7("export", tmp_path / "w.safetensors", tmp_path / "w.onnx").code == 0
    assert numpy_vgg7("import", tmp_path / "w.onnx", tmp_path / "back.safetensors").code == 0
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "w.safetensors").read_bytes()


def test_the_same_model_gives_the_same_bytes(model, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        save(tmp_path / name, model)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_file_of_more_than_two_gigabytes_is_refused_before_it_is_made(model, tmp_path):
    huge = np.broadcast_to(np.float32(0), (LONGEST // 4, 1))  # takes no memory
    with pytest.raises(VGG7Error, match=r"less than 2 GB.*safetensors"):
        write_onnx(tmp_path / "w.onnx", {"fc5.weight": huge}, describe(model.config, model.params))
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_one_line_names_the_extra(model, tmp_path):
    model.save(tmp_path / "w.npz")
    save(tmp_path / "w.onnx", model)
    code = "import sys; sys.modules['onnx'] = None; from numpy_vgg7.cli import main; main()"
    for words in (("export", "w.npz", "out.onnx"), ("import", "w.onnx", "out.npz")):
        done = python("-c", code, *words, cwd=tmp_path, PYTHONPATH=str(ROOT))
        assert done.code == 3
        assert "pip install 'numpy-vgg7[onnx]'" in done.stderr.replace("\n", " ")
    assert python("-c", code, "export", "w.npz", "out.npz", cwd=tmp_path, PYTHONPATH=str(ROOT)).code == 0
    assert not (tmp_path / "out.onnx").exists()


def test_an_option_that_contradicts_the_graph_is_refused(graph, tmp_path):
    (tmp_path / "w.onnx").write_bytes(encode_model(graph))
    words = ("--activations", ",".join(("relu",) * 7))
    done = numpy_vgg7("import", tmp_path / "w.onnx", tmp_path / "w.npz", *words)
    assert done.code == 2
    assert "the file contains its layers" in done.stderr.replace("\n", " ")
    for said in ({"layout": "keras"}, {"flatten": "hwc"}, {"maps": ("a=b",)}):
        with pytest.raises(VGG7Error, match="the file contains"):
            imported(graph, tmp_path, **said)


def test_a_scale_of_the_pixels_is_folded_as_elsewhere(graph, model, tmp_path):
    found = imported(graph, tmp_path, std=0.5).model
    assert np.array_equal(found.params["conv1.weight"], model.params["conv1.weight"] * 2)


def _softmax(graph):
    (output,) = graph.graph.outputs
    nodes = (*graph.graph.nodes, Node("Softmax", ("logits",), ("probs",), {"axis": -1}))
    return replace(graph, graph=replace(graph.graph, nodes=nodes, outputs=(replace(output, name="probs"),)))


def _matmul(graph):
    """The matrix (in, out), and the bias added afterwards, in either order."""
    weight = graph.graph.constants["fc6.weight"].T.copy()
    return changed(
        graph, "fc6",
        Node("MatMul", ("act5", "kernel"), ("product",)), Node("Add", ("fc6.bias", "product"), ("fc6",)),
        constants={"kernel": weight},
    )  # fmt: skip


def _transposed_weight(graph):
    return changed(
        graph, "fc6",
        Node("Transpose", ("stored",), ("kernel",), {"perm": (1, 0)}),
        Node("Gemm", ("act5", "kernel", "fc6.bias"), ("fc6",)),
        constants={"stored": graph.graph.constants["fc6.weight"]},
    )  # fmt: skip


def _computed_shape(graph):
    """x.view(x.size(0), -1), as an exporter of PyTorch writes it."""
    return changed(
        graph, "flatten",
        Node("Shape", ("pool4",), ("shape",)), Node("Gather", ("shape", "zero"), ("n",), {"axis": 0}),
        Node("Unsqueeze", ("n", "axes"), ("n1",)), Node("Concat", ("n1", "rest"), ("flat",), {"axis": 0}),
        Node("Reshape", ("pool4", "flat"), ("flatten",)),
        constants={"zero": np.array(0), "axes": np.array([0]), "rest": np.array([-1])},
    )  # fmt: skip


def _same_padding(graph):
    node = next(node for node in graph.graph.nodes if node.op == "Conv")
    return changed(graph, "conv1", replace(node, attributes={"auto_pad": "SAME_UPPER"}))


def _separate_bias(graph):
    bias = graph.graph.constants["conv3.bias"].reshape(-1, 1, 1)
    return changed(
        graph, "conv3",
        Node("Conv", ("pool2", "conv3.weight"), ("sum",), {"pads": (1, 1, 1, 1)}),
        Node("Add", ("sum", "b3"), ("conv3",)),
        constants={"b3": bias},
    )  # fmt: skip


WRITTEN = {
    "with a softmax at the end": _softmax,
    "with MatMul and Add": _matmul,
    "with a transposed weight": _transposed_weight,
    "with a computed shape": _computed_shape,
    "with a bias that is added": _separate_bias,
    "with padding by its name": _same_padding,
    "with a Reshape to a fixed shape": lambda g: changed(
        g, "flatten", Node("Reshape", ("pool4", "s"), ("flatten",)), constants={"s": np.array([-1, 16])}
    ),
    "with Identity, Cast and Dropout": lambda g: changed(
        g, "act1", Node("Relu", ("conv1",), ("a",)), Node("Identity", ("a",), ("b",)),
        Node("Cast", ("b",), ("c",), {"to": 1}), Node("Dropout", ("c",), ("act1",)),
    ),
    "for images (N, H, W)": lambda g: changed(
        with_images(g, "N", 8, 8), "conv1", Node("Unsqueeze", ("images",), ("x",), {"axes": (1,)}),
        Node("Conv", ("x", "conv1.weight", "conv1.bias"), ("conv1",), {"pads": (1, 1, 1, 1)}),
    ),
    "for flat images": lambda g: changed(
        with_images(g, "N", 64), "conv1", Node("Reshape", ("images", "s"), ("x",)),
        Node("Conv", ("x", "conv1.weight", "conv1.bias"), ("conv1",), {"pads": (1, 1, 1, 1)}),
        constants={"s": np.array([-1, 1, 8, 8])},
    ),
    "for images of any size": lambda g: with_images(g, "N", 1, "H", "W"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_graph_is_imported_however_it_is_written(graph, model, tmp_path, kind):
    assert_same(imported(WRITTEN[kind](graph), tmp_path).model, model)


def test_channels_last_is_followed_through_its_transposes(graph, model, tmp_path):
    """As Keras and tf2onnx write it: a transpose before and after each convolution, fc5 for H, W, C."""
    nodes, before = [], "images"
    for node in graph.graph.nodes:
        if node.op in ("Conv", "AveragePool"):
            first = Node("Transpose", (before,), (f"{before}.in",), {"perm": (0, 3, 1, 2)})
            middle = replace(
                node, inputs=(first.outputs[0], *node.inputs[1:]), outputs=(f"{node.outputs[0]}.out",)
            )
            last = Node("Transpose", middle.outputs, node.outputs, {"perm": (0, 2, 3, 1)})
            nodes += [first, middle, last]
        else:
            nodes.append(node)
        before = node.outputs[0]
    kernel = from_pytorch(model.params, "keras")["fc5/kernel"]
    constants = graph.graph.constants | {"fc5.weight": kernel.T}
    changed = replace(graph, graph=replace(graph.graph, nodes=tuple(nodes), constants=constants))
    found = imported(with_images(changed, "N", 8, 8, 1), tmp_path)
    assert_same(found.model, model)
    assert any("H, W, C" in step for step in found.steps)


def _kernel(*shape):
    return {"k": np.zeros(shape, np.float32)}


def _conv(graph, kernel, **attributes):
    node = Node("Conv", ("images", "k"), ("conv1",), {"pads": (1, 1, 1, 1)} | attributes)
    return changed(graph, "conv1", node, constants=kernel)


LACKS = {
    "max pooling": lambda g: with_attributes(g, "pool2", "MaxPool"),
    "global average pooling": lambda g: with_attributes(g, "pool4", "GlobalAveragePool"),
    "pooling of other windows than 2x2": lambda g: with_attributes(g, "pool2", kernel_shape=(3, 3)),
    "batch normalization": lambda g: with_attributes(g, "act1", "BatchNormalization"),
    "operator LeakyRelu": lambda g: with_attributes(g, "act1", "LeakyRelu"),
    "operator Sigmoid": lambda g: with_attributes(g, "act5", "Sigmoid"),
    "ReLU6 or clipping": lambda g: with_attributes(g, "act1", "Clip"),
    "kernels of another size than 3x3": lambda g: _conv(g, _kernel(2, 1, 5, 5)),
    "images with several channels": lambda g: _conv(with_images(g, "N", 3, 8, 8), _kernel(2, 3, 3, 3)),
    "convolutions in one or three dimensions": lambda g: _conv(g, _kernel(2, 1, 3)),
    "convolutions with a stride": lambda g: with_attributes(g, "conv2", strides=(2, 2)),
    "dilated convolutions": lambda g: with_attributes(g, "conv2", dilations=(2, 2)),
    "convolutions without padding 1": lambda g: with_attributes(g, "conv2", pads=(0, 0, 0, 0)),
    "Gemm with transA": lambda g: with_attributes(g, "fc6", transA=1),
    "images that are not square": lambda g: with_images(g, "N", 1, 8, 16),
    "Flatten from axis 2": lambda g: with_attributes(g, "flatten", axis=2),
    "softmax over axis 0": lambda g: with_attributes(_softmax(g), "probs", axis=0),
    "relu after images": lambda g: changed(
        g, "conv1", Node("Relu", ("images",), ("r",)),
        Node("Conv", ("r", "conv1.weight", "conv1.bias"), ("conv1",), {"pads": (1, 1, 1, 1)}),
    ),
    "tanh after relu": lambda g: changed(
        g, "act1", Node("Relu", ("conv1",), ("r",)), Node("Tanh", ("r",), ("act1",))
    ),
    "relu after average pooling": lambda g: changed(
        g, "pool2", Node("AveragePool", ("act2",), ("p",), {"kernel_shape": (2, 2), "strides": (2, 2)}),
        Node("Relu", ("p",), ("pool2",)),
    ),
    "skip connections": lambda g: changed(
        g, "act2", Node("Add", ("conv2", "act1"), ("s",)), Node("Relu", ("s",), ("act2",))
    ),
    "branches": lambda g: changed(g, "act2", Node("Relu", ("conv1",), ("act2",))),
    "arithmetic outside of layers": lambda g: changed(
        g, "conv1", Node("Add", ("images", "m"), ("x",)),
        Node("Conv", ("x", "conv1.weight"), ("conv1",), {"pads": (1, 1, 1, 1)}),
        constants={"m": np.float32([-0.5])},
    ),
    "biases of pixels": lambda g: changed(
        g, "conv2", Node("Conv", ("act1", "conv2.weight"), ("s",), {"pads": (1, 1, 1, 1)}),
        Node("Add", ("s", "m"), ("conv2",)), constants={"m": np.ones((8, 8), np.float32)},
    ),
    "images in the order NCWH": lambda g: changed(
        g, "conv1", Node("Transpose", ("images",), ("x",), {"perm": (0, 1, 3, 2)}),
        Node("Conv", ("x", "conv1.weight", "conv1.bias"), ("conv1",), {"pads": (1, 1, 1, 1)}),
    ),
    "half precision or integers": lambda g: changed(
        g, "act1", Node("Relu", ("conv1",), ("r",)), Node("Cast", ("r",), ("act1",), {"to": 10})
    ),
    "quantized weights": lambda g: changed(
        g, "conv1", Node("DequantizeLinear", ("conv1.weight",), ("q",)),
        Node("Conv", ("images", "q"), ("conv1",), {"pads": (1, 1, 1, 1)}),
    ),
    "2 inputs": lambda g: replace(
        g, graph=replace(g.graph, inputs=(*g.graph.inputs, Array("mask", "<f4", ("N", 1))))
    ),
    "Reshape of NCHW to [-1, 4]": lambda g: changed(
        g, "flatten", Node("Reshape", ("pool4", "s"), ("flatten",)), constants={"s": np.array([-1, 4])}
    ),
}  # fmt: skip


@pytest.mark.parametrize("feature", LACKS)
def test_what_a_vgg7_has_not_is_refused_by_its_name(graph, tmp_path, feature):
    with pytest.raises(VGG7Error) as caught:
        imported(LACKS[feature](graph), tmp_path)
    assert f"which has no {feature}" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda g: changed(g, "pool4"), "pool4, which nothing computes"),
        (lambda g: changed(g, "act6"), "act6, which nothing computes"),
        (
            lambda g: changed(
                g, "conv2", Node("Conv", ("act1", "conv2.weight"), ("conv2",), {"pads": (1,) * 4, "group": 2})
            ),
            "Conv of 2 channels",
        ),
        (lambda g: with_images(g, "N", 1, 12, 12), "Gemm of 36 features"),
        (lambda g: with_images(g, "N", 1, 10, 10), "images of 10 pixels"),
    ],
    ids=["no pooling", "no activation", "wrong groups", "another size", "a size that is no multiple of 4"],
)
def test_a_graph_that_does_not_fit_is_refused(graph, tmp_path, change, words):
    with pytest.raises(VGG7Error, match=words):
        imported(change(graph), tmp_path)


@pytest.mark.parametrize("name", ["act1", "act6"])
def test_a_file_of_ours_whose_graph_was_edited_is_refused(model, tmp_path, name):
    save(tmp_path / "w.onnx", model)
    edited = with_attributes(decode_model((tmp_path / "w.onnx").read_bytes()), name, "Atan")
    with pytest.raises(VGG7Error, match="the file was edited"):
        imported(edited, tmp_path)


def test_a_file_of_ours_whose_weights_were_edited_is_refused(model, tmp_path):
    save(tmp_path / "w.onnx", model)
    edited = decode_model((tmp_path / "w.onnx").read_bytes())
    constants = edited.graph.constants | {"fc5.bias": edited.graph.constants["fc5.bias"] + 1}
    with pytest.raises(VGG7Error, match=r"fc5.bias.*SHA-256"):
        imported(replace(edited, graph=replace(edited.graph, constants=constants)), tmp_path)


def test_the_metadata_is_that_of_the_other_formats(model, tmp_path):
    save(tmp_path / "w.onnx", model)
    record = json.loads(decode_model((tmp_path / "w.onnx").read_bytes()).metadata["numpy_vgg7"])
    assert record.keys() == {"format_version", "config", "sha256", "probe_logits"}
