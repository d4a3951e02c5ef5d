"""What is known of a row: ours beside its peers, and whether something else disturbed the measurement."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from numpy_vgg7.bench.measure import ROUNDS, Contender, Samples, measure, sgemm_peak
from numpy_vgg7.bench.rows import Row

OURS = "ours"
TORCH = ("eager", "channels_last", "compile")  # PyTorch in three forms
JAX = "jax"
PEERS = (*TORCH, JAX)

ATTEMPTS = 3  # to measure a row that is disturbed
# On an idle machine the best of a few SGEMMs is within some percent of the best of a run. Another process
# that computes all the time takes a quarter or more of it.
MIN_PEAK = 0.9
# The quartiles tell of work that comes and goes, which the best SGEMM misses. On an idle machine they are
# less than a tenth of the median apart, beside other work two tenths to more than the median.
MAX_SPREAD = 0.2


@dataclass(frozen=True)
class Measurement:
    """The times of a row by contender, and SGEMM's peak before and after it, in FLOP/s."""

    row: Row
    samples: Samples
    peaks: tuple[float, ...] = ()
    attempts: int = 1

    @property
    def spread(self) -> float:
        """The largest of any contender."""
        return max(sample.spread for sample in self.samples.values())

    def disturbed(self, peak: float) -> bool:
        """Whether times vary, or SGEMM was slower than elsewhere in the run, where it reached `peak`."""
        return self.spread > MAX_SPREAD or any(reached < MIN_PEAK * peak for reached in self.peaks)


@dataclass(frozen=True)
class Times(Measurement):
    """Ours beside the peers."""

    @property
    def ours(self) -> float:
        """Our milliseconds per step."""
        return self.samples[OURS].median

    @property
    def peers(self) -> dict[str, float]:
        """Milliseconds per step of the peers that ran."""
        return {name: sample.median for name, sample in self.samples.items() if name != OURS}

    @property
    def ratio_eager(self) -> float | None:
        """Eager PyTorch's time divided by ours."""
        return self.peers["eager"] / self.ours if "eager" in self.peers else None

    @property
    def ratio_best(self) -> float | None:
        """The best peer's time divided by ours."""
        return min(self.peers.values()) / self.ours if self.peers else None

    def peak_fraction(self, peak: float) -> float:
        """Our arithmetic per second as a fraction of `peak`, in FLOP/s."""
        return self.row.flops / (1e-3 * self.ours) / peak


def compare(
    row: Row, ours: Contender, peers: Mapping[str, Contender], threads: int, rounds: int = ROUNDS
) -> Times:
    """Time a row: ours and each peer in turn, `rounds` times, with `threads` threads each."""
    contenders = {OURS: ours, **peers}
    return Times(row, measure(row, {name: (make, threads) for name, make in contenders.items()}, rounds))


M = TypeVar("M", bound=Measurement)


@dataclass
class Watch:
    """Measures SGEMM's peak between rows, and repeats disturbed ones."""

    threads: int
    peaks: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peaks.append(sgemm_peak(self.threads))

    @property
    def peak(self) -> float:
        """The best so far, FLOP/s."""
        return max(self.peaks)

    def undisturbed(self, take: Callable[[], M]) -> M:
        """The first of at most ATTEMPTS measurements that was not disturbed, or else the last."""
        for attempt in range(1, ATTEMPTS + 1):
            found = take()
            self.peaks.append(sgemm_peak(self.threads))
            found = replace(found, peaks=tuple(self.peaks[-2:]), attempts=attempt)
            if not found.disturbed(self.peak):
                break
        return found
