"""Probes: images, and what a network computed for them in the program that its weights come from."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from numpy_vgg7.errors import DataError
from numpy_vgg7.files import write_bytes
from numpy_vgg7.functional import Array, softmax
from numpy_vgg7.model import VGG7
from numpy_vgg7.weights.npz import npz_bytes, read_npz

LOGITS, PROBABILITIES = ("logits",), ("probabilities", "probs")
IMAGES = 16  # in a probe

# Sums in another order differ by about 1e-6 in float32, by 1e-3 in float16.
TOLERANCE, HALF_TOLERANCE = 1e-5, 1e-2


@dataclass(frozen=True)
class Probe:
    """Images (N, 1, H, W), and what a network computed for them, (N, classes): logits or probabilities."""

    images: Array
    outputs: Array
    kind: str  # "logits" or "probabilities"
    tolerance: float

    def difference(self, logits: Array) -> float:
        """The largest difference between the probabilities, and between logits relative to the largest.

        It is infinite where the shapes differ or the logits are not finite.
        """
        if logits.shape != self.outputs.shape or not np.isfinite(logits).all():
            return np.inf
        if self.kind == "probabilities":
            return float(np.abs(softmax(logits) - self.outputs).max())
        relative = np.abs(logits - self.outputs).max() / max(np.abs(self.outputs).max(), 1e-30)
        return float(max(relative, np.abs(softmax(logits) - softmax(self.outputs)).max()))

    def first(self, count: int) -> "Probe":
        """The first images only."""
        return replace(self, images=self.images[:count], outputs=self.outputs[:count])

    def fits(self, logits: Array) -> bool:
        """Whether the difference is rounding."""
        return self.difference(logits) <= self.tolerance

    @property
    def in_range(self) -> bool:
        """Whether the images are pixels in 0..1."""
        return bool(self.images.min() >= 0 and self.images.max() <= 1)


def read_probe(path: Path) -> Probe:
    """Read an npz file with `images` and one of `logits`, `probabilities`, `probs`. Raises VGG7Error.

    Images are (N, H, W), (N, 1, H, W) or (N, H, W, 1), as the network of the other program took them.
    """
    arrays, _ = read_npz(path)
    kinds = [name for name in (*LOGITS, *PROBABILITIES) if name in arrays]
    if "images" not in arrays or not kinds:
        fix = "write it with numpy.savez(FILE, images=..., logits=...)"
        found = ", ".join(arrays) or "an empty file"
        raise DataError(str(path), "the arrays images, and logits or probabilities", found, fix)
    images, outputs = arrays["images"], arrays[kinds[0]]
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim != 4 or images.shape[1] != 1 or images.shape[2] != images.shape[3] or not images.size:
        expected = "square grey images (N, H, W), (N, 1, H, W) or (N, H, W, 1)"
        raise DataError(f"{path}: images", expected, f"shape {arrays['images'].shape}", "reshape them")
    if outputs.ndim != 2 or len(outputs) != len(images):
        expected = f"a row for each of {len(images)} images"
        raise DataError(f"{path}: {kinds[0]}", expected, f"shape {outputs.shape}", "reshape it")
    for name, array in (("images", images), (kinds[0], outputs)):
        if array.dtype.kind not in "fiu" or not np.isfinite(array).all():
            found = f"{array.dtype}" if array.dtype.kind not in "fiu" else "NaN or infinity"
            raise DataError(f"{path}: {name}", "finite numbers", found, "correct them")
    kind = "logits" if kinds[0] in LOGITS else "probabilities"
    tolerance = HALF_TOLERANCE if outputs.dtype == np.float16 else TOLERANCE
    pixels = images / 255 if images.dtype == np.uint8 else images.astype(np.float64)
    return Probe(pixels, outputs.astype(np.float64), kind, tolerance)


def write_probe(path: Path, model: VGG7) -> None:
    """Write images and what `model` computes for them, for a check in another program. Raises OutputError."""
    size = model.config.image_size
    rng = np.random.default_rng(0)
    # A third of the pixels are 0, as in real images.
    images = np.maximum(rng.uniform(-0.5, 1, (IMAGES, 1, size, size)), 0).astype(model.dtype)
    logits = model.logits(images)
    arrays = {"images": images, "logits": logits, "probabilities": softmax(logits)}
    write_bytes(path, npz_bytes(arrays))
