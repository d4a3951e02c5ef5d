"""The reference trace of a case: PyTorch's values and autograd's gradients, recorded by hooks."""

import copy
from typing import Any

import torch
from torch import nn

from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.parity.case import Case
from torch_ref.model import TorchVGG7
from torch_ref.training import train_steps
from torch_ref.weights import to_torch


def trace(case: Case) -> Arrays:
    """Everything one batch computes, under the names of `VGG7.trace`, and the updated parameters."""
    module = to_torch(case.model)
    images = torch.tensor(case.images, dtype=getattr(torch, case.model.dtype))
    labels = torch.tensor(case.labels)
    found = trace_batch(module, images, labels)
    stepped = train_steps(copy.deepcopy(module), images, labels, case.sgd, case.steps)
    for step, parameters in stepped.items():
        found |= {f"{name}.step{step}": _array(p) for name, p in parameters.items()}
    return found


def trace_batch(module: TorchVGG7, images: torch.Tensor, labels: torch.Tensor) -> Arrays:
    """Values and gradients of one batch, (N, 1, H, W) images and (N,) labels."""
    outputs: dict[str, torch.Tensor] = {}

    def recorder(name: str) -> Any:
        def record(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
            output.retain_grad()
            outputs[name] = output

        return record

    x = images.clone().requires_grad_()
    hooks = [child.register_forward_hook(recorder(name)) for name, child in module.named_children()]
    module.zero_grad()
    logits = module(x)
    for hook in hooks:
        hook.remove()
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()  # type: ignore[no-untyped-call]
    parameters = {
        name: {f"{name}.{key}": p for key, p in child.named_parameters()}
        for name, child in module.named_children()
    }
    values, gradients = {"input": x}, {}
    for name, output in outputs.items():
        values |= parameters[name] | {name: output}
    values |= {"probs": torch.softmax(logits, dim=1), "loss": loss}
    for name in reversed(outputs):
        for key, tensor in ({name: outputs[name]} | parameters[name]).items():
            gradients[f"{key}.grad"] = tensor.grad
    gradients["input.grad"] = x.grad
    return {name: _array(tensor) for name, tensor in (values | gradients).items()}


def _array(tensor: torch.Tensor | None) -> Array:
    assert tensor is not None, "autograd left a gradient out"
    array: Array = tensor.detach().clone().numpy()
    return array
