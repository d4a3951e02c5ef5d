"""Train the weights in numpy_vgg7/pretrained/ on MNIST.

    python scripts/train_pretrained.py --data-dir mnist

The network is a small VGG7, since its weights are part of the package. Half of its training images are
MNIST's, and half are copies with other strokes (thicker, thinner, blurred), since pens differ more than the
digits of MNIST do. It is evaluated once, at the end, on MNIST's test images.
"""

import argparse
import json
import subprocess
import time
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from scipy import ndimage

from numpy_vgg7 import VGG7, VGG7Config, pretrained
from numpy_vgg7.data import Dataset, load, split
from numpy_vgg7.environment import environment
from numpy_vgg7.functional import Array
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.loop import score, start, train
from numpy_vgg7.weights.formats import write_safetensors
from numpy_vgg7.weights.record import describe

ROOT = Path(__file__).resolve().parent.parent
CONFIG = VGG7Config(channels=(8, 16, 32, 32), hidden=(48, 48))
# Sizes of the neighbourhood of a pixel, in pixels of 28x28 images: its maximum thickens strokes, its minimum
# thins them, and its mean blurs them.
STROKES = (
    (ndimage.maximum_filter, (2, 2)),
    (ndimage.maximum_filter, (3, 3)),
    (ndimage.minimum_filter, (2, 1)),
    (ndimage.minimum_filter, (1, 2)),
    (ndimage.minimum_filter, (2, 2)),
    (ndimage.uniform_filter, (2, 2)),
    (ndimage.uniform_filter, (3, 3)),
)


def with_other_strokes(images: Array, rng: np.random.Generator) -> Array:
    """Bytes (N, 1, H, W) -> as many images, each with one of STROKES and again stretched up to 255."""
    changed = np.empty_like(images)
    choice = rng.integers(len(STROKES), size=len(images))
    for index, (function, size) in enumerate(STROKES):
        pixels = function(images[choice == index].astype("float32"), size=(1, 1, *size))
        peak = pixels.max(axis=(2, 3), keepdims=True)
        # A minimum may leave nothing of a thin stroke: such an image stays as it was.
        kept = np.where(peak > 128, pixels * (255 / np.maximum(peak, 1)), images[choice == index])
        changed[choice == index] = np.rint(kept).astype("uint8")
    return changed


def extended(dataset: Dataset, seed: int) -> Dataset:
    """The images of a data set and copies of them with other strokes."""
    copies = with_other_strokes(dataset.pixels, np.random.default_rng(seed))
    pixels, labels = np.concatenate([dataset.pixels, copies]), np.tile(dataset.labels, 2)
    return replace(dataset, pixels=pixels, labels=labels)


def main() -> None:
    """Train, evaluate on the test images, and write the weights with their provenance."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=pretrained.MNIST)
    options = parser.parse_args()

    splits = split(load("mnist", classes=10, data_dir=options.data_dir))
    splits = splits._replace(train=extended(splits.train, options.seed))
    config = TrainingConfig(options.epochs, batch_size=64, augmentation="strong", seed=options.seed)
    model = VGG7(CONFIG, options.seed, threads=options.threads)
    began, commit = time.perf_counter(), _git("rev-parse", "HEAD")
    for state in train(model, splits, config, start(model, config), lambda *progress: None):
        print(state.history[-1], f"{time.perf_counter() - began:.0f} s", flush=True)
    test, blas = score(model, splits.test), environment()["blas"]
    print(test)
    provenance = {
        "data": "MNIST (LeCun, Cortes and Burges), its 60,000 training images",
        "command": "python scripts/train_pretrained.py --data-dir mnist "
        f"--epochs {options.epochs} --seed {options.seed} --threads {options.threads}",
        "commit": commit,
        "date": datetime.now(UTC).date().isoformat(),
        "environment": f"{blas['name']} {blas['version']}, kernel {blas['kernel']}, NumPy {np.__version__}",
        "training": asdict(config),
        "test_accuracy": test.accuracy,
        "test_images": test.n,
    }
    metadata = json.loads(describe(model.config, model.params)) | {"provenance": provenance}
    options.out.parent.mkdir(exist_ok=True)
    write_safetensors(options.out, dict(model.params), json.dumps(metadata))
    print(f"wrote {options.out}")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
