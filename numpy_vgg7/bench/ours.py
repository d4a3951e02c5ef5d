"""Our side: a row of the benchmark, ready to run."""

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

from numpy_vgg7.bench.measure import Turn
from numpy_vgg7.bench.rows import INFERENCE, RATES, Row
from numpy_vgg7.nn.parallel import LEAST
from numpy_vgg7.vgg7 import VGG7


def blas_threads(row: Row, threads: int) -> int:
    """Threads for the BLAS. A small batch is not shared out, so it gets them; else the engine needs them."""
    return threads if row.batch_size <= LEAST else 1


@contextmanager
def ready(row: Row, threads: int) -> Iterator[Turn]:
    """A function that takes the steps of a row, with the threads given to whom they serve best."""
    model = VGG7(row.config, threads=threads)
    batches = row.batches()
    with threadpool_limits(blas_threads(row, threads), user_api="blas"):
        if row.mode == INFERENCE:
            yield lambda: [model.forward(images) for images, _ in batches]
        else:
            velocity = RATES.init(model.params)
            yield lambda: [model.descend(images, labels, RATES, velocity) for images, labels in batches]
