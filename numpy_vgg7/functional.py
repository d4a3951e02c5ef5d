"""The mathematics of the network: every formula once, each backward pass below its forward pass.

3x3 convolution, 2x2 average pooling, flattening, the fully connected layer, four activations, softmax with
cross-entropy.

Arrays are (N, C, H, W) for images and feature maps, (N, features) elsewhere, and have the shapes and layouts
of PyTorch. `d_out` is the gradient of the loss with respect to the output of a function, `d_x` that with
respect to its input. No function changes its arguments.

Forward functions also take complex arrays, for the complex-step check of the gradients: ReLU then decides on
the real part and softmax subtracts the real maximum, so that both stay analytic.
"""

from typing import Any

import numpy as np

Array = np.ndarray[tuple[Any, ...], np.dtype[Any]]
Arrays = dict[str, Array]
Labels = np.ndarray[tuple[Any, ...], np.dtype[np.integer[Any]]]


def conv2d(x: Array, weight: Array, bias: Array | None = None, groups: int = 1) -> Array:
    """Convolve: x (N, C, H, W), weight (O, C/groups, 3, 3), bias (O,) -> (N, O, H, W).

    The kernel is not flipped; strictly, this is cross-correlation, which deep learning calls convolution.

    out[n,o,i,j] = bias[o] + sum over c,u,v of weight[o,c,u,v] * x[n,c,i+u-1,j+v-1]

    That is for one group, with x = 0 outside the image. Channels are split into `groups` blocks; block k of
    the output sees block k of the input only.
    """
    blocks = zip(np.split(windows(x), groups, axis=1), np.split(weight, groups), strict=True)
    out = [np.einsum("ncijuv,ocuv->noij", seen, kernel, optimize=True) for seen, kernel in blocks]
    total: Array = np.concatenate(out, axis=1)
    return total if bias is None else total + bias[:, None, None]


def conv2d_backward(x: Array, weight: Array, d_out: Array, groups: int = 1) -> tuple[Array, Array, Array]:
    """d_x, d_weight and d_bias by the chain rule, of the shapes of x, weight and bias; d_out (N, O, H, W).

    For one group, with x and d_out = 0 outside the image. Pixel (i, j) of x is multiplied by weight (u, v) to
    give output pixel (i - u + 1, j - v + 1), hence:

    d_x[n,c,i,j]      = sum over o,u,v of weight[o,c,u,v] * d_out[n,o,i-u+1,j-v+1]
    d_weight[o,c,u,v] = sum over n,i,j of d_out[n,o,i,j] * x[n,c,i+u-1,j+v-1]
    d_bias[o]         = sum over n,i,j of d_out[n,o,i,j]

    The first is `conv2d` again: of d_out, with the kernel rotated by 180 degrees and its channels exchanged.
    The result is not rotated back.
    """
    d_x = conv2d(d_out, rotated_and_exchanged(weight, groups), groups=groups)
    blocks = zip(np.split(windows(x), groups, axis=1), np.split(d_out, groups, axis=1), strict=True)
    d_weight = [np.einsum("ncijuv,noij->ocuv", seen, d_block, optimize=True) for seen, d_block in blocks]
    return d_x, np.concatenate(d_weight), d_out.sum(axis=(0, 2, 3))


def windows(x: Array) -> Array:
    """The 3x3 window around each pixel, zero outside the image: (N, C, H, W) -> (N, C, H, W, 3, 3)."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))


def rotated_and_exchanged(weight: Array, groups: int = 1) -> Array:
    """The kernel of the backward pass: (O, C/groups, 3, 3) -> (C, O/groups, 3, 3).

    Rotated by 180 degrees, with the input and output channels of each group exchanged.
    """
    rotated = weight[:, :, ::-1, ::-1]
    return np.concatenate([kernel.swapaxes(0, 1) for kernel in np.split(rotated, groups)])


def avg_pool2d(x: Array) -> Array:
    """Average each 2x2 window: (N, C, H, W) -> (N, C, H/2, W/2), H and W even.

    out[i,j] = (x[2i,2j] + x[2i,2j+1] + x[2i+1,2j] + x[2i+1,2j+1]) / 4
    """
    n, c, height, width = x.shape
    return x.reshape(n, c, height // 2, 2, width // 2, 2).sum(axis=(3, 5)) / 4


def avg_pool2d_backward(d_out: Array) -> Array:
    """Each of the four pixels gets a quarter of d_out: (N, C, H/2, W/2) -> (N, C, H, W)."""
    return d_out.repeat(2, axis=2).repeat(2, axis=3) / 4


def flatten(x: Array) -> Array:
    """One row per image, in C order: (N, C, H, W) -> (N, C*H*W)."""
    return x.reshape(len(x), -1)


def flatten_backward(d_out: Array, shape: tuple[int, ...]) -> Array:
    """The same numbers in the shape they came in: (N, C*H*W) -> (N, C, H, W)."""
    return d_out.reshape(shape)


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x (N, I), weight (O, I), bias (O,) -> (N, O).

    out[n,o] = bias[o] + sum over i of weight[o,i] * x[n,i]
    """
    out = x @ weight.T
    return out if bias is None else out + bias


def linear_backward(x: Array, weight: Array, d_out: Array) -> tuple[Array, Array, Array]:
    """d_x, d_weight and d_bias of `linear`.

    d_x[n,i]      = sum over o of weight[o,i] * d_out[n,o]
    d_weight[o,i] = sum over n of d_out[n,o] * x[n,i]
    d_bias[o]     = sum over n of d_out[n,o]
    """
    return d_out @ weight, d_out.T @ x, d_out.sum(axis=0)


# Activations take arrays of any shape. In their backward passes `out` is the output of the forward pass for
# `x`.


def relu(x: Array) -> Array:
    """0 where x <= 0, else x. NaN stays NaN."""
    return np.where(x.real <= 0, 0, x)


def relu_backward(x: Array, out: Array, d_out: Array) -> Array:
    """0 where x <= 0, else d_out. At the kink the derivative is taken to be 0, as in PyTorch."""
    return np.where(x <= 0, 0, d_out)


def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return np.tanh(x)


def tanh_backward(x: Array, out: Array, d_out: Array) -> Array:
    """d tanh(x) / dx = 1 - tanh(x)^2"""
    return d_out * (1 - out * out)


def arctan(x: Array) -> Array:
    """Inverse tangent, in radians."""
    return np.arctan(x)


def arctan_backward(x: Array, out: Array, d_out: Array) -> Array:
    """d arctan(x) / dx = 1 / (1 + x^2)"""
    return d_out / (1 + x * x)


def identity(x: Array) -> Array:
    """x: logits without a squashing function."""
    return x.copy()


def identity_backward(x: Array, out: Array, d_out: Array) -> Array:
    """dx / dx = 1"""
    return d_out.copy()


def softmax(logits: Array) -> Array:
    """p[n,k] = exp z[n,k] / (sum over l of exp z[n,l]): (N, K) -> (N, K), each row sums to 1.

    Subtracting the largest logit of a row changes nothing and keeps every exponential in 0..1, so all finite
    logits are allowed. A difference of two logits that exceeds the range of the dtype becomes -inf: p = 0.
    """
    with np.errstate(over="ignore"):
        exponentials = np.exp(logits - logits.real.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def log_softmax(logits: Array) -> Array:
    """log p[n,k] = z[n,k] - log(sum over l of exp z[n,l]): (N, K) -> (N, K)."""
    with np.errstate(over="ignore"):
        shifted = logits - logits.real.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(logits: Array, labels: Labels, smoothing: float = 0.0) -> Array:
    """Mean over the batch of -log p[n, labels[n]], in nats: logits (N, K), labels (N,) -> a scalar array.

    With label smoothing (Szegedy et al. 2016), it is the mean of - sum over k of q[n,k] * log p[n,k], where
    all classes share a part of each label:

    q[n,k] = (1 - smoothing) * [k = labels[n]] + smoothing / K, where [condition] is 1 if it holds, else 0
    """
    log_probs = log_softmax(logits)
    weighted = log_probs[np.arange(len(labels)), labels]
    if smoothing:  # else a log p of -inf would not count as 0
        weighted = (1 - smoothing) * weighted + smoothing * log_probs.mean(axis=1)
    return np.asarray(-weighted.sum() / len(labels))


def cross_entropy_backward(
    probs: Array, labels: Labels, batch_size: int | None = None, smoothing: float = 0.0
) -> Array:
    """The gradient with respect to the logits, through the softmax: probs (N, K) -> (N, K).

    d_logits[n,k] = (p[n,k] - q[n,k]) / batch_size, with q as in `cross_entropy`

    `batch_size` is N unless `probs` holds only a part of a batch; then the gradients of the parts add up.
    """
    classes = probs.shape[1]
    target = (1 - smoothing) * (np.arange(classes) == labels[:, None]) + smoothing / classes
    return (probs - target.astype(probs.dtype)) / (batch_size or len(labels))
