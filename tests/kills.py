"""Trainings that are killed: at each of their calls of the operating system, or at any time.

`python -m tests.kills steps` kills the command `train` at every call, `python -m tests.kills random COUNT`
after random times. Both continue each training, and compare it with one that was not killed. Options of
`train` may follow, such as `random 20 --data mnist --limit 2000 --epochs 6`. Not on Windows.
"""

import contextlib
import io
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

CALLS = ("open", "write", "fsync", "close", "replace", "rename", "mkdir", "unlink", "rmdir", "listdir")
FILES = ("last.safetensors", "best.safetensors")
OPTIONS = (
    "--channels", "4,4,8,8", "--hidden", "24,16", "--limit", "60", "--batch-size", "16", "--epochs", "3",
    "--average", "2",
)  # fmt: skip

# Trains in a folder, new or begun; raises FileNotFoundError if it was to be continued and was not begun.
Training = Callable[[Path, bool], object]


def in_child(work: Callable[[], object]) -> int:
    """The process number of a fork that does some work and ends: code 0, 3 if nothing was begun, else 1."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
            work()
        code = 0
    except FileNotFoundError:
        code = 3
    finally:
        os._exit(code)


def wait(child: int) -> int:
    """The exit code of a process; -9 if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def kill_at(step: int) -> None:
    """Kill this process when it calls the operating system for the given time. A write is then half done."""
    count = 0

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counting(*args: Any, **words: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                if name == "write":
                    call(args[0], args[1][: len(args[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **words)

        return counting

    for name in CALLS:
        setattr(os, name, counted(name, getattr(os, name)))


def faults(folder: Path, training: Training, whole: dict[str, bytes]) -> Iterator[str]:
    """Continue a training that was killed, and yield what is wrong."""
    if not folder.exists():
        if (code := wait(in_child(lambda: training(folder, True)))) != 3:
            yield f"continued with exit code {code} where nothing was begun"
        code = wait(in_child(lambda: training(folder, False)))
    else:
        code = wait(in_child(lambda: training(folder, True)))
    if code:
        yield f"continued with exit code {code}"
        return
    for name, content in whole.items():
        if (folder / name).read_bytes() != content:
            yield f"{name} has other bytes"
    for name in ("config.json", "env.json", "metrics.csv"):
        if not (folder / name).exists():
            yield f"{name} is missing"
    if left := [path.name for path in folder.parent.rglob("*.tmp")]:
        yield f"{left} are left"


def every_step(training: Training, root: Path, stride: int = 1) -> tuple[int, list[str]]:
    """Kill a training at each of its calls. Returns their number and what went wrong."""
    whole = uninterrupted(training, root)
    found, step = [], 1
    while True:
        folder = root / str(step) / "run"
        folder.parent.mkdir()

        def killed(folder: Path = folder, step: int = step) -> None:
            kill_at(step)
            training(folder, False)

        if (code := wait(in_child(killed))) == 0:
            return step - 1, found
        if code != -signal.SIGKILL:
            found.append(f"call {step}: exit code {code}")
        found += [f"call {step}: {words}" for words in faults(folder, training, whole)]
        step += stride


def random_times(training: Training, root: Path, count: int) -> tuple[int, list[str]]:
    """Kill trainings after random times. Returns how many were not over by then, and what went wrong."""
    whole = uninterrupted(training, root)
    began = time.perf_counter()
    training(root / "again", False)
    usual, killed, found = time.perf_counter() - began, 0, []
    for number in range(count):
        folder = root / str(number) / "run"
        folder.parent.mkdir()
        child = in_child(lambda folder=folder: training(folder, False))
        time.sleep(random.uniform(0, usual))
        os.kill(child, signal.SIGKILL)
        killed += wait(child) == -signal.SIGKILL
        found += [f"kill {number}: {words}" for words in faults(folder, training, whole)]
    return killed, found


def uninterrupted(training: Training, root: Path) -> dict[str, bytes]:
    """The bytes of the weights that a training ends with. Imports happen now, not in every child."""
    training(root / "whole", False)
    return {name: (root / "whole" / name).read_bytes() for name in FILES}


def command(folder: Path, resume: bool, options: Sequence[str] = OPTIONS) -> None:
    """`numpy-vgg7 train` in this process."""
    from numpy_vgg7 import plots
    from numpy_vgg7.cli.commands import app
    from numpy_vgg7.errors import VGG7Error

    plots.available = lambda: False
    threads = options[options.index("--threads") :][:2] if "--threads" in options else ()  # no setting
    words = ("--resume", folder, *threads) if resume else (*options, "--out", folder)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            app(["train", *map(str, words)], standalone_mode=False)
    except VGG7Error as error:
        if "no training was begun" in str(error):
            raise FileNotFoundError from error
        raise


if __name__ == "__main__":
    mode, count = sys.argv[1], 2 if sys.argv[1] == "random" else 1
    training = partial(command, options=sys.argv[count + 1 :] or OPTIONS)
    with tempfile.TemporaryDirectory() as parent:
        if mode == "steps":
            number, wrong = every_step(training, Path(parent))
        else:
            number, wrong = random_times(training, Path(parent), int(sys.argv[2]))
    print(f"{number} trainings were killed; {len(wrong)} faults")
    print(*wrong, sep="\n")
    sys.exit(bool(wrong))
