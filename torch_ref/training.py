"""PyTorch's own SGD step, with the two rates."""

from collections.abc import Sequence
from dataclasses import asdict

import torch
from torch import nn

from numpy_vgg7.optim import SGD
from torch_ref.model import TorchVGG7


def optimizer(module: TorchVGG7, settings: SGD) -> torch.optim.SGD:
    """torch.optim.SGD with a parameter group for the convolutions and one for the fully connected layers."""
    options = asdict(settings)
    rates = {nn.Conv2d: options.pop("lr_conv"), nn.Linear: options.pop("lr_fc")}
    groups = [
        {"params": [p for child in module if isinstance(child, kind) for p in child.parameters()], "lr": lr}
        for kind, lr in rates.items()
    ]
    return torch.optim.SGD(groups, lr=settings.lr_fc, **options)


def train_steps(
    module: TorchVGG7,
    images: torch.Tensor,
    labels: torch.Tensor,
    settings: SGD,
    steps: Sequence[int],
) -> dict[int, dict[str, torch.Tensor]]:
    """Step `max(steps)` times on one batch; return copies of the parameters after each of `steps`."""
    descent = optimizer(module, settings)
    seen = {}
    for step in range(1, max(steps) + 1):
        descent.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()  # type: ignore[no-untyped-call]
        descent.step()
        if step in steps:
            seen[step] = {name: p.detach().clone() for name, p in module.named_parameters()}
    return seen
