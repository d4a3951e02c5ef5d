"""Usual mistakes in a 3x3 convolution; rows of the dictionary in `mistakes.py`."""

from collections.abc import Callable

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.layer.trials import Trial

Formula = Callable[[Trial], Array]
SURROUND = ((0, 0), (0, 0), (1, 1), (1, 1))


def _correlated(padded: Array, weight: Array, groups: int = 1) -> Array:
    """The sums over all windows that lie in `padded`."""
    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    blocks = zip(np.split(seen, groups, axis=1), np.split(weight, groups), strict=True)
    return np.concatenate(
        [np.einsum("ncijuv,ocuv->noij", part, kernel, optimize=True) for part, kernel in blocks], axis=1
    )


def _out(t: Trial, weight: Array | None = None, padded: Array | None = None) -> Array:
    padded = np.pad(t.x, SURROUND) if padded is None else padded
    return _correlated(padded, t.w if weight is None else weight, t.groups) + t.b[:, None, None]


def _plain(t: Trial) -> Array:
    """The output without the bias."""
    return F.conv2d(t.x, t.w, None, t.groups)


def _padded_by(mode: str) -> Formula:
    return lambda t: _out(t, padded=np.pad(t.x, SURROUND, mode=mode))  # type: ignore[call-overload]


def _one_tap(t: Trial, u: int, v: int) -> Array:
    """The weight with one tap, the others being zero."""
    weight = np.zeros_like(t.w)
    weight[:, :, u, v] = t.w[:, :, u, v]
    return weight


def _one_channel(t: Trial, channel: int) -> Array:
    weight = np.zeros_like(t.w)
    weight[:, channel] = t.w[:, channel]
    return weight


def _transposed(weight: Array) -> Array:
    """The two axes of the kernel exchanged."""
    return weight.swapaxes(2, 3)


def _whole(t: Trial, weight: Array | None = None, d_out: Array | None = None) -> Array:
    """The gradient of the padded input, (N, C, H+2, W+2)."""
    d_out = t.d_out if d_out is None else d_out
    kernel = F.rotated_and_exchanged(t.w if weight is None else weight, t.groups)
    return _correlated(np.pad(d_out, ((0, 0), (0, 0), (2, 2), (2, 2))), kernel, t.groups)


def _d_x(t: Trial, weight: Array | None = None, d_out: Array | None = None) -> Array:
    return _whole(t, weight, d_out)[:, :, 1:-1, 1:-1]


def _cropped(top: int, left: int) -> Formula:
    def formula(t: Trial) -> Array:
        height, width = t.x.shape[2:]
        return _whole(t)[:, :, top : top + height, left : left + width]

    return formula


def _assigned_by_window(t: Trial, outputs: slice = slice(None)) -> Array:
    """`=` for `+=` in a loop over windows: each pixel keeps what its last window wrote."""
    n, _, height, width = t.d_out.shape
    d_padded = np.zeros((n, t.x.shape[1], height + 2, width + 2))
    for i in range(height):
        for j in range(width):
            d_padded[:, :, i : i + 3, j : j + 3] = np.einsum(
                "no,ocuv->ncuv", t.d_out[:, outputs, i, j], _ungrouped(t)[outputs]
            )
    return d_padded[:, :, 1:-1, 1:-1]


def _assigned_by_tap(t: Trial) -> Array:
    """`=` for `+=` in a loop over the nine taps."""
    n, _, height, width = t.d_out.shape
    d_padded = np.zeros((n, t.x.shape[1], height + 2, width + 2))
    for u, v in np.ndindex(3, 3):
        d_padded[:, :, u : u + height, v : v + width] = np.einsum(
            "nohw,oc->nchw", t.d_out, _ungrouped(t)[:, :, u, v]
        )
    return d_padded[:, :, 1:-1, 1:-1]


def _ungrouped(t: Trial) -> Array:
    """The weight of one group that does the same, (O, C, 3, 3)."""
    weight = np.zeros((len(t.w), t.x.shape[1], 3, 3))
    inputs, outputs = t.w.shape[1], len(t.w) // t.groups
    for k in range(t.groups):
        rows = slice(k * outputs, (k + 1) * outputs)
        weight[rows, k * inputs : (k + 1) * inputs] = t.w[rows]
    return weight


def _one_output(t: Trial, index: int) -> Array:
    d_out = np.zeros_like(t.d_out)
    d_out[:, index] = t.d_out[:, index]
    return d_out


def _d_w(t: Trial, padded: Array | None = None, d_out: Array | None = None) -> Array:
    """The weight's gradient from other padding or another upstream gradient."""
    padded = np.pad(t.x, SURROUND) if padded is None else padded
    d_out = t.d_out if d_out is None else d_out
    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    blocks = zip(np.split(seen, t.groups, axis=1), np.split(d_out, t.groups, axis=1), strict=True)
    return np.concatenate([np.einsum("ncijuv,noij->ocuv", a, d, optimize=True) for a, d in blocks])


def _inside(d_out: Array) -> Array:
    """d_out with its border set to zero."""
    kept = np.zeros_like(d_out)
    kept[:, :, 1:-1, 1:-1] = d_out[:, :, 1:-1, 1:-1]
    return kept


def _at(t: Trial, samples: slice) -> Array:
    """d_out at the last pixel only."""
    kept = np.zeros_like(t.d_out)
    kept[samples, :, -1, -1] = t.d_out[samples, :, -1, -1]
    return kept


def _moved(t: Trial, down: int, right: int) -> Array:
    """The input, padded on two sides only."""
    return np.pad(t.x, ((0, 0), (0, 0), (1 + down, 1 - down), (1 + right, 1 - right)))


def _flipped_up_down(weight: Array) -> Array:
    return weight[:, :, ::-1]


def _flipped_left_right(weight: Array) -> Array:
    return weight[..., ::-1]


def _rotated(weight: Array) -> Array:
    return weight[..., ::-1, ::-1]


TABLES: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    ("conv2d", "out"): [
        (
            "the kernel is rotated by 180 degrees, as in a convolution in the strict sense; it should not be",
            lambda t: _out(t, _rotated(t.w)),
        ),
        ("the kernel is flipped top to bottom", lambda t: _out(t, _flipped_up_down(t.w))),
        ("the kernel is flipped left to right", lambda t: _out(t, _flipped_left_right(t.w))),
        ("the two axes of the kernel are exchanged", lambda t: _out(t, _transposed(t.w))),
        ("the in and out channels of the weight are exchanged", lambda t: _out(t, t.w.swapaxes(0, 1))),
        (
            "the in and out channels of the weight are exchanged, then read in its old shape",
            lambda t: _out(t, t.w.swapaxes(0, 1).reshape(t.w.shape)),
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
            lambda t: _out(t, padded=np.pad(t.x, SURROUND, constant_values=1)),
        ),
        ("there is no padding: only windows inside the image (valid)", lambda t: _out(t, padded=t.x)),
        (
            "the padding is 2 on each side instead of 1 (full)",
            lambda t: _out(t, padded=np.pad(t.x, ((0, 0), (0, 0), (2, 2), (2, 2)))),
        ),
        (
            "the border is left at zero: only windows inside the image are computed",
            lambda t: np.pad(_out(t, padded=t.x), SURROUND),
        ),
        (
            "the border is left at the bias: only windows inside the image are computed",
            lambda t: _inside(_plain(t)) + t.b[:, None, None],
        ),
        (
            "all padding is at the top and left: shifted by one pixel",
            lambda t: _out(t, padded=_moved(t, 1, 1)),
        ),
        (
            "all padding is at the bottom and right: shifted by one pixel",
            lambda t: _out(t, padded=_moved(t, -1, -1)),
        ),
        ("the stride is 2 instead of 1", lambda t: _out(t)[:, :, ::2, ::2]),
        (
            "of the last input channel only: = for += over the channels",
            lambda t: _out(t, _one_channel(t, -1)),
        ),
        ("of the first input channel only", lambda t: _out(t, _one_channel(t, 0))),
        ("of the last tap only: = for += over the taps", lambda t: _out(t, _one_tap(t, 2, 2))),
        ("the last tap is skipped", lambda t: _out(t, t.w - _one_tap(t, 2, 2))),
        ("the first tap is skipped", lambda t: _out(t, t.w - _one_tap(t, 0, 0))),
        ("the taps of the last row are skipped", lambda t: _out(t, t.w * _rows(slice(0, 2)))),
        ("the taps of the last column are skipped", lambda t: _out(t, t.w * _rows(slice(0, 2)).T)),
        ("a ReLU is applied before the bias is added", lambda t: F.relu(_plain(t)) + t.b[:, None, None]),
        ("a ReLU is applied to the output", lambda t: F.relu(_out(t))),
    ],
    ("conv2d", "x"): [
        (
            "the kernel is not rotated by 180 degrees",
            lambda t: _d_x(t, _rotated(t.w)),
        ),
        (
            "the kernel is flipped left to right only, not top to bottom",
            lambda t: _d_x(t, _flipped_up_down(t.w)),
        ),
        (
            "the kernel is flipped top to bottom only, not left to right",
            lambda t: _d_x(t, _flipped_left_right(t.w)),
        ),
        ("the two axes of the kernel are exchanged", lambda t: _d_x(t, _transposed(t.w))),
        (
            "the two axes of the kernel are exchanged instead of being rotated",
            lambda t: _d_x(t, _rotated(_transposed(t.w))),
        ),
        (
            "the in and out channels of the weight are not exchanged",
            lambda t: _correlated(np.pad(t.d_out, SURROUND), _rotated(t.w), t.groups),
        ),
        (
            "the in and out channels of the weight are not exchanged: it is only read in another shape",
            lambda t: _correlated(
                np.pad(t.d_out, SURROUND),
                _rotated(t.w).reshape(-1, len(t.w) // t.groups, 3, 3),
                t.groups,
            ),
        ),
        (
            "the in and out channels of the weight are not exchanged: its first two axes are swapped, then "
            "read in the old shape",
            lambda t: _d_x(t, t.w.swapaxes(0, 1).reshape(t.w.shape)),
        ),
        (
            "the kernel is neither rotated, nor its in and out channels exchanged",
            lambda t: _correlated(np.pad(t.d_out, SURROUND), t.w, t.groups),
        ),
        ("overlapping windows are assigned, not added: = for += in a loop over windows", _assigned_by_window),
        (
            "overlapping windows are assigned, not added: = for += in a loop over windows and "
            "output channels",
            lambda t: _assigned_by_window(t, slice(-1, None)),
        ),
        ("overlapping windows are assigned, not added: = for += in a loop over taps", _assigned_by_tap),
        (
            "of the last output channel only: = for += over the channels",
            lambda t: _d_x(t, d_out=_one_output(t, -1)),
        ),
        ("of the first output channel only", lambda t: _d_x(t, d_out=_one_output(t, 0))),
        ("of the last tap only: = for += over the taps", lambda t: _d_x(t, _one_tap(t, 2, 2))),
        ("of the last tap only: = for += over the taps", lambda t: _d_x(t, _one_tap(t, 0, 0))),
        ("of the middle tap only", lambda t: _d_x(t, _one_tap(t, 1, 1))),
        ("the last tap is skipped", lambda t: _d_x(t, t.w - _one_tap(t, 2, 2))),
        ("the first tap is skipped", lambda t: _d_x(t, t.w - _one_tap(t, 0, 0))),
        ("the taps of the last row are skipped", lambda t: _d_x(t, t.w * _rows(slice(0, 2)))),
        ("the taps of the last column are skipped", lambda t: _d_x(t, t.w * _rows(slice(0, 2)).T)),
        ("not cropped to the image: it has the size of the padded input", _whole),
        *(
            (f"cropped from the padded gradient at ({top}, {left}) instead of (1, 1)", _cropped(top, left))
            for top, left in np.ndindex(3, 3)
            if (top, left) != (1, 1)
        ),
        (
            "only windows inside the image are used: d_out is not padded",
            lambda t: _correlated(t.d_out, F.rotated_and_exchanged(t.w, t.groups), t.groups),
        ),
        (
            "the upstream gradient at the border is ignored",
            lambda t: _d_x(t, d_out=_inside(t.d_out)),
        ),
        *(
            (
                words,
                lambda t, mode=mode: _correlated(
                    np.pad(t.d_out, SURROUND, mode=mode), F.rotated_and_exchanged(t.w, t.groups), t.groups
                ),
            )
            for words, mode in (
                ("the padding of d_out reflects instead of being zero", "reflect"),
                ("the padding of d_out repeats the edge instead of being zero", "edge"),
                ("the padding of d_out wraps around instead of being zero", "wrap"),
            )
        ),
        ("d_out is rotated by 180 degrees, too", lambda t: _d_x(t, d_out=t.d_out[..., ::-1, ::-1])),
    ],
    ("conv2d", "weight"): [
        ("the two axes of the kernel are exchanged", lambda t: _transposed(_d_w(t))),
        ("in and out channels are exchanged", lambda t: _d_w(t).swapaxes(0, 1)),
        (
            "computed without the padding of x: the border of d_out is ignored",
            lambda t: _d_w(t, d_out=_inside(t.d_out)),
        ),
        *(
            (words, lambda t, mode=mode: _d_w(t, padded=np.pad(t.x, SURROUND, mode=mode)))
            for words, mode in (
                ("the padding of x reflects instead of being zero", "reflect"),
                ("the padding of x repeats the edge instead of being zero", "edge"),
                ("the padding of x wraps around instead of being zero", "wrap"),
            )
        ),
        (
            "x is padded at the top and left only: shifted by one pixel",
            lambda t: _d_w(t, padded=_moved(t, 1, 1)),
        ),
        (
            "x is padded at the bottom and right only: shifted by one pixel",
            lambda t: _d_w(t, padded=_moved(t, -1, -1)),
        ),
        (
            "of the last window only: = for += in a loop over windows",
            lambda t: _d_w(t, d_out=_at(t, slice(None))),
        ),
        (
            "of the last window of the last sample only: = for +=",
            lambda t: _d_w(t, d_out=_at(t, slice(-1, None))),
        ),
        ("x is rotated by 180 degrees", lambda t: _d_w(t, padded=np.pad(t.x, SURROUND)[..., ::-1, ::-1])),
        ("d_out is rotated by 180 degrees", lambda t: _d_w(t, d_out=t.d_out[..., ::-1, ::-1])),
        (
            "the output is used in place of the input x",
            lambda t: _d_w(t, padded=np.pad(_out(t), SURROUND)),
        ),
        ("the last tap is skipped", lambda t: _d_w(t) - _last_tap(_d_w(t))),
    ],
    ("conv2d", "bias"): [],
}

FITTED: dict[tuple[str, str], list[tuple[str, Formula, Formula]]] = {
    ("conv2d", "x"): [
        (
            "the weight was updated before: {c} times its gradient is added to it",
            _d_x,
            lambda t: _d_x(t, _d_w(t)),
        )
    ],
    ("conv2d", "out"): [
        ("the bias is added {c} times", _plain, lambda t: np.broadcast_to(t.b[:, None, None], t.d_out.shape)),
    ],
    ("conv2d", "weight"): [("{c} times the weight is added, as for weight decay", _d_w, lambda t: t.w)],
}


def _rows(kept: slice) -> Array:
    mask = np.zeros((3, 3))
    mask[kept] = 1
    return mask


def _last_tap(gradient: Array) -> Array:
    kept = np.zeros_like(gradient)
    kept[..., 2, 2] = gradient[..., 2, 2]
    return kept
