"""Usual mistakes in the forward pass of a 3x3 convolution; rows of the dictionary in `mistakes.py`."""

from collections.abc import Callable

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.layer.trials import Trial

Formula = Callable[[Trial], Array]
SURROUND = ((0, 0), (0, 0), (1, 1), (1, 1))


def correlated(padded: Array, weight: Array, groups: int = 1) -> Array:
    """The sums over all windows that lie in `padded`."""
    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    blocks = zip(np.split(seen, groups, axis=1), np.split(weight, groups), strict=True)
    return np.concatenate(
        [np.einsum("ncijuv,ocuv->noij", part, kernel, optimize=True) for part, kernel in blocks], axis=1
    )


def output(t: Trial, weight: Array | None = None, padded: Array | None = None) -> Array:
    """The output with another weight or padding."""
    padded = np.pad(t.x, SURROUND) if padded is None else padded
    return correlated(padded, t.w if weight is None else weight, t.groups) + t.b[:, None, None]


def _plain(t: Trial) -> Array:
    """The output without the bias."""
    return F.conv2d(t.x, t.w, None, t.groups)


def _dilated(t: Trial) -> Array:
    """Taps that are two pixels apart."""
    wide = np.pad(t.x, ((0, 0), (0, 0), (2, 2), (2, 2)))
    seen = np.lib.stride_tricks.sliding_window_view(wide, (5, 5), axis=(2, 3))[..., ::2, ::2]
    blocks = zip(np.split(seen, t.groups, axis=1), np.split(t.w, t.groups), strict=True)
    out = [np.einsum("ncijuv,ocuv->noij", part, kernel, optimize=True) for part, kernel in blocks]
    return np.concatenate(out, axis=1) + t.b[:, None, None]


def _padded_by(mode: str) -> Formula:
    return lambda t: output(t, padded=np.pad(t.x, SURROUND, mode=mode))  # type: ignore[call-overload]


def one_tap(t: Trial, u: int, v: int) -> Array:
    """The weight with one tap, the others being zero."""
    weight = np.zeros_like(t.w)
    weight[:, :, u, v] = t.w[:, :, u, v]
    return weight


def _one_channel(t: Trial, channel: int) -> Array:
    weight = np.zeros_like(t.w)
    weight[:, channel] = t.w[:, channel]
    return weight


def inside(d_out: Array) -> Array:
    """d_out with its border set to zero."""
    kept = np.zeros_like(d_out)
    kept[:, :, 1:-1, 1:-1] = d_out[:, :, 1:-1, 1:-1]
    return kept


def transposed(weight: Array) -> Array:
    """The two axes of the kernel exchanged."""
    return weight.swapaxes(2, 3)


def moved(t: Trial, down: int, right: int) -> Array:
    """The input, padded on two sides only."""
    return np.pad(t.x, ((0, 0), (0, 0), (1 + down, 1 - down), (1 + right, 1 - right)))


def flipped_up_down(weight: Array) -> Array:
    """The rows of the kernel in reverse order."""
    return weight[:, :, ::-1]


def flipped_left_right(weight: Array) -> Array:
    """The columns of the kernel in reverse order."""
    return weight[..., ::-1]


def rotated(weight: Array) -> Array:
    """The kernel rotated by 180 degrees."""
    return weight[..., ::-1, ::-1]


def rows(kept: slice) -> Array:
    """1 in some rows of a kernel, else 0: (3, 3)."""
    mask = np.zeros((3, 3))
    mask[kept] = 1
    return mask


TABLES: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    ("conv2d", "out"): [
        (
            "the kernel is rotated by 180 degrees, as in a convolution in the strict sense; it should not be",
            lambda t: output(t, rotated(t.w)),
        ),
        ("the kernel is flipped top to bottom", lambda t: output(t, flipped_up_down(t.w))),
        ("the kernel is flipped left to right", lambda t: output(t, flipped_left_right(t.w))),
        ("the two axes of the kernel are exchanged", lambda t: output(t, transposed(t.w))),
        ("the in and out channels of the weight are exchanged", lambda t: output(t, t.w.swapaxes(0, 1))),
        (
            "the in and out channels of the weight are exchanged, then read in its old shape",
            lambda t: output(t, t.w.swapaxes(0, 1).reshape(t.w.shape)),
        ),
        (
            "divided by 9 before the bias is added: the mean over the taps instead of the sum",
            lambda t: _plain(t) / 9 + t.b[:, None, None],
        ),
        ("the bias is missing", _plain),
        ("the bias is subtracted instead of added", lambda t: _plain(t) - t.b[:, None, None]),
        ("the bias is added twice", lambda t: _plain(t) + 2 * t.b[:, None, None]),
        ("the bias is added once per tap, nine times", lambda t: _plain(t) + 9 * t.b[:, None, None]),
        (
            "the bias is added once per input channel",
            lambda t: _plain(t) + t.w.shape[1] * t.b[:, None, None],
        ),
        ("the bias is added along the last axis instead of the channels", lambda t: _plain(t) + t.b),
        ("the padding reflects the image instead of being zero", _padded_by("reflect")),
        ("the padding repeats the edge instead of being zero (edge or symmetric)", _padded_by("edge")),
        ("the padding wraps around instead of being zero", _padded_by("wrap")),
        (
            "the padding is 1 instead of 0",
            lambda t: output(t, padded=np.pad(t.x, SURROUND, constant_values=1)),
        ),
        ("there is no padding: only windows inside the image (valid)", lambda t: output(t, padded=t.x)),
        (
            "the padding is 2 on each side instead of 1 (full)",
            lambda t: output(t, padded=np.pad(t.x, ((0, 0), (0, 0), (2, 2), (2, 2)))),
        ),
        (
            "the border is left at zero: only windows inside the image are computed",
            lambda t: np.pad(output(t, padded=t.x), SURROUND),
        ),
        (
            "the border is left at the bias: only windows inside the image are computed",
            lambda t: inside(_plain(t)) + t.b[:, None, None],
        ),
        (
            "all padding is at the top and left: shifted by one pixel",
            lambda t: output(t, padded=moved(t, 1, 1)),
        ),
        (
            "all padding is at the bottom and right: shifted by one pixel",
            lambda t: output(t, padded=moved(t, -1, -1)),
        ),
        ("the stride is 2 instead of 1", lambda t: output(t)[:, :, ::2, ::2]),
        (
            "of the last input channel only: = for += over the channels",
            lambda t: output(t, _one_channel(t, -1)),
        ),
        ("of the first input channel only", lambda t: output(t, _one_channel(t, 0))),
        ("of the last tap only: = for += over the taps", lambda t: output(t, one_tap(t, 2, 2))),
        ("the last tap is skipped", lambda t: output(t, t.w - one_tap(t, 2, 2))),
        ("the first tap is skipped", lambda t: output(t, t.w - one_tap(t, 0, 0))),
        ("of the middle tap only", lambda t: output(t, one_tap(t, 1, 1))),
        ("the taps of the first row are skipped", lambda t: output(t, t.w * rows(slice(1, 3)))),
        ("the taps of the first column are skipped", lambda t: output(t, t.w * rows(slice(1, 3)).T)),
        ("the input channels are in reverse order", lambda t: output(t, t.w[:, ::-1])),
        (
            "divided by the number of input channels before the bias is added",
            lambda t: _plain(t) / t.w.shape[1] + t.b[:, None, None],
        ),
        (
            "divided by 9 times the number of input channels before the bias is added",
            lambda t: _plain(t) / t.w[0].size + t.b[:, None, None],
        ),
        ("the dilation is 2 instead of 1", _dilated),
        ("the taps of the last row are skipped", lambda t: output(t, t.w * rows(slice(0, 2)))),
        ("the taps of the last column are skipped", lambda t: output(t, t.w * rows(slice(0, 2)).T)),
        ("a ReLU is applied before the bias is added", lambda t: F.relu(_plain(t)) + t.b[:, None, None]),
        ("a ReLU is applied to the output", lambda t: F.relu(output(t))),
    ],
}

FITTED: dict[tuple[str, str], list[tuple[str, Formula, Formula]]] = {
    ("conv2d", "out"): [
        ("the bias is added {c} times", _plain, lambda t: np.broadcast_to(t.b[:, None, None], t.d_out.shape)),
    ],
}
