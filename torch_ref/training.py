"""PyTorch's SGD, with a learning rate for the convolutions and one for the fully connected layers."""

from collections.abc import Sequence

import torch
from torch import nn

from numpy_vgg7.optim import SGD
from torch_ref.model import TorchVGG7


def optimizer(module: TorchVGG7, config: SGD) -> torch.optim.SGD:
    """torch.optim.SGD with two parameter groups, weights and biases, for each of the two learning rates."""
    groups = [
        {
            "params": [p for child in module if isinstance(child, kind) for p in own(child)],
            "lr": lr,
            "weight_decay": decay,
        }
        for kind, lr in ((nn.Conv2d, config.lr_conv), (nn.Linear, config.lr_fc))
        for own, decay in (
            (lambda child: [child.weight], config.weight_decay),
            (lambda child: [b for b in [child.bias] if b is not None], config.weight_decay * config.decay_biases),
        )
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.SGD(groups, lr=config.lr_fc, momentum=config.momentum, nesterov=config.nesterov)


def train_steps(
    module: TorchVGG7,
    images: torch.Tensor,
    labels: torch.Tensor,
    config: SGD,
    steps: Sequence[int],
) -> dict[int, dict[str, torch.Tensor]]:
    """Take `max(steps)` steps on one batch. Return copies of the parameters after each number of `steps`."""
    sgd = optimizer(module, config)
    copies = {}
    for step in range(1, max(steps, default=0) + 1):
        sgd.zero_grad()
        nn.functional.cross_entropy(module(images), labels).backward()  # type: ignore[no-untyped-call]
        sgd.step()
        if step in steps:
            copies[step] = {name: p.detach().clone() for name, p in module.named_parameters()}
    return copies
