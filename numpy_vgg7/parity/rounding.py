"""The float32 check: how much do the implementations round?

It finds no wrong formula, which float64 finds, but arithmetic that is carried out badly. `rounding_errors`
compares the errors of a whole trace with PyTorch's, `bounds_used` those of each kernel with the theory of its
algorithm (see `bounds.py`).
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import Activation, Layers, layer_params
from numpy_vgg7.parity.bounds import UNIT, Operands, definition, rounding_bounds
from numpy_vgg7.parity.case import STEPS, Case, product_trace
from numpy_vgg7.parity.kernel_alone import run_kernel_alone
from numpy_vgg7.parity.tolerances import LANE32


class Rounding(NamedTuple):
    """One tensor in float32: root mean square errors against float64, relative to the tensor's own."""

    name: str
    ours: float
    peers: float

    @property
    def ratio(self) -> float:
        """Our error divided by the peer's, or by one unit in the last place if that is larger."""
        return self.ours / max(self.peers, 2 * UNIT)

    @property
    def passed(self) -> bool:
        """Whether the ratio is within bounds; NaN is not."""
        return self.ratio <= LANE32


def rounding_errors(case: Case, referee: Callable[[Case], Arrays]) -> list[Rounding]:
    """Errors of the product's and the reference's float32 traces, each against its own float64 trace.

    So a wrong formula, which is wrong in both dtypes, does not show here. `case` is of dtype float32,
    `referee` computes the reference trace of a case. Left out are tensors that the reference has exactly
    (inputs, initial parameters), and parameters after several steps, where a ReLU that flips early decides.
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

    There, float32 follows another branch than float64: the whole gradient of that pixel appears or
    disappears, in whichever implementation the flip happens to be, and no rounding can be measured.
    """
    traces = (product_trace(case), referee(case))
    exact = product_trace(case.astype("float64"))
    names = ["input", *(layer.name for layer in case.model.layers)]
    kept = np.ones(len(case.labels), dtype=bool)
    for before, layer in zip(names, case.model.layers, strict=False):
        if isinstance(layer, Activation) and layer.function == "relu":
            for trace in traces:
                same = (trace[before] > 0) == (exact[before] > 0)
                kept &= same.reshape(len(kept), -1).all(axis=1)
    if not kept.any():
        return case
    return replace(case, images=case.images[kept], labels=case.labels[kept])


def _error(found: Array, exact: Array) -> float:
    difference = found.astype(np.float64) - exact
    return float(np.sqrt((difference**2).mean() / (exact**2).mean()))


def bounds_used(layers: Layers, params: Arrays, exact: Arrays) -> dict[str, float]:
    """The share of its rounding bound that the worst element of each tensor uses; 1.0 is all of it.

    Each kernel of the engine runs alone, in float32, on the trace `exact` rounded to float32. What is correct
    comes from the definition, in float64, for the same numbers. Where nothing is rounded the bound is 0, and
    the share 0 or infinite. Tensors without a bound are left out: outputs and input gradients of tanh and
    arctan, probabilities and loss.
    """
    shares = {}
    before = "input"
    for layer in layers:
        rounded = Operands(layer_params(layer, params), exact[before], exact[f"{layer.name}.grad"])
        given = rounded.astype("float32").astype("float64")
        bounds = rounding_bounds(layer, given)
        if bounds:
            correct = definition(layer, given)
            out, d_x, gradients = run_kernel_alone(layer, *given.astype("float32"))
            found = {"": out, "d_x": d_x} | {f".{key}.grad": value for key, value in gradients.items()}
            for key, value in found.items():
                name = f"{before}.grad" if key == "d_x" else f"{layer.name}{key}"
                shares[name] = largest_share(np.abs(value - correct[key]), bounds[key])
        before = layer.name
    return shares


def largest_share(error: Array, bound: Array) -> float:
    """The largest error / bound, where 0 / 0 is 0. NaN if there is a NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where(error == 0, 0, error / bound).max())
