"""The virtual environment that `demo.py` and `test.py` share: made once, brought up to date every time."""

import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
LOWEST = (3, 11)


def run(*command: object, **settings: str) -> None:
    """Print a command and run it in the project's folder; where it fails, so does this program."""
    words = [str(word) for word in command]
    print("$", " ".join(words), flush=True)
    done = subprocess.run(words, cwd=ROOT, env=os.environ | settings, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def prepare(*groups: str) -> None:
    """Make the environment and install the project with PyTorch, plots and dependency groups."""
    if sys.version_info < LOWEST:
        sys.exit(f"Python {LOWEST[0]}.{LOWEST[1]} or later is needed; this is {sys.version.split()[0]}")
    ready = FOLDER / "ready"  # made last, so that a broken attempt is made anew
    if not ready.exists():
        print(f"making a virtual environment in {FOLDER.name}", flush=True)
        venv.create(FOLDER, with_pip=True, clear=True)
        ready.touch()
    install = (PYTHON, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt")
    run(*install, "pip>=25.1")  # the first that reads dependency groups
    run(*install, "--editable", ".[all]", *(word for group in groups for word in ("--group", group)))
