"""The resident memory of a process that trains or predicts with batches of many sizes.

`python -m tests.memory_use PRESET MODE SIZE...` prints one JSON object with megabytes above the start: at the
peak of all batches, after `release`, and after the model is deleted. MODE is "training" or "inference"; with
"models", models are made, trained with every batch size, and deleted in turn, and a list has their figures;
with "partial_fit", one classifier is trained with every size of a batch in turn, and a list has those.
"""

import gc
import json
import sys
from pathlib import Path

import numpy as np

from numpy_vgg7 import VGG7, VGG7Classifier, VGG7Config
from numpy_vgg7.optim import SGD

TRAINING, INFERENCE, MODELS, PARTIAL = "training", "inference", "models", "partial_fit"
RATES = SGD(1e-4, 1e-4)
COUNT = 20  # models in turn
THREADS = 2


def resident() -> float:
    """Megabytes of this process that are in memory. Linux only."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def run(model: VGG7, velocity: dict[str, np.ndarray] | None, sizes: list[int]) -> float:
    """One training step, or with velocity None one prediction, for each size; the peak in megabytes."""
    rng = np.random.default_rng(0)
    peak = 0.0
    for size in sizes:
        images = rng.random((size, 1, model.config.image_size, model.config.image_size), "float32")
        if velocity is None:
            model.predict(images)
        else:
            model.train_step(images, rng.integers(10, size=size), RATES, velocity)
        peak = max(peak, resident())
    return peak


def use(preset: str, mode: str, sizes: list[int]) -> dict[str, float]:
    """What one model takes, in megabytes above the start."""
    run(VGG7(VGG7Config(image_size=4)), None, [1])  # imports, and buffers of the BLAS
    before = resident()
    model = VGG7(VGG7Config.preset(preset), threads=THREADS)
    velocity = RATES.init(model.params) if mode == TRAINING else None
    start = resident()
    peak = run(model, velocity, sizes)
    model.release()
    released = resident()
    del model, velocity
    return {"peak": peak - start, "released": released - start, "deleted": resident() - before}


def in_turn(preset: str, sizes: list[int]) -> list[float]:
    """Megabytes after each of COUNT models was made, used and deleted."""
    before = resident()
    found = []
    for _ in range(COUNT):
        model = VGG7(VGG7Config.preset(preset), threads=THREADS)
        run(model, RATES.init(model.params), sizes)
        del model
        found.append(resident() - before)
    return found


def partial_fits(preset: str, sizes: list[int]) -> list[float]:
    """Megabytes after each `partial_fit` with so many rows, which are random images of 8x8 pixels."""
    classifier = VGG7Classifier(preset=preset, channels=(2, 2, 4, 4), hidden=(8, 8), random_state=0)
    rng = np.random.default_rng(0)
    found = []
    for size in sizes:
        rows, labels = rng.random((size, 64)), rng.integers(10, size=size)
        classifier.partial_fit(rows, labels, classes=np.arange(10))
        found.append(resident())
    return [figure - found[0] for figure in found]


MODES = {MODELS: in_turn, PARTIAL: partial_fits}

if __name__ == "__main__":
    preset, mode, *words = sys.argv[1:]
    sizes = [int(word) for word in words]
    print(json.dumps(MODES[mode](preset, sizes) if mode in MODES else use(preset, mode, sizes)))
