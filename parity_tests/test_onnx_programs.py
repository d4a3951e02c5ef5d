"""ONNX files in other programs: checked, run by two of them, and read as PyTorch writes them."""

import logging
import sys
import warnings

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from numpy_vgg7 import VGG7
from numpy_vgg7.cli.options import onnx_programs
from numpy_vgg7.parity.case import Case, random_case, random_model
from numpy_vgg7.parity.compare import Comparison, TensorResult
from numpy_vgg7.parity.forward import (
    IMAGES,
    ForwardReference,
    ForwardResult,
    compare_forward,
    value_names,
)
from numpy_vgg7.parity.run import Report
from numpy_vgg7.weights import import_weights, save
from onnx_ref import PROGRAMS
from parity_tests.configurations import CONFIGS
from parity_tests.test_interchange import Stock
from tests.commands import numpy_vgg7
from torch_ref import to_torch

BATCH = torch.rand(2, 1, 8, 8, dtype=torch.float32)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CONFIGS)
def test_the_file_passes_the_checker_with_inferred_shapes(tmp_path, name, dtype):
    save(tmp_path / "w.onnx", random_model(CONFIGS[name], 3, dtype))
    file = onnx.load(tmp_path / "w.onnx")
    onnx.checker.check_model(file, full_check=True)
    assert file.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert (file.ir_version, file.opset_import[0].version) == (8, 15)


@pytest.mark.parametrize("kind", ["float_data", "double_data", "half in int32_data", "half in raw_data"])
def test_numbers_are_read_from_any_field_of_a_tensor(tmp_path, kind):
    dtype = {"float_data": "float32", "double_data": "float64"}.get(kind, "float16")
    model = random_model(CONFIGS["vgg7"], 3, "float64" if dtype == "float64" else "float32")
    save(tmp_path / "w.onnx", model)
    file = onnx.load(tmp_path / "w.onnx")
    del file.metadata_props[:]
    for tensor in file.graph.initializer:
        array, name = onnx.numpy_helper.to_array(tensor).astype(dtype), tensor.name
        code = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.CopyFrom(
            onnx.numpy_helper.from_array(array, name)
            if "raw" in kind
            else onnx.helper.make_tensor(name, code, array.shape, array.ravel())
        )
        assert tensor.HasField("raw_data") == ("raw" in kind)
    onnx.save(file, tmp_path / "other.onnx")
    found = import_weights(tmp_path / "other.onnx").model
    for name, parameter in model.params.items():
        assert np.array_equal(found.params[name], parameter.astype(dtype)), name


# The evaluator takes seconds for 64 images of the largest network.
BATCHES = [(name, 1) for name in CONFIGS] + [(name, 64) for name in CONFIGS if name != "vgg7-wide"]


@pytest.mark.parametrize(("name", "batch"), BATCHES)
def test_every_value_of_the_forward_pass_agrees_in_both_programs(name, batch, monkeypatch):
    monkeypatch.setattr("numpy_vgg7.parity.forward.IMAGES", batch)
    model = random_model(CONFIGS[name], 3)
    results = compare_forward(random_case(model, batch, 0), model, PROGRAMS)
    assert [result.dtype for result in results] == ["float64", "float32"]
    for result in results:
        assert result.passed, result
        assert result.max_relative_error > 0, f"{result.program} computed nothing of its own"


@pytest.mark.parametrize("name", ["conv1.bias", "conv4.weight", "fc7.weight"])
def test_a_changed_parameter_is_noticed_by_both_programs(name):
    model = random_model(CONFIGS["vgg7"], 3)
    other = VGG7.from_params(model.config, model.params)
    other.params[name] += 1e-3
    results = compare_forward(random_case(model, 2, 0), other, PROGRAMS)
    assert not any(result.passed for result in results)


@pytest.mark.parametrize("damage", [lambda a: a * np.nan, lambda a: a[:, :1], lambda a: a.astype("float16")])
def test_nan_and_wrong_shapes_and_dtypes_never_pass(damage):
    model = random_model(CONFIGS["vgg7"], 3)

    def values(model, images):
        found = model.trace(images, np.zeros(len(images), dtype=int))
        return {name: found[name] for name in value_names(model.layers)} | {"fc6": damage(found["fc6"])}

    (result,) = compare_forward(random_case(model, 2, 0), model, [ForwardReference("x", "float64", values)])
    assert not result.passed
    assert result.worst == "fc6"


def test_only_a_few_images_of_a_large_batch_are_compared():
    model = random_model(CONFIGS["vgg7"], 3)
    seen = []

    def values(model, images):
        seen.append(len(images))
        return Case(model, images, np.zeros(len(images), dtype=int)).model.trace(
            images, np.zeros(len(images), int)
        )

    compare_forward(random_case(model, 64, 0), model, [ForwardReference("x", "float64", values)])
    assert seen == [IMAGES]


def test_a_report_with_a_program_that_disagrees_fails_and_names_it():
    agrees = Comparison((TensorResult("fc6", "value", True, 1e-15),))
    assert Report("title", agrees, forward=(ForwardResult("X", "float64", "fc6", 1e-13),)).passed
    for error in (1e-11, np.nan):
        report = Report("title", agrees, forward=(ForwardResult("X", "float64", "fc6", error),))
        assert not report.passed
        assert report.other_failures == ["fc6 (X)"]


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_program_is_said_and_not_compared(monkeypatch, package):
    for name in ("onnx_ref", "onnx_ref.programs"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)  # as if it were not installed
    programs, (note,) = onnx_programs()
    assert programs == ()
    assert f"no package {package}" in note
    assert "numpy-vgg7[onnx]" in note


class View(Stock):
    """The same with a softmax at the end, and a flatten that computes its shape."""

    def forward(self, x):
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        x = nn.functional.avg_pool2d(x, 2)
        x = torch.relu(self.conv4(torch.relu(self.conv3(x))))
        x = nn.functional.avg_pool2d(x, 2)
        x = x.view(x.size(0), x.shape[1] * x.shape[2] * x.shape[3])
        return torch.softmax(self.fc7(torch.tanh(self.fc6(torch.tanh(self.fc5(x))))), dim=1)


MODULES = {"stock": Stock, "computed shape": View, "article": None}


@pytest.mark.parametrize("batch", ["fixed", "dynamic"])
@pytest.mark.parametrize("name", MODULES)
def test_a_file_of_the_exporter_by_tracing_is_imported_bit_for_bit(tmp_path, name, batch):
    model = random_model(CONFIGS["article" if name == "article" else "vgg7"], 3, "float32")
    module = to_torch(model) if name == "article" else MODULES[name]().float()
    module.load_state_dict({key: torch.tensor(value) for key, value in model.params.items()})
    names = {"input_names": ["x"], "dynamic_axes": {"x": {0: "n"}}} if batch == "dynamic" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that this exporter is old, and that shapes become constants
        torch.onnx.export(module.eval(), (BATCH,), tmp_path / "w.onnx", dynamo=False, **names)
    found = import_weights(tmp_path / "w.onnx").model
    assert found.config == model.config
    assert all(np.array_equal(found.params[key], value) for key, value in model.params.items())


def test_a_file_of_the_exporter_by_torch_export_is_imported_bit_for_bit(tmp_path):
    model = random_model(CONFIGS["vgg7"], 3, "float32")
    module = View().float().eval()
    module.load_state_dict({key: torch.tensor(value) for key, value in model.params.items()})
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    logging.disable(logging.WARNING)  # that torchvision is not installed
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(module, (BATCH,), dynamo=True, dynamic_shapes=shapes, verbose=False)
            program.save(tmp_path / "w.onnx", external_data=False)
            program.save(tmp_path / "two.onnx", external_data=True)
    finally:
        logging.disable(logging.NOTSET)
    found = import_weights(tmp_path / "w.onnx").model
    assert found.config == model.config
    assert all(np.array_equal(found.params[key], value) for key, value in model.params.items())
    done = numpy_vgg7("import", tmp_path / "two.onnx", tmp_path / "out.npz")
    assert done.code == 3
    assert "external_data=False" in done.stderr
