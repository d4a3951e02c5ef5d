"""How the time of a training step grows with the batch and with the channels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from numpy_vgg7.bench.measure import Contender
from numpy_vgg7.bench.rows import USUAL, Row
from numpy_vgg7.bench.times import Times, compare

BATCH_SIZES = (1, 4, 16, 64, 256, 1024)
FACTORS = (1, 2, 4)  # of all channels
ROUNDS = 5  # a curve of nine points says where it is wrong; a row of the table doesn't

BATCH_SIZE, CHANNELS = "batch_size", "channels"


@dataclass(frozen=True)
class Point:
    """A size along one of the two axes, and the times there."""

    axis: str
    size: int
    times: Times


def plan() -> list[tuple[str, int, Row]]:
    """Axis, size and row of every point."""
    batches = [(BATCH_SIZE, size, replace(USUAL, batch_size=size)) for size in BATCH_SIZES]
    return batches + [(CHANNELS, factor, _widened(factor)) for factor in FACTORS]


def grow(
    ours: Contender, peers: Mapping[str, Contender], threads: int, rounds: int = ROUNDS
) -> Iterator[Point]:
    """Measure the points one by one."""
    for axis, size, row in plan():
        yield Point(axis, size, compare(row, ours, peers, threads, rounds))


def _widened(factor: int) -> Row:
    first, second, third, fourth = USUAL.config.channels
    channels = (factor * first, factor * second, factor * third, factor * fourth)
    return replace(USUAL, config=replace(USUAL.config, channels=channels))
