"""Which normalisation of the images would give the outputs of a probe? Found by least squares."""

from dataclasses import replace

import numpy as np

from numpy_vgg7.functional import Array, softmax
from numpy_vgg7.weights.probe import Probe
from numpy_vgg7.weights.readings import NORMALISATIONS, Network, fits, normalised

IMAGES = 4  # with which the normalisation is found
ENOUGH = 0.99  # of the squared error may remain after a step
STEPS = 30  # of Gauss and Newton's method, from each start
STARTS = (*NORMALISATIONS, (0.0, 0.5))  # mean and std


def explain(plain: Network, probe: Probe) -> Network | None:
    """The network behind a normalisation (x - mean) / std that gives the outputs of a probe, or None."""
    few = probe.first(IMAGES)
    own = (float(probe.images.mean()), float(probe.images.std()) or 1.0)
    for mean, std in (own, *STARTS):
        scale, shift = _descend(plain, few, np.array([1 / std, -mean / std]))
        found = replace(plain, scale=float(scale), shift=float(shift))
        if scale and fits(found, probe):
            return normalised(plain, -shift / scale, 1 / scale)
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
        stuck = after @ after > ENOUGH * (error @ error)
        theta, error = theta - step, after
        if stuck:
            break
    return theta
