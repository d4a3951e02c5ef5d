"""Fully connected layer."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.nn.arrays import Array, Arrays, Gradients, Product
from numpy_vgg7.nn.layer import Layer
from numpy_vgg7.nn.products import multiply
from numpy_vgg7.nn.workspace import FRESH, Workspace


@dataclass(frozen=True)
class Linear(Layer):
    """x @ weight.T + bias: (N, in) -> (N, out), `weight` (out, in) and `bias` (out,) as in PyTorch.

    In memory, outputs and gradients lie feature by feature, the whole batch side by side: a BLAS multiplies
    a large matrix by a narrow one a quarter faster than the other way round.
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
        out = workspace.array(self.name, (len(x), self.out_features), dtype, order="F")
        multiply(workspace.do, weight, x.T, out.T)
        if self.bias:
            workspace.do(np.add, out.T, params["bias"][:, None], out=out.T)
        return out, x

    def d_x(self, params: Arrays, x: Array, d_out: Array, workspace: Workspace = FRESH) -> Array:
        """d_x[n,i] = sum over o of weight[o,i] * d_out[n,o]"""
        d_x = workspace.array(f"{self.name}.d_x", x.shape, d_out.dtype, order="F")
        multiply(workspace.do, params["weight"].T, d_out.T, d_x.T)
        return d_x

    def gradients(self, params: Arrays, x: Array, d_out: Array, workspace: Workspace = FRESH) -> Gradients:
        """d_weight[o,i] = sum over n of d_out[n,o] * x[n,i],   d_bias[o] = sum over n of d_out[n,o]"""
        gradients: Gradients = {"weight": Product(d_out, x)}
        if self.bias:
            gradients["bias"] = workspace.array(f"{self.name}.d_bias", d_out.shape[1:], d_out.dtype)
            workspace.do(np.add.reduce, d_out, axis=0, out=gradients["bias"])
        return gradients
