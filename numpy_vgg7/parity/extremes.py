"""Extreme values: large ones, NaN, infinities and subnormal numbers, in the definition and in the engine."""

import math
from collections.abc import Iterator

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.network import Activation, AvgPool2d, Flatten, Layer, Layers
from numpy_vgg7.parity.compare import judge
from numpy_vgg7.parity.engine_check import Definition, EngineCase, as_it_is_run
from numpy_vgg7.parity.kernel_alone import run_kernel_alone
from numpy_vgg7.parity.localise import Culprit
from numpy_vgg7.parity.tolerances import ULPS

Pair = tuple[Array, Array]

DTYPES = ("float32", "float64")
SIDE = 6  # of a square of numbers


def extreme_numbers(dtype: str) -> Array:
    """Subnormal numbers, where tanh and arctan saturate, what overflows squared, infinity, NaN."""
    info = np.finfo(dtype)
    sizes: list[float] = [
        float(info.smallest_subnormal),
        float(info.tiny) / 4,
        float(info.tiny),
        1e-8,
        0.5,
        3,
        6,
        9,
        12,
        30,
        100,
        1e4,
        1e10,
    ]
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


def kernels(layers: Layers) -> Iterator[Culprit]:
    """The engine's kernels of activations, pools and flatten against the definition.

    Numbers overflow on purpose: to be called where NumPy does not warn of it.
    """
    for layer in layers:
        if not isinstance(layer, Activation | AvgPool2d | Flatten):
            continue
        for dtype in DTYPES:
            numbers = np.ones(SIDE * SIDE, dtype)  # not zeros, which are checked elsewhere
            numbers[: len(extreme_numbers(dtype))] = extreme_numbers(dtype)
            x: Array = numbers.reshape(1, 1, SIDE, SIDE)
            if isinstance(layer, AvgPool2d):  # one number in each window
                windows = np.zeros((1, 1, 2 * SIDE, 2 * SIDE), dtype)
                windows[:, :, ::2, ::2] = x
                x = windows
            inputs = [x, x.reshape(SIDE, SIDE)] if isinstance(layer, Activation) else [x]
            for x in inputs:
                out = layer.forward({}, x)
                d_out = np.ones_like(out)
                expected = out, layer.backward({}, x, out, d_out)[0]
                found = run_kernel_alone(layer, {}, x, d_out)
                yield from _wrong(layer, x, (found.out, found.d_x), expected)


def _wrong(layer: Layer, x: Array, found: Pair, expected: Pair) -> Iterator[Culprit]:
    """Whether output and input gradient of a layer are as expected. A derivative at NaN may be anything."""
    known = ~np.isnan(x)
    if not close(found[0], expected[0]):
        yield Culprit(f"{layer.name} forward", layer.name, f"{layer.name} is wrong for extreme inputs")
    if not close(found[1][known], expected[1][known], np.finfo(x.dtype).eps):
        words = f"the input gradient of {layer.name} is wrong for extreme inputs"
        yield Culprit(f"{layer.name} backward", layer.name, words)


def close(found: Array, expected: Array, absolute: float = 0.0) -> bool:
    """Whether arrays are equal within ULPS units in the last place, or ULPS * `absolute`.

    NaN and infinities must be at the same places, subnormal numbers not zero.
    """
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return False
    info = np.finfo(expected.dtype)
    unit = np.maximum(info.eps * np.abs(expected), info.smallest_subnormal) + absolute
    equal = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(over="ignore", invalid="ignore"):
        near = np.isfinite(found) & np.isfinite(expected) & (np.abs(found - expected) <= ULPS * unit)
    return bool((equal | near).all())


def engine(engine_case: EngineCase) -> Iterator[Culprit]:
    """An image of NaN or infinities changes no other image of its batch, and nothing later.

    Nothing is found where the engine is wrong without it. To be called where NumPy does not warn of NaN.
    """
    case, broken = engine_case.case, len(engine_case.case.labels) // 2
    model = case.copy().model
    model.threads = engine_case.threads
    definition = Definition(model.layers, model.params)
    right = definition.loss_and_gradients(case.images, case.labels)[1]
    right |= {"logits": definition.logits(case.images)}
    others = np.arange(len(case.labels)) != broken

    def first_wrong() -> str | None:
        found = model.loss_and_gradients(case.images, case.labels)[1] | {"logits": model.logits(case.images)}
        return next((name for name in right if not judge(name, found[name], right[name]).passed), None)

    with as_it_is_run(engine_case):
        if first_wrong():
            return
        for value in (np.nan, np.inf):
            images = case.images.copy()
            images[broken] = value
            logits = model.forward(images)  # which, unlike `logits`, takes any numbers
            loss = model.forward_backward(images, case.labels).loss
            if not judge("logits", logits[others], right["logits"][others]).passed:
                yield Culprit("engine", "logits", f"an image of {value} changes the logits of other images")
            if np.isnan(value) and not (np.isnan(logits[broken]).all() and np.isnan(loss)):
                yield Culprit("engine", "logits", "the logits or the loss of an image of nan are numbers")
            name = first_wrong()
            if name:
                yield Culprit("engine", name, f"{name} is wrong after a batch with an image of {value}")
