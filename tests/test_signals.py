"""Ctrl-C, SIGTERM and SIGHUP end a command without a traceback, and a training can be resumed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from tests.commands import ROOT, python

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no signals to other processes on this system")

SMALL = ("--channels", "4,4,8,8", "--hidden", "24,16", "--limit", "60", "--batch-size", "16")
STOPS = [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)]


def heard():
    """Signals that a shell's background or nohup ignores."""
    for name, _ in STOPS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)


@pytest.mark.parametrize(("name", "code"), STOPS)
def test_a_training_that_is_told_to_end_says_how_to_continue(tmp_path, name, code):
    path = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "numpy_vgg7", "train", *SMALL, "--epochs", "100000", "--out", str(path)],
        cwd=ROOT,
        env=os.environ | {"NO_COLOR": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heard,
    )
    deadline = time.monotonic() + 60
    while not (path / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(getattr(signal, name))
    _, messages = process.communicate(timeout=60)
    assert process.returncode == code, messages
    assert messages.splitlines()[-1] == f"interrupted; continue with: numpy-vgg7 train --resume {path}"
    assert "Traceback" not in messages
    assert not list(path.rglob(".*.tmp"))


# Runs the command line, and sends itself a signal when it imports a module.
EARLY = """
import os, signal, sys
module, name, ignored = sys.argv.pop(1), sys.argv.pop(1), sys.argv.pop(1)
number = getattr(signal, name)
signal.signal(number, signal.SIG_IGN if ignored == "True" else
              signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)
class Finder:
    def find_spec(self, name, path, target=None):
        if name == module:
            os.kill(os.getpid(), number)
sys.meta_path.insert(0, Finder())
from numpy_vgg7.cli import main
main()
"""


@pytest.mark.parametrize(("name", "code"), STOPS)
@pytest.mark.parametrize("module", ["numpy_vgg7.cli.commands", "numpy._core.multiarray"])
def test_a_signal_during_imports_ends_the_command_silently(module, name, code):
    done = python("-c", EARLY, module, name, False, "doctor")
    assert done == (code, "", "")


@pytest.mark.parametrize("name", [name for name, _ in STOPS])
def test_a_signal_that_is_ignored_stays_ignored(name):
    done = python("-c", EARLY, "numpy._core.multiarray", name, True, "doctor")
    assert done.code == 0
    assert done.stderr == ""
