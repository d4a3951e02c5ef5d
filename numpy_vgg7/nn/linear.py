"""Fully connected layer."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays, Gradients, Product
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.workspace import FRESH, Workspace

THREAD_WORTH = 32  # rows or columns; fewer are done before a thread has woken up


@dataclass(frozen=True)
class Linear(Layer):
    """x @ weight.T + bias: (N, in) -> (N, out), `weight` (out, in) and `bias` (out,) as in PyTorch.

    Threads share the work by rows or columns of the weight, so nothing is to be added up afterwards.
    """

    in_features: int
    out_features: int
    bias: bool = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter shapes by key."""
        weight = (self.out_features, self.in_features)
        return {"weight": weight, "bias": (self.out_features,)} if self.bias else {"weight": weight}

    def forward(self, params: Arrays, x: Array, workspace: Workspace = FRESH) -> tuple[Array, Array]:
        """out[n,o] = bias[o] + sum over i of weight[o,i] * x[n,i]; the cache is `x`."""
        weight, dtype = params["weight"], np.result_type(x, *params.values())
        out = workspace.array(self.name, (len(x), self.out_features), dtype)

        def outputs(part: slice) -> None:
            workspace.do(np.matmul, x, weight[part].T, out=out[:, part])

        workspace.split(self.out_features, outputs, THREAD_WORTH)
        if self.bias:
            workspace.do(np.add, out, params["bias"], out=out)
        return out, x

    def d_x(self, params: Arrays, x: Array, d_out: Array, workspace: Workspace = FRESH) -> Array:
        """d_x[n,i] = sum over o of d_out[n,o] * weight[o,i]"""
        d_x = workspace.array(f"{self.name}.d_x", x.shape, d_out.dtype)

        def inputs(part: slice) -> None:
            workspace.do(np.matmul, d_out, params["weight"][:, part], out=d_x[:, part])

        workspace.split(self.in_features, inputs, THREAD_WORTH)
        return d_x

    def gradients(self, params: Arrays, x: Array, d_out: Array, workspace: Workspace = FRESH) -> Gradients:
        """d_weight[o,i] = sum over n of d_out[n,o] * x[n,i],   d_bias[o] = sum over n of d_out[n,o]"""
        gradients: Gradients = {"weight": Product(*self._factors(d_out, x, workspace))}
        if self.bias:
            gradients["bias"] = workspace.array(f"{self.name}.d_bias", d_out.shape[1:], d_out.dtype)
            workspace.do(np.add.reduce, d_out, axis=0, out=gradients["bias"])
        return gradients

    def _factors(self, d_out: Array, x: Array, workspace: Workspace) -> tuple[Array, Array]:
        """Both, for one image with a row of zeros below: a BLAS is slow where there is nothing to sum."""
        if len(x) > 1:
            return d_out, x
        left = workspace.array(f"{self.name}.left", (2, self.out_features), d_out.dtype)
        right = workspace.array(f"{self.name}.right", (2, self.in_features), x.dtype)
        for two, one in ((left, d_out), (right, x)):
            two[1] = 0
            workspace.do(np.copyto, two[0], one[0])
        return left, right
