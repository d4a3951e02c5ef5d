"""Check your own backpropagation: a case is written, and a candidate is judged by it."""

import json
import re

import numpy as np
import pytest
import safetensors.numpy

from numpy_vgg7.parity.case_file import PREFIX
from tests.commands import numpy_vgg7


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("case")
    done = numpy_vgg7("parity", "case", path / "case.safetensors", "--image-size", "8", "--batch-size", "3")
    assert done.code == 0, done.stderr
    return path


@pytest.fixture(scope="module")
def trace(folder):
    tensors = safetensors.numpy.load_file(folder / "case.safetensors")
    return {name.removeprefix(PREFIX): t for name, t in tensors.items() if name.startswith(PREFIX)}


def judge(folder, tensors, *options, **settings):
    """The exit code and the report on these tensors."""
    contiguous = {name: np.array(tensor, order="C") for name, tensor in tensors.items()}
    path = folder / "mine.safetensors"
    safetensors.numpy.save_file(contiguous, path)
    done = numpy_vgg7("parity", "check", path, "--json", *options, **settings)
    assert done.code in (0, 4), done.stderr
    return done.code, json.loads(done.stdout)


def test_an_untouched_trace_passes(folder, trace):
    code, report = judge(folder, trace)
    assert code == 0
    assert report["passed"] is True
    assert report["culprit"] is report["diagnosis"] is report["first_divergence"] is None
    assert len(report["tensors"]) == 94


def test_judging_needs_no_pytorch(folder, trace, tmp_path):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')")
    assert judge(folder, trace, PYTHONPATH=str(tmp_path))[0] == 0


def test_a_part_of_a_trace_is_judged_alone(folder, trace):
    code, report = judge(folder, {"fc6.weight.grad": trace["fc6.weight.grad"]}, "--partial")
    assert code == 0
    assert [tensor["name"] for tensor in report["tensors"]] == ["fc6.weight.grad"]


SQUARE = "conv2.weight.grad"
FAULTS = {
    "scaled by 4": (SQUARE, lambda t: t * 4, "conv2 backward", "exactly 4 times"),
    "rotated": (SQUARE, lambda t: t[..., ::-1, ::-1], "conv2 backward", "rotated by 180 degrees"),
    "transposed": (SQUARE, lambda t: t.swapaxes(2, 3), "conv2 backward", "two spatial axes exchanged"),
    "in and out exchanged": (SQUARE, lambda t: t.swapaxes(0, 1), "conv2 backward", "in and out channels"),
    "shifted": ("act3.grad", lambda t: np.roll(t, 1, 3), "conv4 backward", "act3.grad"),
    "sign flipped": ("fc6.bias.grad", lambda t: -t, "fc6 backward", "sign is flipped"),
    "a value doubled": ("act2", lambda t: t * 2, "act2 forward", "exactly 2 times"),
    "zero": ("fc7.weight.grad", lambda t: t * 0, "fc7 backward", "zero everywhere"),
    "not updated": ("fc5.weight.step1", None, "optimiser", "did not move"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_named_blamed_and_described(folder, trace, kind):
    name, change, place, words = FAULTS[kind]
    wrong = trace["fc5.weight"] if change is None else change(trace[name])
    code, report = judge(folder, trace | {name: wrong})
    assert code == 4
    assert report["first_divergence"] == name
    assert report["culprit"] == place
    assert words in report["diagnosis"]


NO_NUMBERS = {
    "of the wrong shape": lambda t: t[:-1],
    "NaN": lambda t: np.where(t == t.max(), np.nan, t),
    "float32": lambda t: t.astype("float32"),
}


@pytest.mark.parametrize("kind", NO_NUMBERS)
def test_a_tensor_that_cannot_be_compared_fails_by_name(folder, trace, kind):
    code, report = judge(folder, trace | {"fc5.weight.grad": NO_NUMBERS[kind](trace["fc5.weight.grad"])})
    assert code == 4
    assert report["first_divergence"] == "fc5.weight.grad"


def test_an_unknown_name_fails_by_name(folder, trace):
    code, report = judge(folder, trace | {"conv9.weight.grad": np.ones(3)})
    assert code == 4
    assert report["first_divergence"] == "conv9.weight.grad"


def test_a_missing_tensor_fails_by_name(folder, trace):
    code, report = judge(folder, {n: t for n, t in trace.items() if n != "conv3.bias.grad"})
    assert code == 4
    assert report["first_divergence"] == "conv3.bias.grad"


def test_what_the_case_itself_gives_is_not_demanded(folder, trace):
    given = {"input", *(name for name in trace if name.endswith(("weight", "bias")))}
    assert judge(folder, {name: t for name, t in trace.items() if name not in given})[0] == 0


@pytest.mark.parametrize("content", [b"some text", b"", None], ids=["text", "empty", "the case itself"])
def test_a_malformed_candidate_gets_one_line(folder, tmp_path, content):
    path = tmp_path / "mine.safetensors"
    path.write_bytes((folder / "case.safetensors").read_bytes() if content is None else content)
    done = numpy_vgg7("parity", "check", path, "--case", folder / "case.safetensors")
    assert done.code == 3
    assert len(done.stderr.splitlines()) == 1


def test_without_a_case_it_says_where_one_is_expected(trace, tmp_path):
    safetensors.numpy.save_file({"loss": trace["loss"]}, tmp_path / "mine.safetensors")
    done = numpy_vgg7("parity", "check", tmp_path / "mine.safetensors")
    assert done.code == 3
    assert "--case" in done.stderr


def test_the_html_page_needs_nothing_else(folder, trace, tmp_path):
    safetensors.numpy.save_file(trace | {"loss": np.asarray(trace["loss"] * 2)}, folder / "mine.safetensors")
    done = numpy_vgg7("parity", "check", folder / "mine.safetensors", "--html", tmp_path / "r.html")
    assert done.code == 4
    page = (tmp_path / "r.html").read_text()
    assert "first divergence: loss" in page
    for outside in ("http", "<script", "<link", "src=", "@import"):
        assert outside not in page


def test_the_html_page_has_both_schemes_the_second_batch_versions_and_the_seed(folder, trace, tmp_path):
    safetensors.numpy.save_file(
        {name: np.array(tensor, dtype="float32", order="C") for name, tensor in trace.items()},
        folder / "mine.safetensors",
    )
    done = numpy_vgg7("parity", "check", folder / "mine.safetensors", "--html", tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "judged in float32" in done.stdout
    for part in (
        "prefers-color-scheme: dark",
        "max-width: 600px",
        "seed 0; Python",
        f"numpy {np.__version__}",
    ):
        assert part in page
    heads = re.findall(r"<th>([^<]*)</th>", page)
    assert {"1 step", "10 steps", "float32 bound, %"} <= set(heads)


def test_the_json_lists_each_tensor_once_with_all_of_its_figures(folder, trace):
    _, report = judge(folder, trace | {"conv2": trace["conv2"] * 2})
    names = [tensor["name"] for tensor in report["tensors"]]
    assert len(names) == len(set(names)) == 94
    found = {tensor["name"]: tensor for tensor in report["tensors"]}["conv2"]
    assert found["outside"] > 0
    assert found["worst"].startswith("[")
    assert found["max_relative_error"] == pytest.approx(1)
    assert report["seed"] == 0
    assert report["dtype"] == "float64"
    assert any("second batch" in note for note in report["notes"])


def test_a_case_says_what_to_do_next_and_which_factors_look_alike(tmp_path):
    path = tmp_path / "case.safetensors"
    done = numpy_vgg7("parity", "case", path, "--batch-size", "5", "--preset", "article")
    assert done.code == 0, done.stderr
    assert "1/5 is both 1/N and 2/K" in done.stderr
    assert "second/input" in done.stderr
    assert f"parity check {tmp_path}/mine.safetensors --case {path}" in done.stderr
    default = numpy_vgg7("parity", "case", path, "--preset", "article")
    assert "is both" not in default.stderr


def test_the_short_output_has_failures_only(folder, trace):
    safetensors.numpy.save_file(trace | {"loss": np.asarray(trace["loss"] * 2)}, folder / "mine.safetensors")
    short = numpy_vgg7("parity", "check", folder / "mine.safetensors")
    whole = numpy_vgg7("parity", "check", folder / "mine.safetensors", "--all")
    assert (short.code, whole.code) == (4, 4)
    assert "conv3.bias.grad" in whole.stdout
    assert "conv3.bias.grad" not in short.stdout
    assert "culprit: loss forward" in short.stdout
