"""Which kernel of the engine is wrong? Run each one alone on the tensors of a trace."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from numpy_vgg7 import network
from numpy_vgg7.engine.executor import as_nchw
from numpy_vgg7.engine.gemm import FactoredGradient
from numpy_vgg7.engine.kernels import Data, Linear, kernel_of
from numpy_vgg7.engine.layout import FeatureMaps, Scratch
from numpy_vgg7.engine.memory import Arena
from numpy_vgg7.engine.plan import Plan
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.network import Layer, Layers, layer_params
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.diagnose import Context
from numpy_vgg7.parity.localise import Culprit, Local, disagreements, params_in


class KernelResults(NamedTuple):
    """What the kernel of one layer computes. `gradients` are those of its parameters, by key."""

    out: Array
    d_x: Array
    gradients: Arrays


def localise_kernels(layers: Layers, trace: Arrays) -> list[Culprit]:
    """All kernels that disagree with a trace, in the order of computation. `trace` is complete, float64."""
    return disagreements(run_kernels_alone(layers, trace), trace)


def localise_nan(case: Case) -> list[Culprit]:
    """The kernels whose output is NaN where that of the definition isn't, or the other way round.

    One pixel of the first image is NaN.
    """
    images = case.images.copy()
    images[0, 0, 0, 0] = np.nan
    culprits = []
    for layer, x, out in network.forward(case.model.layers, case.model.params, images):
        params = layer_params(layer, case.model.params)
        found = run_kernel_alone(layer, params, x, np.zeros_like(out)).out
        if not np.array_equal(np.isnan(found), np.isnan(out)):
            words = (
                f"{layer.name} is NaN in {np.isnan(found).sum()} elements instead of {np.isnan(out).sum()}"
            )
            culprits.append(Culprit(f"{layer.name} forward", layer.name, words))
    return culprits


def run_kernels_alone(layers: Layers, trace: Arrays) -> Iterator[Local]:
    """The results of every layer's kernel from the inputs in the trace: forward, then backward."""
    steps = list(zip(pairwise(["input", *(layer.name for layer in layers)]), layers, strict=True))
    results = {
        name: run_kernel_alone(layer, params_in(trace, layer), trace[before], trace[f"{name}.grad"])
        for (before, name), layer in steps
    }
    batch = len(trace["input"])
    for (before, name), layer in steps:
        yield Local(f"{name} forward", name, results[name].out, Context(layer, batch, x=trace[before]))
    for (before, name), layer in reversed(steps):
        context = Context(layer, batch, trace[before], trace[f"{name}.grad"], params_in(trace, layer))
        for key, gradient in results[name].gradients.items():
            yield Local(f"{name} backward", f"{name}.{key}.grad", gradient, context)
        yield Local(f"{name} backward", f"{before}.grad", results[name].d_x, context)


def run_kernel_alone(layer: Layer, params: Arrays, x: Array, d_out: Array) -> KernelResults:
    """Bind the kernel of a layer to arrays of its own and run it, forward and backward.

    It runs on other numbers first, since what it computes must not depend on its last run.
    """
    arena = Arena()
    own = kernel_of(layer).Params(layer, params, True, arena)
    x_data, d_x_data = _zeros_like(x, arena), _zeros_like(x, arena)
    plan = Plan([layer], {layer.name: own}, x_data, Scratch(arena), True, d_x_data)
    for factor in (2.0, 1.0):
        own.prepare()
        np.copyto(as_nchw(x_data), factor * x)
        plan.forward()
        out = as_nchw(plan.out).copy()
        np.copyto(as_nchw(plan.d_out), factor * d_out)
        plan.backward()
    gradients = {key: plan.gradients.get(f"{layer.name}.{key}", np.zeros(0)) for key in layer.shapes()}
    (kernel,) = plan.kernels
    if isinstance(kernel, Linear):
        gradients["weight"] = FactoredGradient(kernel.d_out, kernel.x).materialize()
    return KernelResults(out, as_nchw(d_x_data).copy(), gradients)


def _zeros_like(array: Array, arena: Arena) -> Data:
    if array.ndim == 4:
        n, c, height, width = array.shape
        return FeatureMaps((n, c, height, width), array.dtype, arena)
    return arena.array(array.shape, array.dtype, order="F")
