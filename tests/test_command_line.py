"""The command line: help, exit codes, one line for bad input."""

import json

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config
from tests.commands import numpy_vgg7

COMMANDS = [
    "train",
    "evaluate",
    "predict",
    "inspect",
    "export",
    "import",
    "doctor",
    "parity",
    "parity run",
    "exercise",
]


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.safetensors"
    VGG7(VGG7Config.preset("vgg7", image_size=8)).save(path)
    return path


@pytest.mark.parametrize("command", ["", *COMMANDS, "bench"])
def test_every_command_has_help(command):
    done = numpy_vgg7(*command.split(), "--help")
    assert done.code == 0
    assert "Usage" in done.stdout
    assert done.stderr == ""


def test_an_unknown_option_is_a_usage_error():
    assert numpy_vgg7("train", "--no-such-option").code == 2


def _npz(path, **changes):
    np.savez(path, **({"images": np.zeros((20, 8, 8)), "labels": np.arange(20) % 10} | changes))
    return path


W = "w.safetensors"

# A command, given a folder with valid weights, and words that its error message must contain.
BAD_INPUT = {
    "an image size of 30": (
        lambda d: ["train", "--data", _npz(d / "x.npz", images=np.zeros((20, 30, 30)))],
        ["image_size", "multiple of 4", "30"],
    ),
    "a parity run at 30 pixels": (
        lambda d: ["parity", "run", "--image-size", "30"],
        ["--image-size: expected", "30"],
    ),
    "groups that do not divide the channels": (
        lambda d: [
            "import",
            d / "w.safetensors",
            d / "out.safetensors",
            "--config",
            _config(d, groups=[1, 3, 1, 1]),
        ],
        ["groups of conv2", "3"],
    ),
    "an empty data set": (
        lambda d: ["train", "--data", _npz(d / "x.npz", images=np.zeros((0, 8, 8)), labels=np.zeros(0, int))],
        ["x.npz", "at least one image"],
    ),
    "NaN pixels": (
        lambda d: [
            "evaluate",
            d / "w.safetensors",
            "--data",
            _npz(d / "x.npz", images=np.full((20, 8, 8), np.nan)),
        ],
        ["x.npz", "NaN"],
    ),
    "label 10": (
        lambda d: ["evaluate", d / W, "--data", _npz(d / "x.npz", labels=np.arange(20) % 11)],
        ["x.npz", "label 10"],
    ),
    "float pixels up to 255": (
        lambda d: ["train", "--data", _npz(d / "x.npz", images=np.full((20, 8, 8), 255.0))],
        ["x.npz", "255", "uint8"],
    ),
    "pickled objects": (
        lambda d: ["train", "--data", _npz(d / "x.npz", images=np.array([{}] * 20, dtype=object))],
        ["x.npz", "numeric arrays"],
    ),
    "a truncated safetensors file": (
        lambda d: ["evaluate", _write(d / "x.safetensors", (d / "w.safetensors").read_bytes()[:-9])],
        ["x.safetensors", "complete safetensors file"],
    ),
    "a text file as weights": (
        lambda d: ["inspect", _write(d / "x.safetensors", b"some text")],
        ["x.safetensors", "complete safetensors file"],
    ),
    "no such weights": (
        lambda d: ["evaluate", d / "no.safetensors"],
        ["no.safetensors", "nothing"],
    ),
    "an unknown suffix": (lambda d: ["export", d / "w.safetensors", d / "w.tflite"], ["w.tflite", ".npz"]),
    "a PNG that is a text file": (
        lambda d: ["predict", d / "w.safetensors", _write(d / "x.png", b"some text")],
        ["x.png", "PNG"],
    ),
    "an output folder that exists": (lambda d: ["train", "--out", d], ["new folder"]),
    "an unknown data set": (lambda d: ["train", "--data", "cifar"], ["cifar", "digits"]),
    "an unknown preset": (lambda d: ["train", "--preset", "vgg16"], ["vgg16", "vgg7-wide"]),
    "a folder to resume that is not a run folder": (lambda d: ["train", "--resume", d], ["config.json"]),
    "a negative learning rate": (lambda d: ["train", "--lr-fc", "-1"], ["--lr-fc: expected"]),
    "images of another size": (
        lambda d: [
            "evaluate",
            d / "w.safetensors",
            "--data",
            _npz(d / "x.npz", images=np.zeros((20, 12, 12))),
        ],
        ["8x8", "12x12"],
    ),
}


def _write(path, content):
    path.write_bytes(content)
    return path


def _config(folder, **changes):
    record = json.loads(VGG7Config.preset("vgg7", image_size=8).to_json()) | changes
    return _write(folder / "config.json", json.dumps(record).encode())


@pytest.mark.parametrize("kind", BAD_INPUT)
def test_bad_input_gets_one_line_and_code_3(weights, tmp_path, kind):
    command, words = BAD_INPUT[kind]
    done = numpy_vgg7(*command(tmp_path))
    assert done.code == 3, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert done.stdout == ""
    for word in ("expected", "found", *words):
        assert word in lines[0]


def test_inspect_lists_tensors_and_counts_parameters(weights):
    record = json.loads(numpy_vgg7("inspect", weights, "--json").stdout)
    assert record.keys() == {"config", "parameters", "tensors", "sha256"}
    assert record["parameters"] == sum(np.prod(tensor["shape"], dtype=int) for tensor in record["tensors"])
    assert record["config"]["image_size"] == 8
    assert len(record["sha256"]) == 64
    assert "conv4.weight" in numpy_vgg7("inspect", weights).stdout


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_export_and_import_return_the_same_bytes(weights, tmp_path, suffix):
    assert numpy_vgg7("export", weights, tmp_path / f"x{suffix}").code == 0
    assert numpy_vgg7("import", tmp_path / f"x{suffix}", tmp_path / "y.safetensors").code == 0
    assert (tmp_path / "y.safetensors").read_bytes() == weights.read_bytes()


def test_import_takes_the_activations_of_a_preset(tmp_path):
    config = VGG7Config.preset("vgg7", image_size=8)
    odd = VGG7Config.preset("vgg7", image_size=8, activations=(*config.activations[:6], "arctan"))
    VGG7(odd).save(tmp_path / "w.safetensors")
    numpy_vgg7("export", tmp_path / "w.safetensors", tmp_path / "w.pt")
    done = numpy_vgg7("import", tmp_path / "w.pt", tmp_path / "x.safetensors", "--preset", "article")
    assert done.code == 0
    assert (tmp_path / "x.safetensors").read_bytes() == (tmp_path / "w.safetensors").read_bytes()


def test_predict_reads_npy_arrays(weights, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).uniform(size=(3, 8, 8)))
    done = numpy_vgg7("predict", weights, tmp_path / "x.npy", "--json")
    rows = json.loads(done.stdout)["predictions"]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert all(abs(sum(row["probabilities"]) - 1) < 1e-5 for row in rows)


def test_doctor_reports_versions_and_a_forced_kernel():
    record = json.loads(numpy_vgg7("doctor", "--json", OPENBLAS_CORETYPE="Haswell").stdout)
    assert record["packages"]["numpy"] == np.__version__
    assert record["blas"]["overridden"] == "Haswell"
    assert any("OPENBLAS_CORETYPE" in problem for problem in record["problems"])
    assert np.__version__ in numpy_vgg7("doctor").stdout
