"""The user's own PyTorch module against weights: every layer's output and gradient, recorded by hooks."""

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from numpy_vgg7.errors import CaseError
from numpy_vgg7.functional import Arrays
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import trace
from numpy_vgg7.parity.case import random_case
from numpy_vgg7.parity.case_file import CaseFile
from numpy_vgg7.parity.judge import check
from numpy_vgg7.parity.run import Report
from numpy_vgg7.weights import import_weights
from numpy_vgg7.weights.features import require_vgg7
from numpy_vgg7.weights.names import LAYERS, normalise

BATCH = 5


def compare_module(module: nn.Module, weights: VGG7 | str | Path, seed: int = 0) -> Report:
    """Compare a module with a VGG7 of the same weights, in float64, tensor by tensor.

    `module` maps images (N, 1, H, W) to logits (N, classes); a copy runs in evaluation mode on random images.
    `weights` are a model, or a file of any format that `import_weights` reads. Layers may have any names that
    it recognizes. Parameters, the outputs of convolutions and linear layers, the logits, the loss, and the
    gradients of all of them are compared; what a module computes without submodules is not seen.

    The report has `passed`, `culprit` and `diagnosis`. Raises CaseError or WeightsError.
    """
    if not isinstance(module, nn.Module):
        raise CaseError("module", "a torch.nn.Module", type(module).__name__, "give the network")
    model = weights if isinstance(weights, VGG7) else import_weights(Path(weights)).model
    case = random_case(model, BATCH, seed).astype("float64")
    reference = trace(case.model.layers, case.model.params, case.images, case.labels)
    found = _trace(
        copy.deepcopy(module).double().cpu().eval(), case.images, case.labels, model.config.classes
    )
    title = f"{type(module).__name__}: compared with the VGG7 of the weights"
    return check(CaseFile(case, reference), found, partial=True, title=title)


def _trace(module: nn.Module, images: Any, labels: Any, classes: int) -> Arrays:
    """Values and gradients of one batch under VGG7's names."""
    source = type(module).__name__
    state = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    require_vgg7(normalise(state, source)[0], source)
    parameters = dict(module.named_parameters())
    arrays = {name: parameter.detach().numpy() for name, parameter in parameters.items()}
    # `normalise` keeps the order.
    names = dict(zip(parameters, normalise(arrays, source)[0], strict=True))
    layers = {old.rpartition(".")[0]: new.rpartition(".")[0] for old, new in names.items()}
    if not set(layers.values()) >= set(LAYERS):
        expected = f"layers that are recognized as {', '.join(LAYERS)}"
        raise CaseError("module", expected, ", ".join(layers), "use these names")
    outputs: dict[str, torch.Tensor] = {}
    hooks = [
        module.get_submodule(old).register_forward_hook(_record(outputs, new)) for old, new in layers.items()
    ]
    try:
        x = torch.tensor(images, requires_grad=True)
        logits = module(x)
    except RuntimeError as error:
        found = str(error).splitlines()[0]
        raise CaseError(
            "module", f"one for images {images.shape}", found, "check the image size of the module"
        ) from error
    finally:
        for hook in hooks:
            hook.remove()
    if not isinstance(logits, torch.Tensor) or logits.shape != (len(images), classes):
        shape = str(tuple(logits.shape)) if isinstance(logits, torch.Tensor) else type(logits).__name__
        raise CaseError(
            "module", f"logits of shape {(len(images), classes)}", shape, "return only the logits"
        )
    if bool((logits.sum(dim=1) - 1).abs().max() < 1e-9) and bool((logits >= 0).all()):
        raise CaseError("module", "logits", "probabilities", "remove the final softmax")
    logits.retain_grad()
    loss = nn.functional.cross_entropy(logits, torch.tensor(labels))
    loss.backward()  # type: ignore[no-untyped-call]
    values = {names[old]: parameter for old, parameter in parameters.items()} | outputs
    values |= {"logits": logits}
    gradients = {f"{name}.grad": tensor.grad for name, tensor in (values | {"input": x}).items()}
    values |= {"probs": torch.softmax(logits, dim=1), "loss": loss}
    return {name: t.detach().numpy() for name, t in (values | gradients).items() if t is not None}


def _record(outputs: dict[str, torch.Tensor], name: str) -> Any:
    def record(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        output.retain_grad()
        outputs[name] = output
        return output.clone()  # an activation in place would change the recorded one

    return record
