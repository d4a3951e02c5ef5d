"""The virtual environment of `demo.py` and `test.py`: created once, updated every time."""

import os
import shlex
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".venv"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
MIN_PYTHON = (3, 11)


def run(*command: object, **settings: str) -> None:
    """Print a command and run it in the project's folder. If it fails, exit with its code."""
    arguments = [str(argument) for argument in command]
    print("$", shlex.join(arguments), flush=True)
    environment = os.environ | {"PYTHONUTF8": "1"} | settings  # Windows has another encoding by default
    result = subprocess.run(arguments, cwd=ROOT, env=environment, check=False)
    if result.returncode:
        sys.exit(result.returncode)


def prepare(*groups: str) -> None:
    """Create the environment and install the project with PyTorch, matplotlib and dependency groups."""
    if sys.version_info < MIN_PYTHON:
        required, found = ".".join(map(str, MIN_PYTHON)), sys.version.split()[0]
        sys.exit(f"Python {required} or later is required; this is {found}")
    ready = FOLDER / "ready"  # written last, so that an interrupted attempt is repeated
    if not ready.exists():
        print(f"creating a virtual environment in {FOLDER.name}", flush=True)
        # Links, as `python -m venv` makes: a copied interpreter may not find its libraries on macOS.
        venv.create(FOLDER, with_pip=True, clear=True, symlinks=os.name != "nt")
        ready.touch()
    install = (PYTHON, "-m", "pip", "install", "--quiet", "--constraint", "constraints.txt")
    run(*install, "pip>=25.1")  # the first version with dependency groups
    run(*install, "--editable", ".[all]", *(word for group in groups for word in ("--group", group)))
