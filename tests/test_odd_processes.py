"""Odd processes: without a folder, a home, streams or memory; and odd settings of the environment."""

import os
import sys
import tempfile

import pytest

from numpy_vgg7 import cli, plots
from tests.odd import LINUX, furnish, require, run_in_child, without_privileges, words_of

pytestmark = LINUX
if sys.platform == "linux":
    import resource
TRAIN = "train --limit 20 --epochs 1 --channels 1,1,1,1 --hidden 2,2 --out {}"
UNWRITABLE = "standard output: expected a place to write to or read from, found "


def deleted_folder():
    os.chdir(tempfile.mkdtemp())
    os.rmdir(os.getcwd())


def read_only_folder():
    os.chmod(".", 0o555)
    without_privileges()


def umask():
    os.umask(0o777)
    without_privileges()


def full():
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def broken_pipe():
    reading, writing = os.pipe()
    os.dup2(writing, 1)
    os.close(reading)


def closed(*numbers):
    return lambda: [os.close(number) for number in numbers]


def limited(what, most):
    return lambda: resource.setrlimit(getattr(resource, what), (most, most))


def environment(**settings):
    def prepare():
        for name in ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "NUMPY_VGG7_DATA"):
            os.environ.pop(name, None)
        os.environ.update(settings)

    return prepare


GONE = "found a current folder that was deleted; change to another folder (cd)"
DENIED = "permission denied; check the permissions, or choose another"
TOO_LARGE = "found file too large; raise the limit on the size of files (ulimit -f)"
# What was done to the process, and for some commands: exit code, and a part of what is said.
SITUATIONS = {
    "deleted current folder": (deleted_folder, [
        ("inspect w.safetensors", 3, GONE),
        ("inspect {}/w.safetensors", 0, "sha256"),
        ("export {}/w.safetensors o.npz", 3, GONE),
        ("export {}/w.safetensors {}/deleted.npz", 0, "wrote"),
        ("predict p.png", 3, GONE),
        ("predict {}/w.safetensors {}/p.png", 0, "p.png: "),
        ("predict {}/p.png --show s.png", 3, GONE),
        ("evaluate {}/w.safetensors --data d.npz", 3, GONE),
        ("train --config c.json", 3, GONE),
        (TRAIN.format("out"), 3, GONE),
        (TRAIN.format("{}/deleted"), 0, "test"),
        ("report run", 3, "matplotlib"),
        ("exercise new e", 3, GONE),
        ("parity check d.npz", 3, GONE),
        ("parity run --image-size 4", 3, GONE),
        ("doctor", 0, ""),
        ("--help", 0, "Usage"),
    ]),
    "read-only current folder": (read_only_folder, [
        ("inspect {}/w.safetensors", 0, "sha256"),
        ("doctor", 0, ""),
        ("predict {}/w.safetensors {}/p.png", 0, "p.png: "),
        ("predict {}/w.safetensors {}/p.png --show s.png", 3, DENIED),
        ("export {}/w.safetensors o.npz", 3, DENIED),
        (TRAIN.format("out"), 3, DENIED),
        (TRAIN.removesuffix(" --out {}"), 3, DENIED),
        ("exercise new e", 3, DENIED),
    ]),
    "no home": (environment(), [
        ("doctor", 0, ""),
        ("predict {}/p.png", 0, "p.png: "),
        (TRAIN.format("home"), 0, "test"),
    ]),
    "a home that is none": (environment(HOME="/proc/nowhere"), [
        ("doctor", 0, ""),
        ("predict {}/p.png", 0, "p.png: "),
        ("train --data mnist", 3, "/proc/nowhere/.cache/numpy-vgg7/mnist"),
    ]),
    "odd data folders": (environment(NUMPY_VGG7_DATA="\x1b[31m[/b]\n"), [
        ("train --data mnist", 3, r"\x1b[31m[/b]"),
        ("train --data fashion-mnist", 3, r"\x1b[31m[/b]"),
    ]),
    "a full output": (full, [
        ("inspect {}/w.safetensors", 3, UNWRITABLE + "no space left on device; make room there"),
        ("inspect {}/w.safetensors --json", 3, UNWRITABLE + "no space left on device"),
        ("--help", 3, UNWRITABLE + "no space left on device"),
        ("--version", 3, UNWRITABLE + "no space left on device"),
        ("doctor --json", 3, UNWRITABLE + "no space left on device"),
        ("predict {}/w.safetensors {}/p.png", 3, UNWRITABLE + "no space left on device"),
        ("export {}/w.safetensors full.npz", 3, UNWRITABLE + "no space left on device"),
        ("train --epochs 0", 3, "--epochs: expected"),
        ("inspect {}/missing.npz", 3, "found nothing there"),
    ]),
    "a broken pipe": (broken_pipe, [
        ("inspect {}/w.safetensors", 3, ""),
        ("inspect {}/w.safetensors --json", 3, ""),
        ("--help", 3, ""),
        ("doctor --json", 3, ""),
        ("train --epochs 0", 3, "--epochs: expected"),
    ]),
    "a closed output": (closed(1), [
        ("inspect {}/w.safetensors", 3, UNWRITABLE + "bad file descriptor"),
        ("inspect {}/w.safetensors --json", 3, UNWRITABLE + "bad file descriptor"),
        ("--help", 3, UNWRITABLE + "bad file descriptor"),
        ("--version", 3, UNWRITABLE + "bad file descriptor"),
        ("export {}/w.safetensors closed.npz", 3, UNWRITABLE + "bad file descriptor"),
        ("exercise check {}", 3, "found nothing there"),
        ("train --epochs 0", 3, "--epochs: expected"),
    ]),
    "no streams at all": (closed(0, 1, 2), [
        ("inspect {}/w.safetensors", 3, ""),
        ("inspect {}/missing.npz", 3, ""),
        ("train --epochs 0", 3, ""),
    ]),
    "closed messages": (closed(2), [
        ("inspect {}/w.safetensors", 0, "sha256"),
        ("predict {}/p.png", 0, "p.png: "),
        ("train --epochs 0", 3, ""),
    ]),
    "a closed input": (closed(0), [
        ("inspect {}/w.safetensors", 0, "sha256"),
        ("predict {}/w.safetensors {}/p.png", 0, "p.png: "),
    ]),
    "files of at most 500 bytes": (limited("RLIMIT_FSIZE", 500), [
        ("export {}/w.safetensors o.npz", 3, TOO_LARGE),
        ("predict {}/w.safetensors {}/p.png --show s.png", 3, TOO_LARGE),
        ("exercise new e", 3, TOO_LARGE),
        (TRAIN.format("small"), 3, TOO_LARGE),
    ]),
    "a umask of everything": (umask, [
        ("export {}/w.safetensors umask.npz", 0, "wrote umask.npz"),
        ("exercise new umask", 3, "umask"),
    ]),
    "no columns": (environment(COLUMNS="0"), [
        ("inspect {}/w.safetensors", 0, "sha256"),
        ("--help", 0, "Usage"),
    ]),
    "one column": (environment(COLUMNS="1"), [
        ("inspect {}/w.safetensors", 0, "sha256"),
        ("train -h", 0, "Usage"),
    ]),
    "words for columns": (environment(COLUMNS="abc", LINES="x"), [
        ("inspect {}/w.safetensors", 0, "sha256"),
        ("train --help", 0, "Usage"),
    ]),
    "a dumb terminal": (environment(TERM="dumb", NO_COLOR=""), [
        ("inspect {}/w.safetensors", 0, "sha256"),
    ]),
    "colours by force": (environment(FORCE_COLOR="1"), [
        ("inspect {}/missing.npz", 3, "found nothing there"),
    ]),
    "no temporary folder": (environment(TMPDIR="/proc/nowhere"), [
        ("doctor", 0, ""),
        ("export {}/w.safetensors temporary.npz", 0, "wrote temporary.npz"),
    ]),
    "a locale that is none": (environment(LC_ALL="xx_YY", LANG="C"), [
        ("inspect {}/w.safetensors", 0, "sha256"),
    ]),
}  # fmt: skip
CASES = [(name, line, code, part) for name in SITUATIONS for line, code, part in SITUATIONS[name][1]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd")
    furnish(path)
    # Loaded once, for all children.
    import scipy.ndimage
    import sklearn.datasets

    from numpy_vgg7.cli import commands, session
    from numpy_vgg7.weights import onnx

    assert scipy.ndimage
    assert sklearn.datasets
    assert commands
    assert session
    assert onnx
    return path


@pytest.mark.parametrize(("name", "line", "code", "part"), CASES)
def test_odd_processes_end_as_documented(folder, tmp_path, monkeypatch, name, line, code, part):
    monkeypatch.setattr(plots, "available", lambda: False)  # which is slow to load
    monkeypatch.setattr(cli, "handle_stops", lambda handler: None)

    def prepare():
        os.chdir(tmp_path)
        SITUATIONS[name][0]()

    require(run_in_child(words_of(line.replace("{}", str(folder))), prepare), code, part)
