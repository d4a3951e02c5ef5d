"""PyTorch's SGD, with a learning rate for the convolutions and one for the fully connected layers."""

from collections.abc import Sequence

import torch
from torch import nn

from numpy_vgg7.optim import SGD
from torch_ref.model import TorchVGG7


def optimizer(module: TorchVGG7, config: SGD) -> torch.optim.SGD:
    """torch.optim.SGD with two parameter groups, weights and biases, for each of the two learning rates."""
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
