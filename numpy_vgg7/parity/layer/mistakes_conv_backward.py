"""Usual mistakes in the backward pass of a 3x3 convolution; rows of the dictionary in `mistakes.py`."""

from collections.abc import Callable

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array
from numpy_vgg7.parity.layer.mistakes_conv import (
    SURROUND,
    correlated,
    flipped_left_right,
    flipped_up_down,
    inside,
    moved,
    one_tap,
    output,
    rotated,
    rows,
    transposed,
)
from numpy_vgg7.parity.layer.trials import Trial

Formula = Callable[[Trial], Array]


def _whole(t: Trial, weight: Array | None = None, d_out: Array | None = None) -> Array:
    """The gradient of the padded input, (N, C, H+2, W+2)."""
    d_out = t.d_out if d_out is None else d_out
    kernel = F.rotated_and_exchanged(t.w if weight is None else weight, t.groups)
    return correlated(np.pad(d_out, ((0, 0), (0, 0), (2, 2), (2, 2))), kernel, t.groups)


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


def _at(t: Trial, samples: slice) -> Array:
    """d_out at the last pixel only."""
    kept = np.zeros_like(t.d_out)
    kept[samples, :, -1, -1] = t.d_out[samples, :, -1, -1]
    return kept


def _last_tap(gradient: Array) -> Array:
    kept = np.zeros_like(gradient)
    kept[..., 2, 2] = gradient[..., 2, 2]
    return kept


TABLES: dict[tuple[str, str], list[tuple[str, Formula]]] = {
    ("conv2d", "x"): [
        (
            "the kernel is not rotated by 180 degrees",
            lambda t: _d_x(t, rotated(t.w)),
        ),
        (
            "the kernel is flipped left to right only, not top to bottom",
            lambda t: _d_x(t, flipped_up_down(t.w)),
        ),
        (
            "the kernel is flipped top to bottom only, not left to right",
            lambda t: _d_x(t, flipped_left_right(t.w)),
        ),
        ("the two axes of the kernel are exchanged", lambda t: _d_x(t, transposed(t.w))),
        (
            "the two axes of the kernel are exchanged instead of being rotated",
            lambda t: _d_x(t, rotated(transposed(t.w))),
        ),
        (
            "the in and out channels of the weight are not exchanged",
            lambda t: correlated(np.pad(t.d_out, SURROUND), rotated(t.w), t.groups),
        ),
        (
            "the in and out channels of the weight are not exchanged: it is only read in another shape",
            lambda t: correlated(
                np.pad(t.d_out, SURROUND),
                rotated(t.w).reshape(-1, len(t.w) // t.groups, 3, 3),
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
            lambda t: correlated(np.pad(t.d_out, SURROUND), t.w, t.groups),
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
        ("of the last tap only: = for += over the taps", lambda t: _d_x(t, one_tap(t, 2, 2))),
        ("of the last tap only: = for += over the taps", lambda t: _d_x(t, one_tap(t, 0, 0))),
        ("of the middle tap only", lambda t: _d_x(t, one_tap(t, 1, 1))),
        ("the last tap is skipped", lambda t: _d_x(t, t.w - one_tap(t, 2, 2))),
        ("the first tap is skipped", lambda t: _d_x(t, t.w - one_tap(t, 0, 0))),
        ("the taps of the first row are skipped", lambda t: _d_x(t, t.w * rows(slice(1, 3)))),
        ("the taps of the first column are skipped", lambda t: _d_x(t, t.w * rows(slice(1, 3)).T)),
        ("zero at the border of the image", lambda t: inside(_d_x(t))),
        ("the taps of the last row are skipped", lambda t: _d_x(t, t.w * rows(slice(0, 2)))),
        ("the taps of the last column are skipped", lambda t: _d_x(t, t.w * rows(slice(0, 2)).T)),
        ("not cropped to the image: it has the size of the padded input", _whole),
        *(
            (f"cropped from the padded gradient at ({top}, {left}) instead of (1, 1)", _cropped(top, left))
            for top, left in np.ndindex(3, 3)
            if (top, left) != (1, 1)
        ),
        (
            "only windows inside the image are used: d_out is not padded",
            lambda t: correlated(t.d_out, F.rotated_and_exchanged(t.w, t.groups), t.groups),
        ),
        (
            "the upstream gradient at the border is ignored",
            lambda t: _d_x(t, d_out=inside(t.d_out)),
        ),
        *(
            (
                words,
                lambda t, mode=mode: correlated(
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
        ("the two axes of the kernel are exchanged", lambda t: transposed(_d_w(t))),
        ("in and out channels are exchanged", lambda t: _d_w(t).swapaxes(0, 1)),
        (
            "computed without the padding of x: the border of d_out is ignored",
            lambda t: _d_w(t, d_out=inside(t.d_out)),
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
            lambda t: _d_w(t, padded=moved(t, 1, 1)),
        ),
        (
            "x is padded at the bottom and right only: shifted by one pixel",
            lambda t: _d_w(t, padded=moved(t, -1, -1)),
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
            lambda t: _d_w(t, padded=np.pad(output(t), SURROUND)),
        ),
        (
            "x has no effect: 1 is used in its place",
            lambda t: _d_w(t, padded=np.pad(np.ones_like(t.x), SURROUND)),
        ),
        ("the last tap is skipped", lambda t: _d_w(t) - _last_tap(_d_w(t))),
    ],
    ("conv2d", "bias"): [
        (
            "of the last pixel of each image only: = for += over the pixels",
            lambda t: t.d_out[:, :, -1, -1].sum(0),
        ),
        ("of the first pixel of each image only", lambda t: t.d_out[:, :, 0, 0].sum(0)),
        (
            "of the last row of each image only: = for += over the rows",
            lambda t: t.d_out[:, :, -1].sum((0, 2)),
        ),
        (
            "of the pixels inside the image only: without the border",
            lambda t: t.d_out[:, :, 1:-1, 1:-1].sum((0, 2, 3)),
        ),
    ],
}

FITTED: dict[tuple[str, str], list[tuple[str, Formula, Formula]]] = {
    ("conv2d", "x"): [
        (
            "the weight was updated before: {c} times its gradient is added to it",
            _d_x,
            lambda t: _d_x(t, _d_w(t)),
        )
    ],
    ("conv2d", "weight"): [("{c} times the weight is added, as for weight decay", _d_w, lambda t: t.w)],
}
