"""JAX's side of the benchmark: a row ready to run."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import jax
import jax.numpy as jnp

from jax_ref.model import Params, logits, loss
from numpy_vgg7.bench.measure import Turn
from numpy_vgg7.bench.rows import INFERENCE, RATES, Row
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import parameter_groups

Batches = list[tuple[jax.Array, jax.Array]]
Step = Callable[[Params, jax.Array, jax.Array], tuple[Params, jax.Array]]


@contextmanager
def ready(row: Row, threads: int) -> Iterator[Turn]:
    """A function that takes the steps of a row, compiled. Only before JAX first computes in a process."""
    os.environ["NPROC"] = str(threads)  # XLA reads it once; without it, it has a thread per processor
    jax.config.update("jax_platforms", "cpu")
    params = {name: jnp.asarray(array) for name, array in VGG7(row.config).params.items()}
    batches = [(jnp.asarray(images), jnp.asarray(labels)) for images, labels in row.batches()]
    turn = _inference if row.mode == INFERENCE else _training
    yield turn(row.config, params, batches)


def _inference(config: VGG7Config, params: Params, batches: Batches) -> Turn:
    forward = jax.jit(partial(logits, config))
    return lambda: jax.block_until_ready([forward(params, images) for images, _ in batches])


def _training(config: VGG7Config, params: Params, batches: Batches) -> Turn:
    step = jax.jit(sgd_step(config), donate_argnums=0)  # the new parameters take the place of the old ones

    def turn() -> None:
        nonlocal params
        for images, labels in batches:
            params, _ = step(params, images, labels)
        jax.block_until_ready(params)

    return turn


def sgd_step(config: VGG7Config) -> Step:
    """A plain step with the benchmark's learning rates: parameters, images, labels -> parameters, loss."""
    rates = RATES.learning_rates(parameter_groups(config.layers()))

    def step(params: Params, images: jax.Array, labels: jax.Array) -> tuple[Params, jax.Array]:
        value, gradients = jax.value_and_grad(partial(loss, config))(params, images, labels)
        return {name: params[name] - lr * gradients[name] for name, lr in rates.items()}, value

    return step
