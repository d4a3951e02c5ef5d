"""Running Python and the command line in a new process, as a user does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Done(NamedTuple):
    """The result of a command."""

    code: int
    stdout: str
    stderr: str


def python(*words: object, cwd: Path = ROOT, **settings: str) -> Done:
    """Run Python with these arguments, and with `settings` as environment variables."""
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "120"} | settings
    command = [sys.executable, *(str(word) for word in words)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def numpy_vgg7(*words: object, cwd: Path = ROOT, **settings: str) -> Done:
    """Run one command of numpy-vgg7; warnings are errors."""
    return python("-W", "error", "-m", "numpy_vgg7", *words, cwd=cwd, **settings)


# The benchmark with few rounds and small products, to be followed by its words. No test asserts a time.
QUICK_BENCH = (
    "-c",
    """from numpy_vgg7.bench import measure
measure.ROUNDS = 2
measure.sgemm_peak.__defaults__ = 512, 2
from numpy_vgg7.cli import main
main()""",
    "bench",
)
