"""How time is measured: every contender in a process of its own, in turn, and the median of each.

In one process they would share more than the machine: the memory allocator learns from what others do (eager
PyTorch takes a third less time beside a compiled one), and threads that spin while they wait for work
slow down the next contender.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import perf_counter

import numpy as np
from threadpoolctl import threadpool_limits

from numpy_vgg7.bench.rows import Row
from numpy_vgg7.errors import BenchError

ROUNDS = 20
WARM_UP = 2  # rounds
# Seconds of steps before the one that is timed. An idle core needs some milliseconds to reach its full
# clock rate, and a training never idles.
RUN_UP = 0.1

Turn = Callable[[], object]
Clock = Callable[[], float]  # takes a turn, and tells its seconds
# Makes a row ready for a number of threads; None where it cannot run here. To be sent to a process.
Contender = Callable[[Row, int], AbstractContextManager[Turn | None]]


@dataclass(frozen=True)
class Sample:
    """Milliseconds per step of one contender over the rounds."""

    median: float
    spread: float = 0.0  # distance between the quartiles, relative to the median

    @classmethod
    def of(cls, milliseconds: list[float]) -> "Sample":
        """Of the time in each round."""
        low, middle, high = np.percentile(milliseconds, (25, 50, 75)).tolist()
        return cls(middle, (high - low) / middle)


Samples = dict[str, Sample]  # by contender; one that cannot run here is missing


def measure(row: Row, contenders: Mapping[str, tuple[Contender, int]], rounds: int = ROUNDS) -> Samples:
    """Time a row: each contender, with its number of threads, in turn, `rounds` times."""
    with ExitStack() as stack:
        made = {
            name: stack.enter_context(apart(make, row, threads))
            for name, (make, threads) in contenders.items()
        }
        seconds = in_turn({name: clock for name, clock in made.items() if clock}, rounds)
    return {
        name: Sample.of([1e3 * value / row.steps for value in values]) for name, values in seconds.items()
    }


def in_turn(clocks: Mapping[str, Clock], rounds: int) -> dict[str, list[float]]:
    """The seconds of each in each round."""
    seconds: dict[str, list[float]] = {name: [] for name in clocks}
    for _ in range(WARM_UP + rounds):
        for name, clock in clocks.items():
            seconds[name].append(clock())
    return {name: values[WARM_UP:] for name, values in seconds.items()}


@contextmanager
def apart(make: Contender, row: Row, threads: int) -> Iterator[Clock | None]:
    """A contender in a process of its own, waiting for its turns."""
    spawn = get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(there, make, row, threads), daemon=True)
    process.start()
    there.close()

    def clock() -> float:
        here.send(None)
        return float(here.recv())

    try:
        try:
            able = here.recv()
        except EOFError as error:
            raise BenchError(
                f"{row.case}, {row.mode}", expected="a process to be measured",
                found="one that ended; see its output above", fix="fix the cause, or leave the case out",
            ) from error  # fmt: skip
        yield clock if able else None
    finally:
        here.close()
        process.join()


def _serve(connection: Connection, make: Contender, row: Row, threads: int) -> None:
    """Take a turn whenever the other end asks for one, until it hangs up."""
    with make(row, threads) as turn:
        connection.send(turn is not None)
        while turn:
            try:
                connection.recv()
            except EOFError:
                return
            connection.send(timed(turn))


def timed(turn: Turn) -> float:
    """Seconds of a turn after a run-up."""
    came = perf_counter()
    while perf_counter() < came + RUN_UP:
        turn()
    began = perf_counter()
    turn()
    return perf_counter() - began


def sgemm_peak(threads: int, size: int = 2048, rounds: int = 5) -> float:
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
