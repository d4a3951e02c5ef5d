"""Compare the speed of two checkouts: every row of `numpy-vgg7 bench`, both in turn, in a process each.

    git worktree add ../before bc1f081
    python scripts/compare_commits.py ../before . [--threads 2] [--rounds 20]

Prints medians and minima in milliseconds per step, and ratios of the first checkout's time to the second's.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

ROWS = (
    ("training", "article", 1), ("training", "article", 64),
    ("training", "vgg7", 64), ("training", "vgg7-wide", 64),
    ("inference", "article", 1), ("inference", "article", 64),
    ("inference", "vgg7", 64), ("inference", "vgg7-wide", 64),
)  # fmt: skip
STEPS_OF_ONE_IMAGE = 16  # timed together
RUN_UP = 0.1  # seconds of steps before the one that is timed
REPEATS = 3  # steps per round, of which the median counts


def step_function(mode: str, preset: str, batch_size: int, threads: int) -> tuple[Any, int]:
    """A function that takes steps with the package on the path, old or new, and the number of steps."""
    import numpy as np

    try:
        from numpy_vgg7.config import VGG7Config
        from numpy_vgg7.model import VGG7
        from numpy_vgg7.optim import SGD
    except ModuleNotFoundError:  # commits up to bc1f081
        from numpy_vgg7.nn.sgd import SGD
        from numpy_vgg7.vgg7 import VGG7, VGG7Config

    rng = np.random.default_rng(0)
    model = VGG7(VGG7Config.preset(preset), threads=threads)
    steps = STEPS_OF_ONE_IMAGE if batch_size == 1 else 1
    batches = [
        (rng.random((batch_size, 1, 28, 28), "float32"), rng.integers(0, 10, batch_size))
        for _ in range(steps)
    ]
    if mode == "inference":
        return lambda: [model.forward(images) for images, _ in batches], steps
    sgd = SGD(1e-4, 1e-4)
    velocity = sgd.init(model.params)
    train_step = model.train_step if hasattr(model, "train_step") else model.descend
    return lambda: [train_step(images, labels, sgd, velocity) for images, labels in batches], steps


def serve(mode: str, preset: str, batch_size: int, threads: int) -> None:
    """Print the milliseconds of a step for each line on standard input. The BLAS has one thread."""
    import numpy as np  # noqa: F401  (before the limit, which applies to loaded libraries only)
    from threadpoolctl import threadpool_info, threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        counts = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert counts, "no BLAS is loaded"
        assert set(counts) == {1}, "the BLAS is not limited, which is unfair to commits that do not limit it"
        step, steps = step_function(mode, preset, batch_size, threads)
        for _ in sys.stdin:
            start = perf_counter()
            while perf_counter() < start + RUN_UP:
                step()
            seconds = []
            for _ in range(REPEATS):
                start = perf_counter()
                step()
                seconds.append(perf_counter() - start)
            print(1e3 * median(seconds) / steps, flush=True)


def start(checkout: Path, row: tuple[str, str, int], threads: int) -> "subprocess.Popen[str]":
    """A process that serves one row with the package of a checkout."""
    command = [sys.executable, __file__, "--serve", *map(str, row), str(threads)]
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve())}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)


def milliseconds(process: "subprocess.Popen[str]") -> float:
    """Ask a process for one time."""
    assert process.stdin
    assert process.stdout
    process.stdin.write("\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main() -> None:
    """Measure and print the table."""
    if sys.argv[1:2] == ["--serve"]:
        mode, preset, batch_size, threads = sys.argv[2:]
        serve(mode, preset, int(batch_size), int(threads))
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    print(
        "| row | before, ms (min) | after, ms (min) | ratio of medians | of minima |\n|---|---|---|---|---|"
    )
    for row in ROWS:
        processes = [start(checkout, row, options.threads) for checkout in (options.before, options.after)]
        times: list[list[float]] = [[], []]
        for _ in range(options.rounds):
            for process, found in zip(processes, times, strict=True):
                found.append(milliseconds(process))
        for process in processes:
            process.communicate()
        medians, minima = ([f(found) for found in times] for f in (median, min))
        cells = [f"{m:.3f} ({low:.3f})" for m, low in zip(medians, minima, strict=True)]
        ratios = [f"{before / after:.2f}" for before, after in (medians, minima)]
        print(f"| {row[0]} `{row[1]}-b{row[2]}` | " + " | ".join(cells + ratios) + " |", flush=True)


if __name__ == "__main__":
    main()
