"""Softmax and cross-entropy, fused: the gradient of the pair is simpler than that of either."""

import numpy as np

from numpy_vgg7.nn.arrays import Array, Labels


def log_softmax(logits: Array) -> Array:
    """log p[n,k] = z[n,k] - log(sum over l of exp z[n,l]), for logits (N, K).

    Subtracting the row's largest logit changes nothing and keeps every exponential in 0..1, so any
    finite logits are fine. Where the difference of two logits itself exceeds the dtype, it is -inf: p = 0.
    """
    with np.errstate(over="ignore"):
        shifted = logits - logits.real.max(axis=1, keepdims=True)
    out: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return out


def softmax(logits: Array) -> Array:
    """p[n,k] = exp z[n,k] / (sum over l of exp z[n,l]): (N, K) -> (N, K), rows sum to 1."""
    with np.errstate(over="ignore"):
        exponentials = np.exp(logits - logits.real.max(axis=1, keepdims=True))
    probs: Array = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probs


def cross_entropy(logits: Array, labels: Labels) -> Array:
    """Mean over the batch of -log p[n, labels[n]]: logits (N, K), labels (N,) -> a scalar array."""
    log_probs = log_softmax(logits)[np.arange(len(labels)), labels]
    return np.asarray(-log_probs.sum() / len(labels))


def cross_entropy_backward(probs: Array, labels: Labels, batch_size: int) -> Array:
    """d_logits = (p - onehot(labels)) / batch_size, (N, K).

    d(-log p[y]) / dz[k] = p[k] - [k = y]. `batch_size` is that of the whole batch, also when `probs`
    is only a shard of it, so that the gradients of the shards add up.
    """
    d_logits = probs.copy()
    d_logits[np.arange(len(labels)), labels] -= 1
    return d_logits / batch_size
