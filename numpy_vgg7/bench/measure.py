"""How time is measured: all contenders in turn, in one process, and the median of each."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from statistics import median
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from numpy_vgg7.bench.rows import Row

ROUNDS = 20
WARM_UP = 2  # rounds
# Seconds of steps before the one that is timed. After a rest, a core takes some milliseconds to be quick
# again, and the threads of whoever had the turn before spin a while, waiting for more work.
RUN_UP = 0.1

PEERS = ("eager", "channels_last", "compile")  # PyTorch in three forms

Turn = Callable[[], object]
# Makes a row ready for a number of threads; None where it cannot run here.
Contender = Callable[[Row, int], AbstractContextManager[Turn | None]]


@dataclass(frozen=True)
class Times:
    """Milliseconds a step, medians; a peer that did not run has none."""

    row: Row
    ours: float
    peers: dict[str, float]

    @property
    def ratio_eager(self) -> float | None:
        """Eager PyTorch's time in units of ours."""
        return self.peers["eager"] / self.ours if "eager" in self.peers else None

    @property
    def ratio_best(self) -> float | None:
        """The best peer's time in units of ours."""
        return min(self.peers.values()) / self.ours if self.peers else None

    def peak_fraction(self, peak: float) -> float:
        """Our arithmetic a second as a share of `peak`, in FLOP/s."""
        return self.row.flops / (1e-3 * self.ours) / peak


def compare(
    row: Row, ours: Contender, peers: Mapping[str, Contender], threads: int, rounds: int = ROUNDS
) -> Times:
    """Time a row: ours and each peer in turn, `rounds` times, with `threads` threads each."""
    with ExitStack() as stack:
        made = {name: stack.enter_context(make(row, threads)) for name, make in {"": ours, **peers}.items()}
        seconds = in_turn({name: turn for name, turn in made.items() if turn}, rounds)
    times = {name: 1e3 * value / row.steps for name, value in seconds.items()}
    return Times(row, times.pop(""), times)


def in_turn(turns: Mapping[str, Turn], rounds: int) -> dict[str, float]:
    """Median seconds of each. A turn is a run-up, and then one that is timed."""
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    for _ in range(WARM_UP + rounds):
        for name, turn in turns.items():
            came = perf_counter()
            while perf_counter() < came + RUN_UP:
                turn()
            began = perf_counter()
            turn()
            seconds[name].append(perf_counter() - began)
    return {name: median(values[WARM_UP:]) for name, values in seconds.items()}


def sgemm_peak(threads: int, size: int = 2048, rounds: int = 10) -> float:
    """FLOP/s of the best of some float32 products of square matrices: what the BLAS can do here."""
    left, right = np.random.default_rng(0).random((2, size, size), "float32")
    out = np.empty_like(left)
    seconds = []
    with threadpool_limits(threads, user_api="blas"):
        for _ in range(rounds):
            began = perf_counter()
            np.matmul(left, right, out=out)
            seconds.append(perf_counter() - began)
    return 2 * size**3 / min(seconds)
