"""Usual mistakes in pooling and linear layers; rows of the dictionary in `mistakes.py`."""

from collections.abc import Callable

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.layer.trials import Trial

Formula = Callable[[Trial], Array]


def _corners(x: Array) -> Array:
    """The four pixels of each window, in the last axis: (N, C, H/2, W/2, 4)."""
    n, c, height, width = x.shape
    split = x.reshape(n, c, height // 2, 2, width // 2, 2)
    return split.transpose(0, 1, 2, 4, 3, 5).reshape(n, c, height // 2, width // 2, 4)


def _spread(corners: Array) -> Array:
    """The inverse of `_corners`."""
    n, c, height, width, _ = corners.shape
    split = corners.reshape(n, c, height, width, 2, 2).transpose(0, 1, 2, 4, 3, 5)
    return split.reshape(n, c, 2 * height, 2 * width)


def _to_corner(corner: int, factor: float) -> Formula:
    return lambda t: _spread(t.d_out[..., None] * (np.arange(4) == corner) * factor)


def _to_largest(factor: float) -> Formula:
    def formula(t: Trial) -> Array:
        corners = _corners(t.x)
        return _spread(t.d_out[..., None] * (corners == corners.max(axis=-1, keepdims=True)) * factor)

    return formula


def _repeated(d_out: Array) -> Array:
    return d_out.repeat(2, axis=2).repeat(2, axis=3)


def _stride_one(x: Array) -> Array:
    return (x[:, :, :-1, :-1] + x[:, :, :-1, 1:] + x[:, :, 1:, :-1] + x[:, :, 1:, 1:]) / 4


def _halves(x: Array) -> Array:
    """A reshape to (N, C, 2, H/2, 2, W/2): it averages pixels that are half an image apart."""
    n, c, height, width = x.shape
    return x.reshape(n, c, 2, height // 2, 2, width // 2).mean(axis=(2, 4))


NAMES = ("top left", "top right", "bottom left", "bottom right")

POOL: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    ("avg_pool2d", "out"): [
        (
            "the maximum of each window: max pooling instead of average pooling",
            lambda t: _corners(t.x).max(-1),
        ),
        ("the minimum of each window instead of its mean", lambda t: _corners(t.x).min(-1)),
        ("the median of each window instead of its mean", lambda t: np.median(_corners(t.x), axis=-1)),
        *(
            (f"the {name} pixel of each window instead of the mean", lambda t, k=k: _corners(t.x)[..., k])
            for k, name in enumerate(NAMES)
        ),
        (
            "the mean of the two upper pixels of each window only",
            lambda t: _corners(t.x)[..., :2].mean(-1),
        ),
        ("the mean of the two left pixels of each window only", lambda t: _corners(t.x)[..., ::2].mean(-1)),
        ("the stride is 1 instead of 2: the windows overlap", lambda t: _stride_one(t.x)),
        (
            "the stride is 1 instead of 2: only the upper left quarter of the image is used",
            lambda t: _stride_one(t.x)[:, :, : t.x.shape[2] // 2, : t.x.shape[3] // 2],
        ),
        ("averaged over rows only", lambda t: (t.x[:, :, ::2] + t.x[:, :, 1::2]) / 2),
        ("averaged over columns only", lambda t: (t.x[..., ::2] + t.x[..., 1::2]) / 2),
        (
            "the mean of pixels that are half an image apart: the reshape must be to (N, C, H/2, 2, W/2, 2)",
            lambda t: _halves(t.x),
        ),
        ("the root of the mean square of each window", lambda t: np.sqrt((_corners(t.x) ** 2).mean(-1))),
        ("the mean of the whole image", lambda t: t.x.mean(axis=(2, 3))),
        ("the mean of the whole image", lambda t: t.x.mean(axis=(2, 3), keepdims=True)),
        ("a ReLU is applied", lambda t: F.relu(F.avg_pool2d(t.x))),
    ],
    ("avg_pool2d", "x"): [
        *(
            (f"goes to the {name} pixel of each window only", _to_corner(k, 1.0))
            for k, name in enumerate(NAMES)
        ),
        *(
            (f"goes to the {name} pixel of each window only, times 1/4", _to_corner(k, 0.25))
            for k, name in enumerate(NAMES)
        ),
        ("goes to the largest pixel of each window, as for max pooling", _to_largest(1.0)),
        ("goes to the largest pixel of each window, times 1/4", _to_largest(0.25)),
        ("tiled instead of repeated", lambda t: np.tile(t.d_out / 4, (1, 1, 2, 2))),
        (
            "tiled instead of repeated, and the factor 1/4 is missing",
            lambda t: np.tile(t.d_out, (1, 1, 2, 2)),
        ),
        ("not spread to the pixels: d_out / 4 in its own shape", lambda t: t.d_out / 4),
        ("not spread to the pixels: d_out itself", lambda t: t.d_out),
        (
            "repeated four times in a row instead of twice along each axis",
            lambda t: t.d_out.repeat(4).reshape(t.x.shape) / 4,
        ),
        (
            "repeated four times in a row instead of twice along each axis, and the factor 1/4 is missing",
            lambda t: t.d_out.repeat(4).reshape(t.x.shape),
        ),
        (
            "repeated along the rows and tiled along the columns",
            lambda t: np.tile(t.d_out.repeat(2, axis=2), (1, 1, 1, 2)) / 4,
        ),
        (
            "tiled along the rows and repeated along the columns",
            lambda t: np.tile(t.d_out.repeat(2, axis=3), (1, 1, 2, 1)) / 4,
        ),
        ("multiplied by x", lambda t: _repeated(t.d_out) / 4 * t.x),
    ],
}

LINEAR: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    ("linear", "out"): [
        ("the bias is missing", lambda t: t.x @ t.w.T),
        ("the bias is subtracted instead of added", lambda t: t.x @ t.w.T - t.b),
        ("the bias is added twice", lambda t: t.x @ t.w.T + 2 * t.b),
        (
            "the weight is not transposed: x @ w instead of x @ w.T; if yours is (in, out), pass one that is "
            "not square",
            lambda t: t.x @ t.w + t.b,
        ),
        ("elementwise product instead of a matrix product", lambda t: t.x * t.w + t.b),
        ("the bias is added to x before the product", lambda t: (t.x + t.b) @ t.w.T),
        ("a ReLU is applied to the output", lambda t: F.relu(F.linear(t.x, t.w, t.b))),
        ("a tanh is applied to the output", lambda t: np.tanh(F.linear(t.x, t.w, t.b))),
        (
            "of the last input only: = for += over the inputs",
            lambda t: t.x[:, -1:] * t.w[:, -1] + t.b,
        ),
        ("the last input is skipped", lambda t: t.x[:, :-1] @ t.w[:, :-1].T + t.b),
    ],
    ("linear", "x"): [
        ("the weight is transposed: d_out @ w.T instead of d_out @ w", lambda t: t.d_out @ t.w.T),
        ("elementwise product instead of a matrix product", lambda t: t.d_out * t.w),
        (
            "of the last output only: = for += over the outputs",
            lambda t: t.d_out[:, -1:] * t.w[-1],
        ),
        ("of the first output only", lambda t: t.d_out[:, :1] * t.w[0]),
        ("multiplied by x", lambda t: t.d_out @ t.w * t.x),
        (
            "summed over the batch",
            lambda t: np.broadcast_to((t.d_out @ t.w).sum(axis=0), t.x.shape),
        ),
        ("d_out is used unchanged, without the weight", lambda t: t.d_out),
    ],
    ("linear", "weight"): [
        ("elementwise product instead of a matrix product", lambda t: t.d_out * t.x),
        (
            "the product of the sums over the batch instead of the sum of the products",
            lambda t: np.outer(t.d_out.sum(axis=0), t.x.sum(axis=0)),
        ),
        (
            "the product of the means over the batch instead of the sum of the products",
            lambda t: np.outer(t.d_out.mean(axis=0), t.x.mean(axis=0)),
        ),
        (
            "the output is used in place of the input x",
            lambda t: t.d_out.T @ F.linear(t.x, t.w, t.b),
        ),
        ("multiplied by the weight", lambda t: t.d_out.T @ t.x * t.w),
        (
            "x has no effect: 1 is used in its place",
            lambda t: np.broadcast_to(t.d_out.sum(axis=0)[:, None], t.w.shape),
        ),
    ],
}


TABLES: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    **POOL,
    **LINEAR,
}

FITTED: dict[tuple[str, str], list[tuple[str, Formula, Formula]]] = {
    ("linear", "x"): [
        (
            "the weight was updated before: {c} times its gradient is added to it",
            lambda t: t.d_out @ t.w,
            lambda t: t.d_out @ (t.d_out.T @ t.x),
        )
    ],
    ("linear", "weight"): [
        ("{c} times the weight is added, as for weight decay", lambda t: t.d_out.T @ t.x, lambda t: t.w)
    ],
    ("linear", "out"): [
        (
            "the bias is added {c} times",
            lambda t: t.x @ t.w.T,
            lambda t: np.broadcast_to(t.b, t.d_out.shape),
        )
    ],
}
