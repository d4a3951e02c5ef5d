"""How is a tensor wrong? Try the usual signatures and say in words which one fits."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import numpy as np

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import Activation, Layer

FITS = 1e-9  # of the largest element: a signature fits or it doesn't, float64 leaves nothing between
MOST_CHANNELS = 6  # up to which all permutations are tried


@dataclass(frozen=True)
class Context:
    """The layer that computed a tensor and what it was given, as far as there is one."""

    layer: Layer | None
    batch: int
    x: Array | None = None
    d_out: Array | None = None
    params: Arrays = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The layer's class, or the function of an activation."""
        return self.layer.function if isinstance(self.layer, Activation) else type(self.layer).__name__


def diagnose(suspect: Array, truth: Array, context: Context) -> str:
    """What `suspect` is, in terms of the `truth` that it should be; continues "conv4.weight.grad ..."."""
    if suspect.shape != truth.shape:
        return f"has shape {suspect.shape} instead of {truth.shape}"
    if suspect.dtype != truth.dtype:
        return f"has dtype {suspect.dtype} instead of {truth.dtype}"
    if not np.isfinite(suspect).all():
        return f"is not finite in {int((~np.isfinite(suspect)).sum())} of {suspect.size} elements"
    if not suspect.any():
        return "is zero everywhere"
    if np.abs(suspect - truth).max() <= 1e-3 * np.abs(truth).max():
        for dtype in ("float16", "float32"):
            if np.array_equal(suspect.astype(dtype).astype(suspect.dtype), suspect):
                return f"went through {dtype}"
    if context.layer is None and context.x is not None:
        moved = _moves(suspect, truth, context.x)
        if moved:
            return moved
    for words, expected in (*_factors(suspect, truth, context), *_arrangements(truth), *_mistakes(context)):
        if expected.shape == suspect.shape and _same(suspect, expected):
            return words
    if _first_sample_only(suspect, context):
        return "comes from the first sample of the batch only"
    return _where(suspect, truth)


def _same(a: Array, b: Array) -> bool:
    return bool(np.abs(a - b).max() <= FITS * np.abs(b).max())


def _moves(suspect: Array, truth: Array, start: Array) -> str:
    """How an updated parameter moved from its start, in terms of the step that it should have made."""
    step, right = suspect - start, truth - start
    if not step.any():
        return "did not move"
    factor = float((step * right).sum() / (right * right).sum()) if right.any() else 0.0
    # Steps are small differences of large numbers: they fit less sharply than the tensors themselves.
    if factor and np.abs(step - factor * right).max() <= 1e-6 * np.abs(factor * right).max():
        return f"moved by {factor:.6g} times the right step"
    return ""


def _factors(suspect: Array, truth: Array, context: Context) -> Iterator[tuple[str, Array]]:
    """The truth times one number, with the reason where the number tells."""
    norm = float((truth * truth).sum())
    if not norm:
        return
    factor = float((suspect * truth).sum()) / norm
    pooling = context.kind == "AvgPool2d"
    n = context.batch
    positions = n * int(np.prod(context.d_out.shape[2:])) if context.d_out is not None else n
    reasons = {
        -1.0: "the sign is flipped",
        4.0: "the factor 1/4 of the average pool is missing" if pooling else "a factor 1/4 is missing",
        0.25: "a factor 1/4 too many",
        9.0: "a factor 1/(k*k) is missing",
        1 / 9: "a factor 1/(k*k) too many",
        float(n): "the factor 1/N is missing: a sum over the batch instead of the mean",
        1 / positions: "a mean over batch and space instead of the sum",
        n / positions: "a mean over space instead of the sum",
        1 / n: "the factor 1/N stands twice: a mean over the batch instead of the sum",
    }
    reason = next((text for value, text in reasons.items() if abs(factor - value) < 1e-9 * abs(value)), "")
    yield (
        f"is exactly {factor:.6g} times what it should be" + (f": {reason}" if reason else ""),
        factor * truth,
    )


def _arrangements(truth: Array) -> Iterator[tuple[str, Array]]:
    """The truth with its elements in other places."""
    if truth.ndim == 2:
        yield "is transposed", truth.T
        yield "is transposed and read in the wrong order", truth.T.reshape(truth.shape)
    if truth.ndim != 4:
        return
    yield "is rotated by 180 degrees in space", truth[..., ::-1, ::-1]
    yield "has its two spatial axes exchanged", truth.swapaxes(2, 3)
    yield "is flipped top to bottom", truth[:, :, ::-1]
    yield "is flipped left to right", truth[..., ::-1]
    yield "has its in and out channels exchanged", truth.swapaxes(0, 1)
    for axis, direction in ((2, "row"), (3, "column")):
        for step in (-1, 1):
            shifted = np.roll(truth, step, axis)
            edge: list[Any] = [slice(None)] * 4
            edge[axis] = 0 if step == 1 else -1
            shifted[tuple(edge)] = 0
            yield f"is shifted by one {direction}", shifted
    channels = truth.shape[1]
    if 1 < channels <= MOST_CHANNELS:
        for order in permutations(range(channels)):
            if order != tuple(range(channels)):
                yield f"has its channels in the order {list(order)}", truth[:, order]


def _mistakes(context: Context) -> Iterator[tuple[str, Array]]:
    """What usual wrong formulas give, computed here without the product's own code."""
    d_out, params = context.d_out, context.params
    kind = context.kind
    if d_out is None or context.layer is None:
        return
    if kind == "AvgPool2d":
        quarter = d_out / 4
        first = np.zeros((*d_out.shape[:2], 2 * d_out.shape[2], 2 * d_out.shape[3]))
        first[:, :, ::2, ::2] = d_out
        yield "goes to the top left pixel of each window only", first
        yield "goes to the top left pixel of each window only, times 1/4", first / 4
        yield "is tiled instead of repeated", np.tile(quarter, (1, 1, 2, 2))
    if kind == "Conv2d" and getattr(context.layer, "groups", 1) == 1:
        weight = params["weight"]
        yield "was made with the kernel not rotated", _spread(weight[..., ::-1, ::-1], d_out)
        if weight.shape[0] == weight.shape[1]:
            exchanged = weight.swapaxes(0, 1)
            yield "was made with in and out channels not exchanged", _spread(exchanged, d_out)
    if kind == "Linear" and params["weight"].shape[0] == params["weight"].shape[1]:
        yield "was made with the weight not transposed", d_out @ params["weight"].T
    x = context.x
    if kind in ("relu", "tanh", "arctan") and x is not None:
        yield "lacks the derivative of the activation", d_out
        slopes = {
            "relu": (
                ("1 where x is exactly 0", x >= 0),
                ("0 where d_out is negative", (x > 0) & (d_out > 0)),
            ),
            "tanh": (("1 - x^2, x being the input instead of the output", 1 - x * x),),
            "arctan": (
                ("1 / (1 + y^2), y being the output instead of the input", 1 / (1 + np.arctan(x) ** 2)),
            ),
        }
        for words, slope in slopes[kind]:
            yield f"has the derivative of the activation as {words}", d_out * slope


def _spread(weight: Array, d_out: Array) -> Array:
    """d_x of a 3x3 convolution as nine shifted sums: an output reaches back to all that it saw."""
    n, _, height, width = d_out.shape
    d_x = np.zeros((n, weight.shape[1], height + 2, width + 2))
    for u in range(3):
        for v in range(3):
            tap = np.einsum("oc,nohw->nchw", weight[:, :, u, v], d_out)
            d_x[:, :, u : u + height, v : v + width] += tap
    return d_x[:, :, 1:-1, 1:-1]


def _first_sample_only(suspect: Array, context: Context) -> bool:
    """Whether a parameter's gradient is that of the first sample alone."""
    layer, x, d_out = context.layer, context.x, context.d_out
    if layer is None or x is None or d_out is None or context.batch == 1 or not layer.shapes():
        return False
    first = x[:1].copy()
    out = layer.forward(context.params, first)
    _, gradients = layer.backward(context.params, first, out, d_out[:1].copy())
    return any(g.shape == suspect.shape and _same(suspect, g) for g in gradients.values())


def _where(suspect: Array, truth: Array) -> str:
    """No signature fits: say how much is wrong, and where if that is telling."""
    wrong = np.abs(suspect - truth) > FITS * np.abs(truth).max()
    if suspect.ndim == 4 and suspect.shape[2] > 3 and not wrong[:, :, 1:-1, 1:-1].any():
        return "is wrong at the border only"
    for axis, word in enumerate(("row", "column") if suspect.ndim == 2 else ("entry",) * suspect.ndim):
        places = np.flatnonzero(wrong.any(axis=tuple(i for i in range(suspect.ndim) if i != axis)))
        if len(places) == 1 and suspect.shape[axis] > 1:
            return f"is wrong in {word} {int(places[0])} of axis {axis} only"
    return f"is wrong in {int(wrong.sum())} of {suspect.size} elements, by no usual pattern"
