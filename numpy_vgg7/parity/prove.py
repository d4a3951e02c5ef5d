"""Does the harness catch bugs? Apply each bug of the catalogue, and see which checks notice it."""

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from multiprocessing import active_children, get_context
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits

from numpy_vgg7.functional import Arrays
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.checks import CHECKS, Finding, Referee, Suite
from numpy_vgg7.parity.localise import Culprit
from numpy_vgg7.parity.mutants import CATALOGUE, TRAINING, Mutant
from numpy_vgg7.parity.training_check import TrainingReference

MAX_PROCESSES = 8  # of about 300 MB each

TRAINS = ("training",)
# Not one line of the engine runs in these.
WITHOUT_ENGINE = ("float64 trace", "optimiser step", "kinks", "complex step", "extreme logits", "interchange")

T = TypeVar("T")
References = tuple[Referee, TrainingReference]  # of a trace, and of a training
Findings = dict[str, list[Finding]]  # by the kind of check


@dataclass(frozen=True)
class Verdict:
    """What the harness found of one bug."""

    mutant: Mutant
    caught_by: tuple[str, ...]  # kinds of checks
    culprit: Culprit | None

    @property
    def caught(self) -> bool:
        """Whether any check noticed."""
        return bool(self.caught_by)

    @property
    def blamed_right(self) -> bool:
        """Whether the place that was found is the one that was changed."""
        return self.culprit is not None and fnmatch(self.culprit.place, self.mutant.place)


def examine(
    suite: Suite, kinds: Sequence[str] = tuple(CHECKS), until_located: bool = False, enough: int = len(CHECKS)
) -> Findings:
    """The findings of these checks, by kind. A check that raises has found something.

    With `until_located`, each check stops when it has found something and knows the place. No other check is
    run when so many kinds of checks as are `enough` have found something and one knows the place.
    """
    found: Findings = {}
    for kind in kinds:
        caught = [findings for findings in found.values() if findings]
        if len(caught) >= enough and any(f.culprit for findings in caught for f in findings):
            break
        findings: list[Finding] = []
        try:
            for finding in CHECKS[kind](suite):
                findings.append(finding)
                if until_located and finding.culprit:
                    break
        except Exception as error:
            findings.append(Finding(f"crash: {type(error).__name__}: {error}"))
        found[kind] = findings
    return found


def kinds_for(mutant: Mutant) -> tuple[str, ...]:
    """The checks that look for a bug: those that run what it is in."""
    if mutant in TRAINING:
        return TRAINS
    others = (*TRAINS, *WITHOUT_ENGINE) if mutant.is_in("numpy_vgg7.engine") else TRAINS
    return tuple(kind for kind in CHECKS if kind not in others)


def prove(
    references: References, mutants: Sequence[Mutant] = CATALOGUE, enough: int = len(CHECKS)
) -> Iterator[Verdict]:
    """Examine the product with each of these bugs of the catalogue in it.

    A bug is settled when so many kinds of checks as are `enough` have caught it, and one has located it. Two
    suffice to know which kinds are `needed`.
    """
    findings = _in_processes(partial(_with_bug, enough), [mutant.name for mutant in mutants], references)
    for mutant, found in zip(mutants, findings, strict=True):
        caught_by = tuple(kind for kind, findings in found.items() if findings)
        culprits = [f.culprit for kind in caught_by for f in found[kind] if f.culprit]
        yield Verdict(mutant, caught_by, culprits[0] if culprits else None)


def control(references: References, seeds: int) -> Iterator[list[str]]:
    """Examine the product as it is, a seed at a time; each list names what was found, and is empty."""
    for seed, found in enumerate(_in_processes(_unchanged, range(seeds), references)):
        yield [f"seed {seed}, {kind}: {f.tensor}" for kind, findings in found.items() for f in findings]


def _with_bug(enough: int, references: References, name: str) -> Findings:
    (mutant,) = (mutant for mutant in CATALOGUE if mutant.name == name)
    referee, trainer = references
    changes_it = any(replacement.module.startswith("torch_ref") for replacement in mutant.replacements)
    suite = Suite(0, referee if changes_it else partial(remembered, referee), trainer)
    with mutant.applied(), np.errstate(all="ignore"):  # a bug may well overflow
        return examine(suite, kinds_for(mutant), until_located=True, enough=enough)


def remembered(referee: Referee, case: Case) -> Arrays:
    """The trace of a case, computed once in a process: the cases are the same for most of the bugs."""
    arrays = (case.images, case.labels, *case.model.params.values())
    given = [referee, case.model.config, case.model.dtype, case.sgd, case.steps]
    key = (*given, *((array.shape, array.tobytes()) for array in arrays))
    if key not in _traces:
        _traces[key] = referee(case)
    return {name: array.copy() for name, array in _traces[key].items()}


_traces: dict[tuple[object, ...], Arrays] = {}


def _unchanged(references: References, seed: int) -> Findings:
    return examine(Suite(seed, *references))


def _in_processes(
    work: Callable[[References, T], Findings], given: Sequence[T], references: References
) -> Iterator[Findings]:
    """`work` for each of the given, in order, in one process per processor."""
    task = partial(work, references)
    processes = min(os.cpu_count() or 1, MAX_PROCESSES, len(given))
    if processes < 2:
        yield from map(task, given)
        return
    spawn = get_context("spawn")  # a fork would not have the threads of the libraries
    with ProcessPoolExecutor(processes, spawn, _one_thread, (references,)) as pool:
        try:
            yield from pool.map(task, given)
        except BaseException:  # nobody waits for what is still running
            for process in active_children():
                process.terminate()
            raise


def _one_thread(references: References) -> None:
    """Start a process. `references` have been imported by then, so their libraries are limited, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one stops it
    threadpool_limits(1)


def needed(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """For each kind of check, the bugs that get through without it."""
    return {kind: [v.mutant.name for v in verdicts if v.caught_by == (kind,)] for kind in CHECKS}
