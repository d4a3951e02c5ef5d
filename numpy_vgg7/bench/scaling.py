"""How much faster a row is with more threads."""

from collections.abc import Sequence
from dataclasses import dataclass

from numpy_vgg7.bench.measure import ROUNDS, Contender, measure
from numpy_vgg7.bench.rows import Row
from numpy_vgg7.bench.times import Measurement


@dataclass(frozen=True)
class Scaling:
    """The rows with each number of threads. The samples of a row are named by the number."""

    counts: list[int]
    rows: list[Measurement]
    peak: float  # of SGEMM with as many threads as there are cores, FLOP/s


def thread_counts(cores: int) -> list[int]:
    """1, 2, 4, ... and the number of cores; each number would take too long where there are many."""
    return [*(2**power for power in range((cores - 1).bit_length())), cores]


def scale(row: Row, ours: Contender, counts: Sequence[int], rounds: int = ROUNDS) -> Measurement:
    """A row with each number of threads, in turn."""
    return Measurement(row, measure(row, {str(count): (ours, count) for count in counts}, rounds))
