"""Our side: a row of the benchmark, ready to run."""

from collections.abc import Iterator
from contextlib import contextmanager

from numpy_vgg7.bench.measure import Turn
from numpy_vgg7.bench.rows import INFERENCE, RATES, Row
from numpy_vgg7.model import VGG7


@contextmanager
def ready(row: Row, threads: int) -> Iterator[Turn]:
    """A function that takes the steps of a row. The threads are the engine's; the BLAS has one in each."""
    model = VGG7(row.config, threads=threads)
    batches = row.batches()
    if row.mode == INFERENCE:
        yield lambda: [model.forward(images) for images, _ in batches]
    else:
        velocity = RATES.init(model.params)
        yield lambda: [model.train_step(images, labels, RATES, velocity) for images, labels in batches]
