"""Is it the same function? Compares an imported model with the outputs in a probe."""

from dataclasses import dataclass, replace

import numpy as np

from numpy_vgg7.functional import Array
from numpy_vgg7.model import VGG7
from numpy_vgg7.weights import normalisation, readings
from numpy_vgg7.weights.probe import HALF_TOLERANCE, Probe
from numpy_vgg7.weights.readings import Network


@dataclass(frozen=True)
class Verdict:
    """Whether a model gives the outputs of a probe; if not, which reading of the weights would, if known.

    `difference` is the largest between the probabilities, and between logits relative to the largest.
    """

    passed: bool
    difference: float
    tolerance: float
    causes: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """One line."""
        size = f"largest difference {self.difference:.2g}, tolerance {self.tolerance:g}"
        if self.passed:
            return f"check passed: {size}"
        if not self.causes:
            return f"check failed: no usual wrong reading explains it; {size}"
        return f"check failed: {'; and '.join(self.causes)} ({'; '.join(self.fixes)}); {size}"


def check(model: VGG7, probe: Probe) -> Verdict:
    """Compare the logits or probabilities of `model` with those of the probe; explain a difference."""
    found, expected = probe.outputs.shape[1], model.config.classes
    if found != expected:
        words = f"the check has {found} outputs, the weights {expected}"
        return Verdict(False, np.inf, probe.tolerance, (words,), ("is it of another network?",))
    difference = np.inf
    if probe.images.shape[2] == model.config.image_size:
        difference = probe.difference(_logits(model, probe))
    fits = difference <= probe.tolerance
    causes, fixes = _other_pixels(probe) if fits else _explained(model, probe, difference)
    return Verdict(not causes and fits, difference, probe.tolerance, causes, fixes)


def _logits(model: VGG7, probe: Probe) -> Array:
    """Logits for images that need not be in 0..1."""
    x = probe.images.astype(model.dtype)
    with np.errstate(all="ignore"):
        return np.concatenate([model.forward(x[some]) for some in model.inference_batches(len(x))])


Explanation = tuple[tuple[str, ...], tuple[str, ...]]  # causes and fixes


def _explained(model: VGG7, probe: Probe, difference: float) -> Explanation:
    """What would make a model right, and what to do; nothing if it is not known."""
    params = {name: parameter.astype(np.float64) for name, parameter in model.params.items()}
    plain = Network(model.config, params, model.config.activations)
    size, found = model.config.image_size, probe.images.shape[2]
    network = readings.explain(plain, probe)
    if network is None and found == size:
        network = normalisation.explain(plain, probe)
    if network is not None:
        return network.words, network.fixes
    if found != size:
        words = f"the check has images of {found} pixels per side, the weights fit {size}"
        return (words,), ("is it of another network, or without padding or pooling?",)
    if probe.kind == "logits" and replace(probe, kind="probabilities").fits(_logits(model, probe)):
        return ("the logits of the check are probabilities",), ("name the array probabilities",)
    if difference <= HALF_TOLERANCE:
        words = "the difference is as small as that of a lower precision, such as TF32 or float16"
        return (words,), ("compute the outputs of the check in float32, on the CPU",)
    return (), ()


def _other_pixels(probe: Probe) -> Explanation:
    """The weights are right for these images; but are they pixels in 0..1?"""
    if probe.in_range:
        return (), ()
    low, high = probe.images.min(), probe.images.max()
    words = f"the network takes images of {low:.4g}..{high:.4g}, not pixels 0..1"
    if low >= 0:
        return (words,), (f"give --std {1 / high:.9g} if {high:g} is white",)
    return (f"the images are normalised: {words}",), (readings.NOT_FOLDED,)
