"""Which bugs of the catalogue would someone's own tests catch? `parity prove --tests FILE`.

A file of tests is Python: every function `test_...` without arguments is a test, which fails if it raises
anything. Each bug has a process of its own, `python -m numpy_vgg7.parity.own_tests ANSWER FILE BUG`, in which
it is put into the package before the file is loaded.
"""

import inspect
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy_vgg7.child import answer, load, respond
from numpy_vgg7.errors import CodeError
from numpy_vgg7.parity import TEST_SECONDS
from numpy_vgg7.parity.mutants import NETWORK, Mutant

MAX_PROCESSES = 8
LOADING = "loading"  # the name of the first test, which the file itself is
MODULE = "numpy_vgg7.parity.own_tests"


@dataclass(frozen=True)
class Outcome:
    """What someone's tests made of one bug: the tests that failed, each with its message."""

    mutant: Mutant
    failed: dict[str, str]

    @property
    def caught(self) -> bool:
        """Whether any test failed."""
        return bool(self.failed)


def names_of_tests(path: Path, seconds: float = TEST_SECONDS) -> list[str]:
    """The tests in a file, which must pass without any bug. Raises CodeError."""
    try:
        record = answer(MODULE, path, seconds=seconds)
    except TimeoutError as error:
        expected, fix = f"tests that take at most {seconds:g} seconds", "make them faster, or raise the limit"
        raise CodeError(str(path), expected, "tests that take longer", fix) from error
    for name, message in record["failed"].items():
        expected = "tests that pass without any bug"
        raise CodeError(f"{path}, {name}", expected, message, "correct the test")
    names: list[str] = record["tests"]
    if not names:
        fix = "write functions named test_..."
        raise CodeError(str(path), "at least one test without arguments", "none", fix)
    return names


def outcomes(path: Path, mutants: Sequence[Mutant], seconds: float = TEST_SECONDS) -> Iterator[Outcome]:
    """Run the tests in a file with each of these bugs. Tests that do not end in time have failed."""
    processes = min(os.cpu_count() or 1, MAX_PROCESSES)
    with ThreadPoolExecutor(processes) as pool:  # each thread waits for a process
        yield from pool.map(partial(_outcome, path, seconds), mutants)


def _outcome(path: Path, seconds: float, mutant: Mutant) -> Outcome:
    try:
        failed = answer(MODULE, path, mutant.name, seconds=seconds)["failed"]
    except TimeoutError:
        failed = {"time limit": f"not finished within {seconds:g} seconds"}
    except CodeError as error:  # it ended the process
        failed = {LOADING: error.found}
    return Outcome(mutant, failed)


def applicable(mutants: Sequence[Mutant]) -> list[Mutant]:
    """Those that can be put in: one changes the reference, which needs PyTorch."""
    return [mutant for mutant in mutants if not _in_reference(mutant) or find_spec("torch")]


def _in_reference(mutant: Mutant) -> bool:
    owners = [replacement.owner for replacement in mutant.replacements]
    return any(isinstance(owner, str) and owner.startswith("torch_ref") for owner in owners)


def by_place(found: Sequence[Outcome]) -> dict[str, tuple[int, int]]:
    """How many bugs were caught, of how many: forward, backward, optimiser, engine, weights."""
    kinds = [outcome.mutant.place.split()[-1] for outcome in found]
    caught = Counter(kind for kind, outcome in zip(kinds, found, strict=True) if outcome.caught)
    return {kind: (caught[kind], total) for kind, total in Counter(kinds).items()}


def run_tests(path: Path, bug: str = "") -> dict[str, Any]:
    """The tests in a file, and which of them fail with a bug of that name. CodeError if it has none."""
    mutants = [mutant for mutant in NETWORK if mutant.name == bug]
    with mutants[0].applied() if bug else nullcontext():
        try:
            tests = tests_in(load(path))
        except CodeError as error:
            return {"tests": [], "failed": {LOADING: error.found}}
        failed = {name: message for name, test in tests.items() if (message := failure(test))}
    return {"tests": list(tests), "failed": failed}


def tests_in(module: ModuleType) -> dict[str, Callable[[], object]]:
    """The functions test_... of a module that need no arguments."""
    found: dict[str, Callable[[], object]] = {}
    for name, value in vars(module).items():
        if name.startswith("test_") and inspect.isfunction(value):
            parameters = inspect.signature(value).parameters.values()
            if all(
                p.default is not p.empty or p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters
            ):
                found[name] = value
    return found


def failure(test: Callable[[], object]) -> str:
    """What a test raises, or nothing if it passes."""
    try:
        test()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # of any kind: those of pytest are no Exceptions
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return ""


if __name__ == "__main__":
    respond(run_tests)
