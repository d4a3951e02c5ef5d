"""The batches of an epoch, prepared by another thread while the network trains."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from numpy_vgg7.data import Dataset
from numpy_vgg7.data.augmentation import AUGMENTATIONS, augment
from numpy_vgg7.functional import Array, Labels
from numpy_vgg7.training.config import TrainingConfig

AHEAD = 3  # batches that are prepared before they are needed
# Pixels in a batch that are worth another thread; fewer are prepared faster than they are handed over.
PIXELS = 10_000
SHUFFLE, AUGMENT = 0, 1  # independent random streams of an epoch

Batch = tuple[Array, Labels]


def count(images: int, config: TrainingConfig) -> int:
    """The number of batches in an epoch; the last one may be smaller."""
    return -(-images // config.batch_size)


def order(images: int, config: TrainingConfig, epoch: int, weights: Array | None = None) -> Labels:
    """The images of an epoch in their order, (images,).

    Each occurs once; with weights (images,), image i occurs images * weights[i] / sum(weights) times in the
    mean, and in each epoch that number rounded down or up (systematic sampling, Madow 1949).
    """
    rng = np.random.default_rng([config.seed, epoch, SHUFFLE])
    shuffled: Labels = rng.permutation(images)
    if weights is None:
        return shuffled
    # Weights are lengths of adjacent intervals; each point u, u + 1, u + 2, ... draws the image it falls on.
    ends = np.minimum(np.cumsum(weights[shuffled]) * (images / weights.sum()), images)
    ends[-1] = images
    times = np.diff(np.ceil(ends - rng.random()), prepend=0)
    drawn: Labels = rng.permutation(shuffled.repeat(times.astype(np.intp)))
    return drawn


def augmentation_rng(config: TrainingConfig, epoch: int) -> np.random.Generator:
    """The random numbers for the augmentation of an epoch."""
    return np.random.default_rng([config.seed, epoch, AUGMENT])


def draw(data: Dataset, config: TrainingConfig, epoch: int, dtype: str) -> Generator[Batch, None, None]:
    """Images (n, 1, H, W) of `dtype` and labels (n,) of every batch of an epoch, which is counted from 0.

    They depend on the data, the settings and the epoch only, not on the epochs before or on threads.
    """
    shuffled, rng = order(len(data), config, epoch, data.weights), augmentation_rng(config, epoch)

    def prepare(index: int) -> Batch:
        indices = shuffled[index * config.batch_size : (index + 1) * config.batch_size]
        x = data.batch(indices)
        if config.augment:
            x = augment(x, rng, AUGMENTATIONS[config.augmentation])
        return x.astype(dtype, copy=False), data.labels[indices]

    if config.batch_size * data.image_size**2 < PIXELS:
        yield from map(prepare, range(count(len(data), config)))
        return
    # One worker prepares them in order, since they share a stream of random numbers.
    worker = ThreadPoolExecutor(1)
    try:
        pending: deque[Future[Batch]] = deque()
        for index in range(count(len(data), config)):
            pending.append(worker.submit(prepare, index))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        for future in pending:
            yield future.result()
    finally:
        worker.shutdown(cancel_futures=True)
