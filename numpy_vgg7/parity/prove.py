"""Does the harness catch bugs? Apply each bug of the catalogue, and see which checks notice it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np

from numpy_vgg7.parity.checks import CHECKS, Finding, Referee, Suite
from numpy_vgg7.parity.localise import Culprit
from numpy_vgg7.parity.mutants import CATALOGUE, Mutant

CONTROL_SEEDS = 500


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


def examine(suite: Suite) -> dict[str, list[Finding]]:
    """Every check's findings, by kind. A check that raises has found something."""
    found = {}
    for kind, check in CHECKS.items():
        findings: list[Finding] = []
        try:
            findings.extend(check(suite))
        except Exception as error:
            findings.append(Finding(f"crash: {type(error).__name__}: {error}"))
        found[kind] = findings
    return found


def prove(referee: Referee, mutants: Sequence[Mutant] = CATALOGUE) -> Iterator[Verdict]:
    """Examine the product with each bug in it."""
    for mutant in mutants:
        with mutant.applied(), np.errstate(all="ignore"):  # a bug may well overflow
            found = examine(Suite(0, referee))
        caught_by = tuple(kind for kind, findings in found.items() if findings)
        culprits = [f.culprit for kind in caught_by for f in found[kind] if f.culprit]
        yield Verdict(mutant, caught_by, culprits[0] if culprits else None)


def control(referee: Referee, seeds: int) -> Iterator[list[str]]:
    """Examine the product as it is, a seed at a time; each list names what was found, and is empty."""
    for seed in range(seeds):
        found = examine(Suite(seed, referee))
        yield [f"seed {seed}, {kind}: {f.tensor}" for kind, findings in found.items() for f in findings]


def needed(verdicts: Sequence[Verdict]) -> dict[str, list[str]]:
    """For each kind of check, the bugs that get through without it."""
    return {kind: [v.mutant.name for v in verdicts if v.caught_by == (kind,)] for kind in CHECKS}
