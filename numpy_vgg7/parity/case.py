"""What all implementations compute: a model, a batch, and how it is trained on it."""

from dataclasses import dataclass, replace

import numpy as np

from numpy_vgg7 import network
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.limits import require_memory
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import SGD

STEPS = (1, 10)  # parameters are compared after this many SGD steps
FIRST_STEP = STEPS[:1]
TRACES = 6  # values and gradients, by the engine, the definition and the reference
# Different, so that exchanging them shows; small, so that ten steps don't magnify rounding.
RATES = SGD(lr_conv=0.002, lr_fc=0.005)


@dataclass(frozen=True)
class Case:
    """A model, a batch and an optimizer: all that a trace depends on. `steps` says which updates it has."""

    model: VGG7
    images: Array  # (N, 1, H, W) in 0..1
    labels: Labels  # (N,)
    sgd: SGD = RATES
    steps: tuple[int, ...] = STEPS

    def astype(self, dtype: str) -> "Case":
        """The same numbers in another dtype, float64 to float32 rounded."""
        params = {name: parameter.astype(dtype) for name, parameter in self.model.params.items()}
        model = VGG7.from_params(self.model.config, params, self.model.threads)
        return replace(self, model=model, images=self.images.astype(dtype))

    def copy(self) -> "Case":
        """The same case around copies of the parameters, for a run that changes them."""
        return replace(self, model=VGG7.from_params(self.model.config, self.model.params, self.model.threads))


def random_model(config: VGG7Config, seed: int, dtype: str = "float64") -> VGG7:
    """A model for comparing, not for training: every bias differs from zero and no channel is dead.

    Each kernel is given the sign that makes its sum positive: with one channel and ReLU, a negative
    kernel would silence the whole network, and silence agrees with everything. The sum is at most 1,
    so that bright pixels don't grow from layer to layer: where every tanh is saturated, 1 - tanh^2 has
    lost its digits in any implementation.
    """
    rng = np.random.default_rng([seed, 1])
    model = VGG7(config, seed, dtype)
    for name, parameter in model.params.items():
        if name.endswith("bias"):
            parameter[:] = rng.uniform(0.05, 0.3, parameter.shape) * rng.choice([-1, 1], parameter.shape)
        elif name.startswith("conv"):
            sums = parameter.sum(axis=(1, 2, 3), keepdims=True)
            parameter /= np.where(sums < 0, -1, 1) * np.maximum(1, np.abs(sums))
    return model


def random_case(model: VGG7, batch_size: int, seed: int) -> Case:
    """Random images, a third of their pixels exactly zero as in real ones, and random labels."""
    values = batch_size * model.config.values_per_image()
    require_memory(f"traces of a batch of {batch_size:,} images", TRACES * 8 * values, "use a smaller batch")
    rng = np.random.default_rng([seed, 2])
    size = model.config.image_size
    images = np.maximum(rng.uniform(-0.5, 1, (batch_size, 1, size, size)), 0).astype(model.dtype)
    return Case(model, images, rng.integers(model.config.classes, size=batch_size))


def product_trace(case: Case) -> Arrays:
    """The engine's trace: `VGG7.trace`, then every parameter after 1 and after 10 steps of `VGG7.train_step`.

    The updated parameters are named "conv1.weight.step1", ..., "fc7.bias.step10".
    """
    trace = case.model.trace(case.images, case.labels)
    model = case.copy().model
    velocity = case.sgd.init(model.params)
    for step in range(1, max(case.steps, default=0) + 1):
        model.train_step(case.images, case.labels, case.sgd, velocity)
        if step in case.steps:
            trace |= {f"{name}.step{step}": p.copy() for name, p in model.params.items()}
    return trace


def definition_trace(case: Case) -> Arrays:
    """The same by the definition: `network.trace` and `optim.SGD.step`."""
    layers = case.model.layers
    trace = network.trace(layers, case.model.params, case.images, case.labels)
    params = {name: parameter.copy() for name, parameter in case.model.params.items()}
    velocity, groups = case.sgd.init(params), network.parameter_groups(layers)
    for step in range(1, max(case.steps, default=0) + 1):
        _, gradients = network.loss_and_gradients(layers, params, case.images, case.labels)
        case.sgd.step(params, gradients, velocity, groups)
        if step in case.steps:
            trace |= {f"{name}.step{step}": p.copy() for name, p in params.items()}
    return trace
