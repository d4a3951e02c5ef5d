"""Running the command line as a user does, in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent


class Done(NamedTuple):
    """How a command ended."""

    code: int
    stdout: str
    stderr: str


def python(*words: object, cwd: Path = ROOT, **settings: str) -> Done:
    """Run Python with these words; warnings of our own code are errors there, too."""
    environment = os.environ | {"NO_COLOR": "1", "COLUMNS": "120"} | settings
    command = [sys.executable, *(str(word) for word in words)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def numpy_vgg7(*words: object, cwd: Path = ROOT, **settings: str) -> Done:
    """Run one command of the program."""
    return python("-W", "error", "-m", "numpy_vgg7", *words, cwd=cwd, **settings)
