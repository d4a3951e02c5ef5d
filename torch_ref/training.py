"""PyTorch's training: SGD with a learning rate for the convolutions and one for the others, and schedules."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LRScheduler, MultiStepLR
from torch.optim.sgd import sgd as sgd_step

from numpy_vgg7.functional import Array, Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.training_check import TrainingStep
from numpy_vgg7.training.config import TrainingConfig
from torch_ref.model import TorchVGG7
from torch_ref.weights import to_torch


def parameter_groups(module: TorchVGG7, config: SGD) -> list[dict[str, Any]]:
    """Two parameter groups, weights and biases, for each of the two learning rates."""
    layers = [child for child in module if isinstance(child, (nn.Conv2d, nn.Linear))]
    groups = []
    for kind, lr in ((nn.Conv2d, config.lr_conv), (nn.Linear, config.lr_fc)):
        own = [layer for layer in layers if isinstance(layer, kind)]
        biases = [layer.bias for layer in own if layer.bias is not None]
        decay = config.weight_decay
        groups.append({"params": [layer.weight for layer in own], "lr": lr, "weight_decay": decay})
        if biases:
            decay = decay if config.decay_biases else 0.0
            groups.append({"params": biases, "lr": lr, "weight_decay": decay})
    return groups


def optimizer(module: TorchVGG7, config: SGD) -> torch.optim.SGD:
    """torch.optim.SGD of the parameter groups."""
    groups = parameter_groups(module, config)
    return torch.optim.SGD(groups, lr=config.lr_fc, momentum=config.momentum, nesterov=config.nesterov)


def train_steps(
    module: TorchVGG7,
    images: torch.Tensor,
    labels: torch.Tensor,
    config: SGD,
    steps: Sequence[int],
) -> dict[int, dict[str, torch.Tensor]]:
    """Take `max(steps)` steps on one batch. Return copies of the parameters after each number of `steps`.

    By the function that torch.optim.SGD calls: the class loads PyTorch's compiler, which takes seconds.
    """
    groups = parameter_groups(module, config)
    buffers: list[list[torch.Tensor | None]] = [[None for _ in group["params"]] for group in groups]
    copies = {}
    for step in range(1, max(steps, default=0) + 1):
        module.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()  # type: ignore[no-untyped-call]
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
        with torch.no_grad():
            for group, own in zip(groups, buffers, strict=True):
                sgd_step(
                    group["params"], [p.grad for p in group["params"]], own, lr=group["lr"],
                    momentum=config.momentum, weight_decay=group["weight_decay"], dampening=0.0,
                    nesterov=config.nesterov, maximize=False,
                )  # fmt: skip
        if step in steps:
            copies[step] = {name: p.detach().clone() for name, p in module.named_parameters()}
    return copies


SCHEDULERS: dict[str, Callable[[torch.optim.SGD, int], LRScheduler]] = {
    "constant": lambda sgd, steps: LambdaLR(sgd, lambda step: 1.0),
    "step": lambda sgd, steps: MultiStepLR(sgd, [math.ceil(steps / 2), math.ceil(3 * steps / 4)], 0.1),
    "cosine": lambda sgd, steps: CosineAnnealingLR(sgd, steps),
    "one-cycle": lambda sgd, steps: LambdaLR(sgd, partial(_one_cycle, max(1, round(steps / 10)), steps)),
}


def _one_cycle(peak: int, steps: int, step: int) -> float:
    """Linearly to 1 at step `peak` - 1, then half a cosine, which begins at `peak`."""
    if step < peak:
        return (step + 1) / peak
    return math.cos(math.pi / 2 * (step - peak) / max(1, steps - peak)) ** 2


def train_batches(
    model: VGG7, batches: Iterable[tuple[Array, Labels]], config: TrainingConfig, steps: int
) -> Iterator[TrainingStep]:
    """Train PyTorch's copy of `model`, a step on each batch, as in a training of `steps` steps."""
    module = to_torch(model)
    nesterov = config.nesterov and config.momentum > 0  # `config.sgd` is what is being checked
    sgd = optimizer(module, SGD(
        config.lr_conv, config.lr_fc, config.momentum, config.weight_decay, nesterov, config.decay_biases
    ))  # fmt: skip
    scheduler = SCHEDULERS[config.schedule](sgd, steps)
    named = dict(module.named_parameters())
    for images, labels in batches:
        sgd.zero_grad()
        logits, target = module(torch.tensor(images)), torch.tensor(labels)
        loss = nn.functional.cross_entropy(logits, target, label_smoothing=config.label_smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(module.parameters(), config.clip_norm)
        rates = {
            name: float(group["lr"]) for group in sgd.param_groups for name, p in named.items()
            if any(p is member for member in group["params"])
        }  # fmt: skip
        sgd.step()
        scheduler.step()
        buffers = {name: sgd.state[p].get("momentum_buffer") for name, p in named.items()}
        velocity = {name: buffer.numpy().copy() for name, buffer in buffers.items() if buffer is not None}
        params = {name: p.detach().numpy().copy() for name, p in named.items()}
        correct = int((logits.argmax(dim=1) == target).sum())
        yield TrainingStep(loss.item(), correct, rates, params, velocity)
