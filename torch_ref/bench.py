"""PyTorch's side of the benchmark: a row ready to run, in each of three forms."""

import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from numpy_vgg7.bench.measure import Turn
from numpy_vgg7.bench.rows import INFERENCE, RATES, Row
from numpy_vgg7.model import VGG7
from torch_ref.model import TorchVGG7
from torch_ref.training import optimizer
from torch_ref.weights import to_torch

Network = Callable[[torch.Tensor], torch.Tensor]
Batches = list[tuple[torch.Tensor, torch.Tensor]]


@contextmanager
def ready(row: Row, threads: int, form: str = "eager") -> Iterator[Turn | None]:
    """A function that takes the steps of a row; None for `compile` where it cannot compile."""
    torch.set_num_threads(threads)
    module = to_torch(VGG7(row.config))
    batches = [(torch.from_numpy(images), torch.from_numpy(labels)) for images, labels in row.batches()]
    if form == "channels_last":
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        batches = [(images.to(memory_format=torch.channels_last), labels) for images, labels in batches]
    turn = _inference if row.mode == INFERENCE else _training
    yield _compiled(turn, module, batches) if form == "compile" else turn(module, module, batches)


def _inference(module: TorchVGG7, network: Network, batches: Batches) -> Turn:
    def turn() -> None:
        with torch.inference_mode():
            for images, _ in batches:
                network(images)

    return turn


def _training(module: TorchVGG7, network: Network, batches: Batches) -> Turn:
    descent = optimizer(module, RATES)

    def turn() -> None:
        for images, labels in batches:
            descent.zero_grad()
            nn.functional.cross_entropy(network(images), labels).backward()  # type: ignore[no-untyped-call]
            descent.step()

    return turn


def _compiled(
    make: Callable[[TorchVGG7, Network, Batches], Turn], module: TorchVGG7, batches: Batches
) -> Turn | None:
    """The turn of a compiled module; the first one, which compiles, is taken here."""
    if not any(shutil.which(compiler) for compiler in ("g++", "clang++", "c++")):
        return None
    torch.compiler.reset()  # it counts how often it compiled this class, and gives up after a few
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            turn = make(module, torch.compile(module), batches)
            turn()
    except Exception:  # compilers fail in many ways; the peer has two other forms
        return None
    return turn
