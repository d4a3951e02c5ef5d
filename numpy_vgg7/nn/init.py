"""Seeded initial weights."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod, sqrt

import numpy as np

from numpy_vgg7.nn.activations import Activation
from numpy_vgg7.nn.arrays import Arrays
from numpy_vgg7.nn.layer import Layer

# A negative kernel on bright pixels is silenced by ReLU for good. Among many channels others take
# over; with one or two the network would be dead from the start, so their kernels begin positive.
FEW_CHANNELS = 2


def initial_params(layers: Sequence[Layer], seed: int, dtype: str = "float32") -> Arrays:
    """Normal weights of standard deviation gain / sqrt(fan_in), zero biases.

    The gain is that of the activation behind the layer (He et al. 2015, Glorot and Bengio 2010).
    Drawn in float64 in forward order and rounded, so both dtypes start from the same numbers.
    """
    rng = np.random.default_rng(seed)
    params: Arrays = {}
    for layer, following in pairwise(layers):
        gain = following.gain if isinstance(following, Activation) else 1.0
        for key, shape in layer.shapes().items():
            values = np.zeros(shape)
            if key == "weight":
                values = rng.standard_normal(shape) * gain / sqrt(prod(shape[1:]))
                if len(shape) == 4 and shape[0] <= FEW_CHANNELS:
                    values = np.abs(values)
            params[f"{layer.name}.{key}"] = values.astype(dtype)
    return params
