"""What a layer is."""

from dataclasses import dataclass
from typing import Any

from numpy_vgg7.nn.arrays import Array, Arrays, Gradients, dense
from numpy_vgg7.nn.workspace import FRESH, Workspace


@dataclass(frozen=True)
class Layer:
    """Hyper-parameters and functions. Parameters, caches and memory are passed in, so calls are re-entrant.

    `name` is that of the layer and of its output.
    """

    name: str

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the layer's parameters by key; empty where it has none."""
        return {}

    def forward(self, params: Arrays, x: Array, workspace: Workspace = FRESH) -> tuple[Array, Any]:
        """Return the output, and what the backward pass needs of the way there."""
        raise NotImplementedError

    def d_x(self, params: Arrays, cache: Any, d_out: Array, workspace: Workspace = FRESH) -> Array:
        """The gradient of the loss by the layer's input, from `d_out`, that by its output."""
        raise NotImplementedError

    def gradients(self, params: Arrays, cache: Any, d_out: Array, workspace: Workspace = FRESH) -> Gradients:
        """The gradients of the loss by the layer's parameters, by key."""
        return {}

    def backward(
        self, params: Arrays, cache: Any, d_out: Array, workspace: Workspace = FRESH
    ) -> tuple[Array, Arrays]:
        """Both of them. `d_out` is left as it is."""
        d_x = self.d_x(params, cache, d_out, workspace)
        return d_x, dense(self.gradients(params, cache, d_out, workspace))
