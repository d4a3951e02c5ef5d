"""Which normalisation of the images would give the outputs of a probe? Found by least squares."""

from dataclasses import replace

import numpy as np

from numpy_vgg7.functional import Array, softmax
from numpy_vgg7.weights.probe import Probe
from numpy_vgg7.weights.readings import Network, fits

IMAGES = 8  # with which the normalisation is found
STEPS = 30  # of Gauss and Newton's method, from each start

# Mean and std: of MNIST, symmetric, inverted, pixels 0..255 and 0..16.
STARTS = ((0.1307, 0.3081), (0.5, 0.5), (1.0, -1.0), (0.0, 1 / 255), (0.0, 1 / 16), (0.0, 0.5), (0.0, 255.0))


def explain(plain: Network, probe: Probe) -> Network | None:
    """The network behind a normalisation (x - mean) / std that gives the outputs of a probe, or None."""
    few = replace(probe, images=probe.images[:IMAGES], outputs=probe.outputs[:IMAGES])
    own = (float(probe.images.mean()), float(probe.images.std()) or 1.0)
    for mean, std in (own, *STARTS):
        scale, shift = _descend(plain, few, np.array([1 / std, -mean / std]))
        found = replace(plain, scale=float(scale), shift=float(shift))
        if scale and fits(found, probe):
            return _in_words(found)
    return None


def _descend(plain: Network, probe: Probe, theta: Array) -> Array:
    """Scale and shift with the smallest sum of squared differences near `theta`."""

    def residual(theta: Array) -> Array:
        network = replace(plain, scale=float(theta[0]), shift=float(theta[1]))
        with np.errstate(all="ignore"):
            logits = network.logits(probe.images)
        found = logits if probe.kind == "logits" else softmax(logits)
        difference: Array = np.nan_to_num(found - probe.outputs, nan=1e9, posinf=1e9, neginf=-1e9).ravel()
        return difference

    error = residual(theta)
    for _ in range(STEPS):
        small = 1e-6 * np.maximum(np.abs(theta), 1e-3)
        slopes = np.stack([(residual(theta + d) - error) / d.sum() for d in np.diag(small)], axis=1)
        step = np.linalg.lstsq(slopes, error)[0]
        for _halving in range(8):
            after = residual(theta - step)
            if after @ after < error @ error:
                break
            step = step / 2
        else:
            return theta
        theta, error = theta - step, after
        if np.abs(step).max() < 1e-12 * np.abs(theta).max():
            break
    return theta


def _in_words(network: Network) -> Network:
    std, mean = 1 / network.scale, -network.shift / network.scale
    if abs(mean) < 1e-4 * abs(std):
        words = f"the images are scaled: the network takes pixels in 0..{network.scale:.6g}"
        return network.read(words, f"give --mean 0 --std {std:.9g}")
    words = f"the images are normalised: (x - {mean:.4f}) / {std:.4f}"
    if abs(mean - 1) < 1e-3 and abs(std + 1) < 1e-3:
        words = "the images are inverted: 1 - x"
    return network.read(words, "VGG7 takes pixels 0..1 and pads with 0: train it on those")
