"""Is it the same function? Compares an imported model with the outputs in a probe."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.model import VGG7
from numpy_vgg7.weights import normalisation, readings
from numpy_vgg7.weights.probe import Probe
from numpy_vgg7.weights.readings import Network


@dataclass(frozen=True)
class Verdict:
    """Whether a model gives the outputs of a probe; if not, which reading of the weights would, if known."""

    passed: bool
    difference: float  # the largest, in multiples of the tolerance
    causes: tuple[str, ...] = ()
    fixes: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """One line."""
        size = f"largest difference {self.difference:.2g} of the tolerance"
        if self.passed:
            return f"check passed: {size}"
        if not self.causes:
            return f"check failed: {size}; no usual wrong reading explains it"
        return f"check failed: {'; and '.join(self.causes)} ({'; '.join(self.fixes)}); {size}"


def check(model: VGG7, probe: Probe) -> Verdict:
    """Compare the logits or probabilities of `model` with those of the probe; explain a difference."""
    size, classes = model.config.image_size, model.config.classes
    if probe.outputs.shape[1] != classes:
        words = f"the check has {probe.outputs.shape[1]} outputs, the weights {classes}"
        return Verdict(False, np.inf, (words,), ("is it of another network?",))
    difference = np.inf
    if probe.images.shape[2] == size:
        with np.errstate(all="ignore"):
            x = probe.images.astype(model.dtype)
            difference = probe.difference(
                np.concatenate([model.forward(x[i : i + 256]) for i in range(0, len(x), 256)])
            )
    if difference <= 1:
        return _in_range(probe, difference)
    params = {name: parameter.astype(np.float64) for name, parameter in model.params.items()}
    plain = Network(model.config, params, model.config.activations)
    found = readings.explain(plain, probe)
    if found is None and probe.images.shape[2] == size:
        found = normalisation.explain(plain, probe)
    if found is not None:
        return Verdict(False, difference, found.words, found.fixes)
    if probe.images.shape[2] != size:
        words = f"the check has images of {probe.images.shape[2]} pixels per side, the weights fit {size}"
        return Verdict(
            False, difference, (words,), ("is it of another network, or without padding or pooling?",)
        )
    if (
        probe.kind == "logits"
        and np.allclose(probe.outputs.sum(axis=1), 1, atol=1e-3)
        and probe.outputs.min() >= 0
    ):
        again = Probe(probe.images, probe.outputs, "probabilities", 1e-5)
        if check(model, again).passed:
            words = "the logits of the check are probabilities"
            return Verdict(False, difference, (words,), ("name the array probabilities",))
    return Verdict(False, difference)


def _in_range(probe: Probe, difference: float) -> Verdict:
    """The weights are right for these images; but are they pixels in 0..1?"""
    if probe.in_range:
        return Verdict(True, difference)
    low, high = probe.images.min(), probe.images.max()
    words = f"the network takes images of {low:.4g}..{high:.4g}, not pixels 0..1"
    if low >= 0:
        return Verdict(
            False, difference, (words,), (f"give --mean 0 --std {1 / high:.9g} if {high:g} is white",)
        )
    fix = "VGG7 takes pixels 0..1 and pads with 0: train it on those"
    return Verdict(False, difference, (f"the images are normalised: {words}",), (fix,))
