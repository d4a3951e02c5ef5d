"""Odd arguments and odd environments: each command ends with its code and one line, never a traceback."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from numpy_vgg7 import VGG7, VGG7Config, cli
from tests.commands import ROOT
from tests.odd import run

ODD_NAMES = (
    "[/b]", "[red]x[/red]", ":smile:", "a b", "-", "é", "\u202egnp", "\x1b[31m", "a\nb", "\udce9", "x" * 300,
    "*", "%s{}", "~", "CON", "'\"",
)  # fmt: skip
# What a command line says for a name that does not exist.
MISSING = {
    "inspect": lambda name: ["inspect", f"{name}.safetensors"],
    "evaluate": lambda name: ["evaluate", f"{name}.npz"],
    "predict": lambda name: ["predict", f"{name}.png"],
    "data": lambda name: ["evaluate", "w.safetensors", "--data", f"{name}.npz"],
    "csv": lambda name: ["evaluate", "w.safetensors", "--data", f"{name}.csv"],
    "config": lambda name: ["train", "--config", f"{name}.json"],
    "resume": lambda name: ["train", "--resume", f"./{name}"],
    "import": lambda name: ["import", f"{name}.pt", "out.safetensors"],
    "check": lambda name: ["parity", "check", f"{name}.npz"],
    "tests": lambda name: ["parity", "prove", "--tests", f"{name}.py"],
}
POSITIONAL = ("inspect", "evaluate", "predict", "import", "check")  # where a dash begins an option
# Arguments, and the exit code: 2 where an option alone is wrong, 3 where what it names is.
ODD = {
    "no images": (["predict", "w.safetensors"], 2),
    "threads": (["evaluate", "w.safetensors", "--threads", "100000"], 2),
    "no threads": (["evaluate", "w.safetensors", "--threads", "0"], 2),
    "words for threads": (["evaluate", "w.safetensors", "--threads", "many"], 2),
    "a split": (["evaluate", "w.safetensors", "--split", "[/b]"], 2),
    "a huge network": (["train", "--channels", "100000,100000,100000,100000"], 3),
    "huge images": (["parity", "run", "--image-size", "100000"], 3),
    "a huge batch": (["parity", "run", "--batch-size", "10000000"], 3),
    "a huge batch of a case": (["parity", "case", "c.safetensors", "--batch-size", "10000000000"], 3),
    "channels": (["train", "--channels", "a,b,c,d"], 3),
    "too few channels": (["train", "--channels", "1"], 3),
    "no channels": (["train", "--channels", ""], 3),
    "huge numbers": (["train", "--channels", "9" * 5000], 3),
    "a rate": (["train", "--lr-conv", "nan"], 3),
    "an infinite rate": (["train", "--lr-fc", "inf"], 3),
    "a preset": (["train", "--preset", "[/b]"], 3),
    "an activation": (["train", "--activations", "a,b,c,d,e,f,g"], 3),
    "a data set": (["train", "--data", "[/b]\x1b[2J"], 3),
    "a null in a name": (["train", "--data", "x\0.npz"], 3),
    "an empty name": (["train", "--data", ""], 3),
    "three arrays": (["train", "--data", "a.npy,b.npy,c.npy"], 3),
    "classes": (["evaluate", "w.safetensors", "--data", "d.npz", "--classes", "a,a"], 3),
    "many classes": (["evaluate", "w.safetensors", "--data", "d.npz", "--classes", "9" * 30], 3),
    "white": (["evaluate", "w.safetensors", "--data", "d.npz", "--pixel-max", "nan"], 3),
    "a mean alone": (["evaluate", "w.safetensors", "--data", "d.npz", "--mean", "1"], 3),
    "weights as data": (["evaluate", "w.safetensors", "--data", "w.safetensors"], 3),
    "data as weights": (["inspect", "d.npz"], 3),
    "a picture as weights": (["inspect", "p.png"], 2 + 1),
    "weights as a picture": (["predict", "w.safetensors", "w.safetensors"], 3),
    "a folder as weights": (["inspect", "."], 3),
    "a folder as a picture": (["predict", "w.safetensors", "/"], 3),
    "a device as a picture": (["predict", "w.safetensors", "/dev/zero"], 3),
    "a device as data": (["train", "--data", "/dev/zero"], 3),
    "a device as a config": (["train", "--config", "/dev/zero"], 3),
    "a file as a run folder": (["train", "--resume", "d.npz"], 3),
    "a suffix": (["export", "w.safetensors", "w.[/b]"], 3),
    "a folder to write": (["export", "w.safetensors", "gone/w.npz"], 3),
    "a name to write": (["export", "w.safetensors", "x" * 300 + ".npz"], 3),
    "a device to write": (["export", "w.safetensors", "/proc/w.npz"], 3),
    "a sheet": (["predict", "w.safetensors", "p.png", "--show", "x.jpg"], 3),
    "a bug": (["parity", "prove", "--only", "[/b]"], 2),
    "a peer": (["bench", "--peer", "[/b]"], 2),
    "a command": (["[/b]"], 2),
    "a row": (["bench", "--cases", "[/b]"], 3),
    "help": (["--help"], 0),
    "weights": (["inspect", "w.safetensors"], 0),
    "weights as JSON": (["inspect", "w.safetensors", "--json"], 0),
    "an npy picture": (["predict", "w.safetensors", "i.npy"], 0),
    "a score": (["evaluate", "w.safetensors"], 0),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights, data and a picture."""
    path = tmp_path_factory.mktemp("odd")
    VGG7(VGG7Config(image_size=8)).save(path / "w.safetensors")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 8, 8), np.uint8)
    np.savez(path / "d.npz", images=images, labels=np.arange(20) % 10)
    np.save(path / "i.npy", images)
    Image.fromarray(images[0]).save(path / "p.png")
    return path


def require_one_line(code, out, err):
    assert "Traceback" not in out + err
    if code == cli.BAD_INPUT:
        lines = err.split("\n")
        assert lines[1:] == [""], err
        assert lines[0].isprintable(), ascii(err)
        assert lines[0].startswith("numpy-vgg7: "), err
        assert len(lines[0]) <= 312, err


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
@pytest.mark.parametrize("command", MISSING)
def test_a_name_is_never_interpreted_and_that_it_is_missing_is_one_line(
    folder, monkeypatch, capsys, command, name
):
    monkeypatch.chdir(folder)
    code, out, err = run(MISSING[command](name), monkeypatch, capsys)
    require_one_line(code, out, err)
    assert code == (2 if name == "-" and command in POSITIONAL else 3), err


@pytest.mark.parametrize("kind", ODD)
def test_odd_arguments_end_as_documented(folder, monkeypatch, capsys, kind):
    monkeypatch.chdir(folder)
    words, expected = ODD[kind]
    code, out, err = run(words, monkeypatch, capsys)
    require_one_line(code, out, err)
    assert code == expected, err


ENVIRONMENTS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "strict": {"PYTHONIOENCODING": "ascii:strict"},
    "a dumb terminal": {"TERM": "dumb", "NO_COLOR": "1"},
    "no home": {"HOME": "/nonexistent", "XDG_CACHE_HOME": ""},
    "a backend that is none": {"MPLBACKEND": "nonsense"},
}
TRAIN = "train --limit 20 --epochs 1 --channels 1,1,1,1 --hidden 2,2"


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_commands_work_in_odd_environments(folder, tmp_path, kind):
    (tmp_path / "é→[b].safetensors").write_bytes((folder / "w.safetensors").read_bytes())
    train = [[*TRAIN.split(), "--out", "é→[b]"]] if "MPLBACKEND" in ENVIRONMENTS[kind] else []
    script = f"""
import sys
from numpy_vgg7 import cli
for words in (["inspect", "é→[b].safetensors"], ["predict", "é→[b].safetensors", {str(folder / "i.npy")!r}],
              *{train}):
    sys.argv[1:] = words
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code, (words, end.code)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "0"} | ENVIRONMENTS[kind]
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode("latin-1")
    assert b"[b]" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
@pytest.mark.parametrize("options", [[], ["--json"]], ids=["text", "JSON"])
def test_a_full_standard_output_is_one_line_and_a_closed_one_is_quiet(folder, options):
    command = [sys.executable, "-m", "numpy_vgg7", "inspect", str(folder / "w.safetensors"), *options]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == cli.BAD_INPUT
    assert done.stderr.decode().count("\n") == 1
    assert b"no space left" in done.stderr
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, cwd=ROOT, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert done.returncode == cli.BAD_INPUT
    assert done.stderr == b""
