"""Bugs of the definition's backward passes, and of the loss's, which the engine shares."""

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7 import network
from numpy_vgg7.engine import kernels
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.network import ACTIVATIONS
from numpy_vgg7.parity.mutants.mutant import Mutant, Replacement, bug

LAST_TAP = np.arange(9).reshape(3, 3) == 8


def gradient(key: str, change: Callable[[Any, Array, Arrays, Array, Array], Array]) -> Callable[[Any], Any]:
    """A layer's backward pass that changes one of its results: that of a parameter, or "x".

    `change` gets the layer, the right result, the parameters, x and d_out.
    """

    def make(original: Any) -> Any:
        def backward(self: Any, params: Arrays, x: Array, out: Array, d_out: Array) -> tuple[Array, Arrays]:
            d_x, gradients = original(self, params, x, out, d_out)
            found = {"x": d_x, **gradients}
            found[key] = change(self, found[key], params, x, d_out)
            return found.pop("x"), found

        return backward

    return make


def conv_d_weight(
    name: str, change: Callable[[Any, Array, Array, Array], Array], place: str = "conv?"
) -> Mutant:
    """`change` gets the layer, the weight gradient, x and d_out."""
    make = gradient("weight", lambda layer, d_weight, params, x, d_out: change(layer, d_weight, x, d_out))
    return bug(name, f"{place} backward", network.Conv2d, "backward", make)


def conv_d_bias(name: str, change: Callable[[Array, Array], Array]) -> Mutant:
    """`change` gets the bias gradient and d_out."""
    make = gradient("bias", lambda layer, d_bias, params, x, d_out: change(d_bias, d_out))
    return bug(name, "conv? backward", network.Conv2d, "backward", make)


def conv_d_x(name: str, change: Callable[[Any, Array], Array], place: str = "conv?") -> Mutant:
    """`change` gets the layer and the input gradient."""
    make = gradient("x", lambda layer, d_x, params, x, d_out: change(layer, d_x))
    return bug(name, f"{place} backward", network.Conv2d, "backward", make)


def backward_kernel(name: str, change: Callable[[Array, int, Any], Array]) -> Mutant:
    """`change` gets the weight, the groups and the original function."""
    return bug(name, "conv? backward", F, "rotated_and_exchanged",
               lambda original: lambda weight, groups=1: change(weight, groups, original))  # fmt: skip


def pool_d_x(name: str, change: Callable[[Array, Any], Array]) -> Mutant:
    """`change` gets d_out and the original function."""
    return bug(name, "pool? backward", F, "avg_pool2d_backward",
               lambda original: lambda d_out: change(d_out, original))  # fmt: skip


def slope(
    name: str, function: str, backward: Callable[[Array, Array, Array], Array], place: str = "act?"
) -> Mutant:
    """Another backward pass of an activation."""
    return bug(name, f"{place} backward", ACTIVATIONS, function,
               lambda original: original._replace(backward=backward))  # fmt: skip


def linear(name: str, key: str, change: Callable[[Any, Array, Arrays, Array, Array], Array]) -> Mutant:
    """A wrong gradient of a fully connected layer, see `gradient`."""
    return bug(name, "fc? backward", network.Linear, "backward", gradient(key, change))


def loss(name: str, change: Callable[[Any, Array, Labels, int], Array]) -> Mutant:
    """`change` gets the right gradient, the probabilities, the labels and the batch size."""
    return bug(name, "loss backward", F, "cross_entropy_backward",
               lambda original: lambda probs, labels, batch_size=None, smoothing=0.0: change(
                   original(probs, labels, batch_size, smoothing), probs, labels, batch_size or len(labels)))  # fmt: skip


def first_sample(layer: network.Conv2d, d_weight: Array, x: Array, d_out: Array) -> Array:
    """The weight gradient of the first image."""
    return F.conv2d_backward(x[:1], np.zeros(layer.shapes()["weight"]), d_out[:1], layer.groups)[1]


def cropped(layer: network.Conv2d, d_x: Array) -> Array:
    """One column to the right."""
    d_x = np.roll(d_x, 1, axis=3)
    d_x[..., 0] = 0
    return d_x


def stale_patches(original: Any) -> Any:
    """Uses the input of the previous batch, if that had the same shape."""
    seen: Arrays = {}

    def backward(self: network.Conv2d, params: Arrays, x: Array, out: Array, d_out: Array) -> Any:
        last = seen.get(self.name, x)
        seen[self.name] = x
        return original(self, params, last if last.shape == x.shape else x, out, d_out)

    return backward


def top_left(d_out: Array, original: Any) -> Array:
    """A quarter, to the top left pixel of each window."""
    d_x: Array = np.zeros_like(original(d_out))
    d_x[:, :, ::2, ::2] = d_out / 4
    return d_x


def channels_last(d_out: Array, shape: tuple[int, ...]) -> Array:
    """Reads the features as (N, H, W, C)."""
    n, c, height, width = shape
    return np.transpose(d_out.reshape(n, height, width, c), (0, 3, 1, 2))


def relu_in_place(x: Array, out: Array, d_out: Array) -> Array:
    """Overwrites d_out."""
    d_out *= x > 0
    return d_out.copy()


def one_buffer(original: Any) -> Any:
    """Weight gradients in memory that the next batch overwrites."""
    buffers: dict[tuple[object, ...], Array] = {}

    def change(layer: Any, d_weight: Array, params: Arrays, x: Array, d_out: Array) -> Array:
        buffer = buffers.setdefault((layer.name, d_weight.dtype, d_weight.shape), np.empty_like(d_weight))
        np.copyto(buffer, d_weight)
        return buffer

    return gradient("weight", change)(original)


def softmax_in_place(original: Any) -> Any:
    """Subtracts the labels from the caller's probabilities."""

    def cross_entropy_backward(
        probs: Array, labels: Labels, batch_size: int | None = None, smoothing: float = 0.0
    ) -> Array:
        probs[np.arange(len(labels)), labels] -= 1
        d_logits: Array = probs / (batch_size or len(labels))
        return d_logits

    return cross_entropy_backward


ARCTAN_DERIVATIVE_MISSING = Replacement(
    ACTIVATIONS, "arctan", lambda original: original._replace(backward=lambda x, out, d_out: d_out.copy())
)

CONV = (
    conv_d_weight("dW of the first sample only", first_sample),
    conv_d_weight("dW rotated in one layer",
                  lambda layer, dw, x, d_out: dw[..., ::-1, ::-1] if layer.name == "conv3" else dw, "conv3"),
    conv_d_weight("dW with an extra 1/N", lambda layer, dw, x, d_out: dw / len(d_out)),
    conv_d_weight("dW times 1.05", lambda layer, dw, x, d_out: dw * 1.05),
    conv_d_weight("dW through float16", lambda layer, dw, x, d_out: dw.astype("float16").astype(dw.dtype)),
    conv_d_weight("dW without its last tap", lambda layer, dw, x, d_out: dw * ~LAST_TAP),
    conv_d_bias("db averaged over batch and space", lambda db, d_out: db / (d_out.size / d_out.shape[1])),
    conv_d_bias("db averaged over space", lambda db, d_out: db / (d_out.shape[2] * d_out.shape[3])),
    backward_kernel("dX with in/out channels not transposed",
                    lambda w, groups, original: w[..., ::-1, ::-1].reshape(original(w, groups).shape)),
    backward_kernel("dX with the kernel not rotated",
                    lambda w, groups, original: original(w[..., ::-1, ::-1], groups)),
    conv_d_x("dX rotated by 180 degrees (definition)", lambda layer, d_x: d_x[..., ::-1, ::-1]),
    backward_kernel("overlapping patches assigned instead of added",
                    lambda w, groups, original: original(w, groups) * LAST_TAP),
    backward_kernel("dX without its last tap", lambda w, groups, original: original(w, groups) * ~LAST_TAP),
    conv_d_x("dX cropped off by one", cropped),
    conv_d_x("dX with H and W swapped", lambda layer, d_x: d_x.swapaxes(2, 3)),
    conv_d_x("dX of the first conv zero", lambda layer, d_x: d_x * (layer.name != "conv1"), "conv1"),
    conv_d_weight("first conv's gradient zero", lambda layer, dw, x, d_out: dw * (layer.name != "conv1"), "conv1"),
    bug("stale patches of the previous batch", "conv? backward", network.Conv2d, "backward", stale_patches),
)  # fmt: skip

POOL_AND_ACTIVATIONS = (
    pool_d_x("pool's factor 1/4 missing (definition)", lambda d_out, original: 4 * original(d_out)),
    pool_d_x("pool's gradient to the top left pixel only", top_left),
    pool_d_x("pool's gradient tiled instead of repeated", lambda d_out, original: np.tile(d_out / 4, (1, 1, 2, 2))),
    pool_d_x("pool's gradient transposed", lambda d_out, original: original(d_out.swapaxes(2, 3))),
    bug("flatten back in the wrong order", "flatten backward", F, "flatten_backward", lambda original: channels_last),
    slope("ReLU'(0) = 1", "relu", lambda x, out, d_out: np.where(x >= 0, d_out, 0)),
    slope("guided ReLU", "relu", lambda x, out, d_out: np.where((x > 0) & (d_out > 0), d_out, 0)),
    slope("ReLU overwrites its caller's gradient", "relu", relu_in_place),
    slope("tanh' from the pre-activation", "tanh", lambda x, out, d_out: d_out * (1 - x * x)),
    slope("tanh' missing", "tanh", lambda x, out, d_out: d_out.copy()),
    slope("arctan' from the output", "arctan", lambda x, out, d_out: d_out / (1 + out * out), "logits"),
    Mutant("arctan' missing", "logits backward", (ARCTAN_DERIVATIVE_MISSING,)),
    Mutant("arctan' missing here and in the referee", "logits backward", (
        ARCTAN_DERIVATIVE_MISSING,
        Replacement(kernels.Arctan, "backward_input", lambda original: lambda self: None),
        Replacement("torch_ref.model:Arctan", "forward",
                    lambda original: lambda self, x: x.atan().detach() + (x - x.detach())),
    )),
)  # fmt: skip

LOSS_AND_LINEAR = (
    loss("1/N missing", lambda d_logits, probs, labels, n: d_logits * n),
    loss("extra factor p(1-p)", lambda d_logits, probs, labels, n: d_logits * probs * (1 - probs)),
    bug("returned softmax overwritten in place", "loss backward", F, "cross_entropy_backward", softmax_in_place),
    linear("FC dW transposed", "weight", lambda layer, dw, params, x, d_out: dw.T.reshape(dw.shape)),
    linear("FC dW clipped silently", "weight", lambda layer, dw, params, x, d_out: dw.clip(-0.01, 0.01)),
    linear("FC dW with one column zero", "weight",
           lambda layer, dw, params, x, d_out: dw * (np.arange(layer.in_features) != 1)),
    bug("FC dW in a buffer that the next batch overwrites", "fc? backward", network.Linear, "backward", one_buffer),
    linear("FC db averaged", "bias", lambda layer, db, params, x, d_out: db / len(d_out)),
    linear("FC db of the first sample", "bias", lambda layer, db, params, x, d_out: d_out[0].copy()),
    linear("FC db shares memory with the upstream gradient", "bias",
           lambda layer, db, params, x, d_out: d_out[0] if len(d_out) == 1 else db),
    linear("FC dX with the updated W", "x",
           lambda layer, d_x, params, x, d_out: d_out @ (params["weight"] - 0.005 * (d_out.T @ x))),
    linear("FC dX with W not transposed", "x",
           lambda layer, d_x, params, x, d_out: d_out @ params["weight"].T.reshape(params["weight"].shape)),
)  # fmt: skip

BACKWARD = (*CONV, *POOL_AND_ACTIVATIONS, *LOSS_AND_LINEAR)
