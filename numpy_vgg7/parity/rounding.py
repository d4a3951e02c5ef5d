"""The float32 lane: how much do both implementations round, measured against float64?

It finds no wrong formula, those are found in float64, but arithmetic that is carried out badly.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import Conv2d, Layer, Linear, layer_params
from numpy_vgg7.nn.activations import ReLU
from numpy_vgg7.parity.case import STEPS, Case, product_trace
from numpy_vgg7.parity.tolerances import LANE32, SUM_RULE

UNIT = 2.0**-24  # half the distance of 1 to the next float32


class Rounding(NamedTuple):
    """One tensor in float32: root mean square errors against float64, relative to the tensor's own."""

    name: str
    ours: float
    peers: float

    @property
    def ratio(self) -> float:
        """Our error in units of the peer's, or of one unit in the last place where that is more."""
        return self.ours / max(self.peers, 2 * UNIT)

    @property
    def passed(self) -> bool:
        """Whether the ratio is within bounds; NaN is not."""
        return self.ratio <= LANE32


def rounding_errors(case: Case, referee: Callable[[Case], Arrays]) -> list[Rounding]:
    """Errors of the product's and the referee's float32 traces, each against its own float64 trace.

    So a wrong formula, which is wrong in both widths, leaves no trace here: that is the other lane's.
    `case` is of dtype float32. Left out are tensors that the referee has exactly (inputs, initial
    parameters), and parameters after several steps, where a ReLU that flips early decides.
    """
    case = without_flips(case, referee)
    wide = case.astype("float64")
    ours, exact = product_trace(case), product_trace(wide)
    peers, peers_exact = referee(case), referee(wide)
    return [
        Rounding(name, _error(ours[name], exact[name]), _error(peers[name], peers_exact[name]))
        for name in peers_exact
        if not name.endswith(f".step{STEPS[-1]}")
        and exact[name].any()
        and not np.array_equal(peers[name], peers_exact[name])
    ]


def without_flips(case: Case, referee: Callable[[Case], Arrays]) -> Case:
    """The case without the images in which rounding moves a ReLU's input across zero.

    There, float32 follows another branch than float64: the whole gradient of that pixel comes or goes,
    in whichever implementation the flip happens to fall, and no rounding can be measured.
    """
    traces = (product_trace(case), referee(case))
    exact = product_trace(case.astype("float64"))
    names = ["input", *(layer.name for layer in case.model.layers)]
    kept = np.ones(len(case.labels), dtype=bool)
    for before, layer in zip(names, case.model.layers, strict=False):
        if isinstance(layer, ReLU):
            for trace in traces:
                same = (trace[before] > 0) == (exact[before] > 0)
                kept &= same.reshape(len(kept), -1).all(axis=1)
    if not kept.any():
        return case
    return replace(case, images=case.images[kept], labels=case.labels[kept])


def bounds_used(layers: list[Layer], params: Arrays, exact: Arrays) -> dict[str, float]:
    """Share of the rounding bound of each sum that a float32 layer uses, worst element, by tensor.

    Each convolution and linear layer alone, in float32, on the float64 trace rounded to float32; the
    bound is 6 sqrt(n) u sum|a_i b_i| with n the number of terms.
    """
    used = {}
    before = "input"
    for layer in layers:
        if isinstance(layer, (Conv2d, Linear)):
            x, d_out = (exact[name].astype(np.float32) for name in (before, f"{layer.name}.grad"))
            own = {key: value.astype(np.float32) for key, value in layer_params(layer, params).items()}
            found = _outputs(layer, own, x, d_out)
            wide = [value.astype(np.float64) for value in (x, d_out)]
            truth = _outputs(layer, {k: v.astype(np.float64) for k, v in own.items()}, *wide)
            sizes = _outputs(layer, {k: np.abs(v) for k, v in own.items()}, *(np.abs(v) for v in wide))
            terms = _terms(layer, x, d_out)
            for key, value in found.items():
                bound = SUM_RULE * np.sqrt(terms[key]) * UNIT * sizes[key]
                error = np.abs(value - truth[key])
                share = np.divide(error, bound, out=np.zeros_like(error), where=bound > 0)
                used[f"{before}.grad" if key == "d_x" else f"{layer.name}{key}"] = float(share.max())
        before = layer.name
    return used


def _outputs(layer: Conv2d | Linear, params: Arrays, x: Array, d_out: Array) -> Arrays:
    out, cache = layer.forward(params, x)
    d_x, gradients = layer.backward(params, cache, d_out)
    return {"": out, "d_x": d_x} | {f".{key}.grad": value for key, value in gradients.items()}


def _terms(layer: Conv2d | Linear, x: Array, d_out: Array) -> dict[str, int]:
    """How many products each kind of sum has."""
    positions = d_out.size // d_out.shape[1]
    forward_terms = int(np.prod(layer.shapes()["weight"][1:])) + 1
    backward_terms = layer.shapes()["weight"][0] * (9 if isinstance(layer, Conv2d) else 1)
    return {"": forward_terms, "d_x": backward_terms, ".weight.grad": positions, ".bias.grad": positions}


def _error(found: Array, exact: Array) -> float:
    difference = found.astype(np.float64) - exact
    return float(np.sqrt((difference**2).mean() / (exact**2).mean()))
