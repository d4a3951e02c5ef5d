"""What only a process of its own can tell: the memory of a training, and the time of an import.

`python -m numpy_vgg7.bench.children MODULE THREADS` is the process whose memory is measured.
"""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from statistics import median

from numpy_vgg7.bench.rows import USUAL

STEPS = 20
ROUNDS = 11


def training_memory(module: str, threads: int) -> float | None:
    """Peak megabytes of a process that trains with `ready` of this module; None on Windows."""
    return _number(["-m", __name__, module, str(threads)])


def import_ratio(rounds: int = ROUNDS) -> float:
    """The time to import `VGG7` relative to `import numpy`: medians over processes in turn.

    `import numpy_vgg7` alone loads nothing, not even NumPy.
    """
    seconds: dict[str, list[float]] = {"numpy_vgg7.model": [], "numpy": []}
    for _ in range(rounds):
        for name, values in seconds.items():
            clock = "from time import perf_counter as now; began = now()"
            values.append(_number(["-c", f"{clock}; import {name}; print(now() - began)"]) or 0.0)
    ours, numpy = (median(values) for values in seconds.values())
    return ours / numpy


def peak_memory() -> float | None:
    """Megabytes that this process held at most; None where the system doesn't say."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would tell of the parent, if that was larger before it started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    try:
        import resource
    except ImportError:
        return None
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _number(words: list[str]) -> float | None:
    """The number that a Python process prints."""
    compiled = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *words]
    done = subprocess.run(command, env=compiled, stdout=subprocess.PIPE, text=True, check=True)
    return None if done.stdout.strip() == "None" else float(done.stdout)


if __name__ == "__main__":
    with import_module(sys.argv[1]).ready(USUAL, int(sys.argv[2])) as turn:
        for _ in range(STEPS):
            turn()
    print(peak_memory())
