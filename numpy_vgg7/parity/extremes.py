"""Extreme values: large ones, NaN, infinities and subnormal numbers, in the definition and in the engine.

The expected values of the activations are those of Python's `math` module.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.network import ACTIVATIONS, Activation, AvgPool2d, Flatten, Layer
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.engine_check import Definition, EngineCase, as_it_is_run
from numpy_vgg7.parity.kernel_alone import localise_nan, run_kernel_alone
from numpy_vgg7.parity.localise import Culprit
from numpy_vgg7.parity.tolerances import LANE64, ULPS

DTYPES = ("float32", "float64")
SQUARE = (1, 1, 8, 8)

# Each activation and its derivative for one number.
EXPECTED: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "relu": (lambda x: 0.0 if x <= 0 else x, lambda x: float(x > 0)),
    "tanh": (math.tanh, lambda x: 1 - math.tanh(x) ** 2),
    "arctan": (math.atan, lambda x: 1 / (1 + x * x)),
    "identity": (lambda x: x, lambda x: 1.0),
}


def extreme_numbers(dtype: str) -> Array:
    """Zeros, subnormal numbers, where tanh and arctan saturate, what overflows squared, infinity, NaN."""
    info = np.finfo(dtype)
    sizes = [0, info.smallest_subnormal, info.tiny / 4, info.tiny, 1e-8, 0.5, 3, 6, 9, 12, 30, 100, 1e4, 1e10]
    sizes += [math.sqrt(info.max) * 4, float(info.max) / 8, math.inf]
    return np.array([*sizes, *(-size for size in sizes), math.nan], dtype)


def softmax_of_large_logits(seed: int) -> Iterator[Culprit]:
    """Softmax and cross-entropy stay finite, sum to 1 and ignore a common shift."""
    rng = np.random.default_rng([seed, 4])
    for dtype in DTYPES:
        logits = rng.integers(-10_000, 10_000, (5, 7)).astype(dtype)
        labels = rng.integers(7, size=5)
        probs, loss = F.softmax(logits), F.cross_entropy(logits, labels)
        shifted = F.softmax(logits + 4096)
        sums_off = np.abs(probs.sum(axis=1) - 1).max() > ULPS * np.finfo(dtype).eps
        if probs.dtype != dtype or loss.dtype != dtype:
            words = f"{dtype} logits give {probs.dtype} probabilities and a {loss.dtype} loss"
            yield Culprit("loss forward", "probs", words)
        elif not np.isfinite(probs).all() or not np.isfinite(loss):
            yield Culprit("loss forward", "probs", "is not finite for large logits")
        elif sums_off:
            yield Culprit("loss forward", "probs", "has rows that do not sum to 1")
        elif not np.array_equal(probs, shifted):
            yield Culprit("loss forward", "probs", "changes when a constant is added to all logits")


def activations(layers: Iterator[Layer] | tuple[Layer, ...]) -> Iterator[Culprit]:
    """The definition's activations and their derivatives against those of the `math` module."""
    for layer in layers:
        if not isinstance(layer, Activation):
            continue
        value, slope = EXPECTED[layer.function]
        function = ACTIVATIONS[layer.function]
        for dtype in DTYPES:
            x = extreme_numbers(dtype)
            out = function.forward(x)
            expected = np.array([value(float(number)) for number in x]).astype(dtype)
            if not close(out, expected):
                yield Culprit(f"{layer.name} forward", layer.name, differences(layer.name, out, expected, x))
            x = x[~np.isnan(x)]
            d_x = function.backward(x, function.forward(x), np.ones_like(x))
            expected = np.array([slope(float(number)) for number in x]).astype(dtype)
            if not close(d_x, expected, np.finfo(dtype).eps):
                words = differences(f"the derivative of {layer.name}", d_x, expected, x)
                yield Culprit(f"{layer.name} backward", layer.name, words)


def kernels(layers: tuple[Layer, ...]) -> Iterator[Culprit]:
    """The engine's kernels of activations, pools and flatten against the definition."""
    for layer in layers:
        if not isinstance(layer, (Activation, AvgPool2d, Flatten)):
            continue
        for dtype in DTYPES:
            numbers = extreme_numbers(dtype)
            x = np.zeros(SQUARE, dtype)
            flat = x[:, :, ::2, ::2].reshape(-1) if isinstance(layer, AvgPool2d) else x.reshape(-1)
            for start in range(0, len(numbers), flat.size):
                some = numbers[start : start + flat.size]
                x[...] = 0
                if isinstance(layer, AvgPool2d):  # one number in each window
                    x[0, 0, ::2, ::2].flat[: len(some)] = some
                else:
                    x.flat[: len(some)] = some
                yield from _kernel(layer, x)


def _kernel(layer: Layer, x: Array) -> Iterator[Culprit]:
    out = layer.forward({}, x)
    d_out = np.ones_like(out)
    found = run_kernel_alone(layer, {}, x, d_out)
    if not close(found.out, out):
        yield Culprit(f"{layer.name} forward", layer.name, differences(layer.name, found.out, out, x))
    d_x, _ = layer.backward({}, x, out, d_out)
    known = ~np.isnan(x)  # the derivative where x is NaN is anything
    if not close(found.d_x[known], d_x[known], np.finfo(x.dtype).eps):
        words = f"the input gradient of {layer.name} is wrong for extreme inputs"
        yield Culprit(f"{layer.name} backward", layer.name, words)


def engine(engine_case: EngineCase) -> Iterator[Culprit]:
    """An image of NaN or infinities changes no other image of its batch, and nothing later."""
    case = engine_case.case
    model = case.copy().model
    model.threads = engine_case.threads
    definition = Definition(model.layers, model.params)
    logits, gradients = definition.logits(case.images), definition.loss_and_gradients(case.images, case.labels)[1]
    with as_it_is_run(engine_case):
        for value in (np.nan, np.inf):
            images = case.images.copy()
            images[len(images) // 2] = value
            others = np.arange(len(images)) != len(images) // 2
            found = model.logits(images)
            loss, _ = model.loss_and_gradients(images, case.labels)
            if not close(found[others], logits[others], LANE64):
                yield Culprit("engine", "logits", f"an image of {value} changes the logits of other images")
            if value is np.nan and not (np.isnan(found[~others]).all() and np.isnan(loss)):
                yield Culprit("engine", "logits", "the logits or the loss of an image of nan are numbers")
            if not close(model.logits(case.images), logits, LANE64):
                yield Culprit("engine", "logits", f"logits are wrong after a batch with {value}")
            after = model.loss_and_gradients(case.images, case.labels)[1]
            if not all(close(after[name], gradients[name], LANE64) for name in gradients):
                yield Culprit("engine", "gradients", f"gradients are wrong after a batch with {value}")
