"""Fully connected layer."""

from dataclasses import dataclass

from numpy_vgg7.nn.arrays import Array, Arrays


@dataclass(frozen=True)
class Linear:
    """x @ weight.T + bias: (N, in) -> (N, out), `weight` (out, in) and `bias` (out,) as in PyTorch."""

    name: str
    in_features: int
    out_features: int
    bias: bool = True

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Parameter shapes by key."""
        weight = (self.out_features, self.in_features)
        return {"weight": weight, "bias": (self.out_features,)} if self.bias else {"weight": weight}

    def forward(self, params: Arrays, x: Array) -> tuple[Array, Array]:
        """out[n,o] = bias[o] + sum over i of weight[o,i] * x[n,i]; the cache is `x`."""
        out = x @ params["weight"].T
        if self.bias:
            out = out + params["bias"]
        return out, x

    def backward(self, params: Arrays, x: Array, d_out: Array) -> tuple[Array, Arrays]:
        """Return d_x and the gradients of the parameters, from d_out (N, out).

        d_weight[o,i] = sum over n of d_out[n,o] * x[n,i]
        d_bias[o]     = sum over n of d_out[n,o]
        d_x[n,i]      = sum over o of d_out[n,o] * weight[o,i]
        """
        gradients = {"weight": d_out.T @ x}
        if self.bias:
            gradients["bias"] = d_out.sum(axis=0)
        return d_out @ params["weight"], gradients
