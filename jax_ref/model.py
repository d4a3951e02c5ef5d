"""The network as pure functions of its parameters, which have the names and shapes of `VGG7.params`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from numpy_vgg7.config import VGG7Config

Params = dict[str, jax.Array]

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "arctan": jnp.arctan,
    "identity": lambda x: x,
}
# On a CPU, XLA is up to twice as fast with the channels of a pixel side by side as with planes.
IMAGES, KERNELS = "NHWC", "OIHW"
WINDOW = (1, 2, 2, 1)  # of a pool


def logits(config: VGG7Config, params: Params, images: jax.Array) -> jax.Array:
    """(N, 1, H, W) -> (N, classes)."""
    x = images.transpose(0, 2, 3, 1)
    for number, (groups, activation) in enumerate(zip(config.groups, config.activations[:4], strict=True), 1):
        x = lax.conv_general_dilated(
            x,
            params[f"conv{number}.weight"],
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=(IMAGES, KERNELS, IMAGES),
            feature_group_count=groups,
        )
        x = ACTIVATIONS[activation](_biased(x, params, f"conv{number}"))
        if number in (2, 4):
            x = lax.reduce_window(x, 0.0, lax.add, WINDOW, WINDOW, "VALID") / 4
    x = x.transpose(0, 3, 1, 2).reshape(len(x), -1)  # fc5 reads (channel, row, column)
    for number, activation in enumerate(config.activations[4:], 5):
        x = _biased(x @ params[f"fc{number}.weight"].T, params, f"fc{number}")
        x = ACTIVATIONS[activation](x)
    return x


def loss(config: VGG7Config, params: Params, images: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy of (N, 1, H, W) images and (N,) labels."""
    log_probs = jax.nn.log_softmax(logits(config, params, images))
    return -jnp.take_along_axis(log_probs, labels[:, None], axis=1).mean()


def _biased(x: jax.Array, params: Params, layer: str) -> jax.Array:
    bias = params.get(f"{layer}.bias")
    return x if bias is None else x + bias
