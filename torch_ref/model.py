"""The network as a PyTorch module, with one child per layer."""

import torch
from torch import nn

from numpy_vgg7.config import VGG7Config


class Arctan(nn.Module):
    """Inverse tangent; torch.nn has no such module."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Elementwise."""
        return torch.atan(x)


ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "arctan": Arctan,
    "identity": nn.Identity,
}


class TorchVGG7(nn.Sequential):
    """(N, 1, H, W) -> logits (N, classes). Parameters have the same names as in `VGG7.params`."""

    def __init__(self, config: VGG7Config, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.config = config
        for number in (1, 2, 3, 4):
            inputs, outputs = (1, *config.channels)[number - 1 : number + 1]
            groups = config.groups[number - 1]
            conv = nn.Conv2d(inputs, outputs, 3, padding=1, groups=groups, bias=config.bias)
            self.add_module(f"conv{number}", conv)
            self.add_module(f"act{number}", ACTIVATIONS[config.activations[number - 1]]())
            if number in (2, 4):
                self.add_module(f"pool{number}", nn.AvgPool2d(2))
        self.add_module("flatten", nn.Flatten())
        features = (
            config.channels[3] * (config.image_size // 4) ** 2,
            *config.hidden,
            config.classes,
        )
        for number in (5, 6, 7):
            inputs, outputs = features[number - 5 : number - 3]
            self.add_module(f"fc{number}", nn.Linear(inputs, outputs, bias=config.bias))
            name = f"act{number}" if number < 7 else "logits"
            self.add_module(name, ACTIVATIONS[config.activations[number - 1]]())
        self.to(dtype)
