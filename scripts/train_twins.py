"""Train the network and PyTorch's copy of it on MNIST with the same settings, and compare time and accuracy.

    python scripts/train_twins.py --data-dir mnist

Both start with the same weights and take the same batches, which are prepared by the same thread ahead of the
step. Each contender has a process of its own; they train one after another. The time is that of the epochs
with the validation after each, without reading the data; compiling is stated apart.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.bench.processor import processor
from numpy_vgg7.data import Dataset, Splits, load, split
from numpy_vgg7.model import INFERENCE_BATCH
from numpy_vgg7.training import batches, loop
from numpy_vgg7.training.config import TrainingConfig
from torch_ref.training import SCHEDULERS, optimizer
from torch_ref.weights import to_torch

CONFIG = VGG7Config()
CONTENDERS = ("numpy-vgg7", "eager", "channels_last", "compile")
Network = Callable[[torch.Tensor], torch.Tensor]


def numpy_twin(splits: Splits, config: TrainingConfig, threads: int) -> tuple[float, float]:
    """Seconds of the training, and accuracy on the test images."""
    model = VGG7(CONFIG, config.seed, threads=threads)
    began = time.perf_counter()
    for _ in loop.train(model, splits, config, loop.start(model, config), lambda *progress: None):
        pass
    return time.perf_counter() - began, loop.score(model, splits.test).accuracy


def torch_twin(splits: Splits, config: TrainingConfig, threads: int, form: str) -> tuple[float, float]:
    """As `numpy_twin`, for PyTorch in one of its forms."""
    torch.set_num_threads(threads)
    module = to_torch(VGG7(CONFIG, config.seed))
    layout = torch.channels_last if form == "channels_last" else torch.contiguous_format
    module.to(memory_format=layout)  # type: ignore[call-overload]
    network: Network = torch.compile(module) if form == "compile" else module
    sgd = optimizer(module, config.sgd())
    steps = config.epochs * batches.count(len(splits.train), config)
    scheduler = SCHEDULERS[config.schedule](sgd, steps)
    if form == "compile":
        compile_shapes(network, splits, config)
    began = time.perf_counter()
    for epoch in range(config.epochs):
        train_epoch(network, splits.train, config, epoch, sgd, scheduler, layout)
        accuracy(network, splits.validation, layout)
    return time.perf_counter() - began, accuracy(network, splits.test, layout)


def compile_shapes(network: Network, splits: Splits, config: TrainingConfig) -> None:
    """Compile the network for both sizes of training batches and for inference; leave no gradients."""
    began = time.perf_counter()
    for size in (config.batch_size, len(splits.train) % config.batch_size):
        if size:
            images = torch.tensor(splits.train.batch(slice(size)), dtype=torch.float32)
            network(images).sum().backward()  # type: ignore[no-untyped-call]
    accuracy(network, splits.validation, torch.contiguous_format)
    print(f"compiled in {time.perf_counter() - began:.1f} s", file=sys.stderr)


def train_epoch(
    network: Network, data: Dataset, config: TrainingConfig, epoch: int, sgd: torch.optim.SGD,
    scheduler: LRScheduler, layout: torch.memory_format,
) -> None:  # fmt: skip
    """One pass over the batches that `loop.train` draws."""
    for images, labels in batches.draw(data, config, epoch, "float32"):
        sgd.zero_grad()
        logits = network(torch.from_numpy(images).to(memory_format=layout))
        nn.functional.cross_entropy(  # type: ignore[no-untyped-call]
            logits, torch.from_numpy(labels), label_smoothing=config.label_smoothing
        ).backward()
        sgd.step()
        scheduler.step()


def accuracy(network: Network, data: Dataset, layout: torch.memory_format) -> float:
    """The share of the images that the network recognises."""
    correct = 0
    with torch.inference_mode():
        for start in range(0, len(data), INFERENCE_BATCH):
            part = slice(start, start + INFERENCE_BATCH)
            images = torch.tensor(data.batch(part), dtype=torch.float32).to(memory_format=layout)
            correct += int(np.sum(network(images).argmax(dim=1).numpy() == data.labels[part]))
    return correct / len(data)


def main() -> None:
    """Train each contender in a process of its own; print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--settings", default="fast")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contender", choices=CONTENDERS, help="Only this one, in this process.")
    options = parser.parse_args()
    if options.contender is None:
        print(processor())
        for contender in CONTENDERS:
            command = [sys.executable, *sys.argv, "--contender", contender]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{contender:14}", done.stdout.strip(), done.stderr.strip(), flush=True)
        return
    splits = split(load("mnist", classes=10, data_dir=options.data_dir))
    config = TrainingConfig.preset(options.settings, seed=options.seed)
    if options.contender == "numpy-vgg7":
        seconds, share = numpy_twin(splits, config, options.threads)
    else:
        seconds, share = torch_twin(splits, config, options.threads, options.contender)
    print(json.dumps({"seconds": round(seconds, 1), "test_accuracy": share}))


if __name__ == "__main__":
    main()
