"""Odd situations: files of every kind, commands in this process or in a child, and what must hold of each."""

import ctypes
import os
import shlex
import shutil
import sys
import tempfile
import traceback
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from numpy_vgg7 import VGG7, VGG7Config, cli
from tests.commands import Done

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="privileges, limits and devices of Linux")
SUFFIXES = (
    "safetensors", "npz", "npy", "pt", "onnx", "keras", "weights.h5", "png", "csv", "json", "toml", "py",
    "pkl",
)  # fmt: skip


def furnish(folder):
    """Weights (w), data (d), pictures (p, i), labels (l), and of each suffix a file of each odd kind."""
    VGG7(VGG7Config(image_size=8, channels=(2, 2, 2, 2), hidden=(3, 3))).save(folder / "w.safetensors")
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 8, 8), np.uint8)
    np.savez(folder / "d.npz", images=images, labels=np.arange(40) % 10)
    np.save(folder / "i.npy", images)
    np.save(folder / "l.npy", np.arange(40) % 10)
    Image.fromarray(images[0]).save(folder / "p.png")
    for name in ("w.safetensors", "p.png"):
        shutil.copy(folder / name, folder / f"line\nend{Path(name).suffix}")
    for suffix in SUFFIXES:
        (folder / f"empty.{suffix}").write_bytes(b"")
        (folder / f"words.{suffix}").write_bytes(b"some words\n")
        (folder / f"locked.{suffix}").write_bytes(b"")
        (folder / f"locked.{suffix}").chmod(0)
        (folder / f"folder.{suffix}").mkdir()
        (folder / f"nowhere.{suffix}").symlink_to("gone")
        (folder / f"loop.{suffix}").symlink_to(f"loop.{suffix}")
        (folder / f"device.{suffix}").symlink_to("/dev/zero")
        os.mkfifo(folder / f"pipe.{suffix}")


def words_of(line):
    r"""The words of a command as in a shell; \n, \x1b and the like are characters."""
    return [
        word.encode("latin-1", "backslashreplace").decode("unicode_escape") if "\\" in word else word
        for word in shlex.split(line)
    ]


def run(words, monkeypatch, capsys):
    """Exit code, standard output and standard error of a command in this process."""
    monkeypatch.setattr(sys, "argv", ["numpy-vgg7", *words])
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(cli, "handle_stops", lambda handler: None)  # those of the tests stay
    with pytest.raises(SystemExit) as end:
        cli.main()
    return Done(end.value.code or 0, *capsys.readouterr())


def without_privileges():
    """Make permissions count for root, too, in this process."""
    data = (ctypes.c_uint32 * 6)()  # no capabilities
    assert ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), data) == 0


def run_in_child(words, prepare):
    """The same in a forked process, which calls `prepare` first: that may close and limit anything."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = ["numpy-vgg7", *words]
            code = 99
            try:
                prepare()
                for number, name in ((1, "stdout"), (2, "stderr")):  # as Python does when it starts
                    setattr(sys, name, None)
                    with suppress(OSError):
                        setattr(sys, name, os.fdopen(number, "w", closefd=False))
                cli.main()
            except SystemExit as end:
                code = end.code or 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode())
    return Done(code, *texts)


def require(done, code, part):
    """The exit code, a part of what is said, no traceback, and one line for bad input."""
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    assert done.code == code, text
    assert part in text.replace("\n", " "), f"{part!r} is not in {text}"
    if code == cli.BAD_INPUT and done.stderr:  # nothing can be said where there are no streams
        last = done.stderr.rstrip("\n").rpartition("\n")[2]
        assert last.startswith("numpy-vgg7: "), done.stderr
        assert len(last) <= 312, last
    assert text.replace("\n", "").isprintable(), ascii(text)
