"""Backpropagation as PyTorch autograd.Functions, for whole batches. A mistake replaces one entry of `RIGHT`."""

import numpy as np
import torch
from torch.nn import functional as T


def columns(x):
    """(N, C*9, H*W), the windows around each pixel."""
    return T.unfold(x, 3, padding=1)


def conv(x, w, b):
    out = w.flatten(1) @ columns(x) + b[:, None]
    return out.reshape(len(x), len(w), *x.shape[2:])


def conv_d_x(d, x, w):
    return T.fold(w.flatten(1).T @ d.flatten(2), x.shape[2:], 3, padding=1)


def conv_d_weight(d, x, w):
    return (d.flatten(2) @ columns(x).transpose(1, 2)).sum(0).reshape(w.shape)


def pool(x):
    return x.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))


def pool_backward(d, x):
    return T.interpolate(d, scale_factor=2) / 4


def softmax(z):
    e = (z - z.max(1, keepdim=True).values).exp()
    return e / e.sum(1, keepdim=True)


RIGHT = {
    "prepared": lambda x: x,
    "conv": conv,
    "conv_d_x": conv_d_x,
    "conv_d_weight": conv_d_weight,
    "conv_d_bias": lambda d, b: d.sum((0, 2, 3)),
    "relu": lambda x: x.clamp(min=0),
    "relu_backward": lambda d, x: d * (x > 0),
    "tanh": torch.tanh,
    "tanh_backward": lambda d, x: d * (1 - x.tanh() ** 2),
    "pool": pool,
    "pool_backward": pool_backward,
    "flatten": lambda x: x.flatten(1),
    "flatten_backward": lambda d, x: d.reshape(x.shape),
    "linear": lambda x, w, b: x @ w.T + b,
    "linear_d_x": lambda d, x, w: d @ w,
    "linear_d_weight": lambda d, x, w: d.T @ x,
    "linear_d_bias": lambda d, b: d.sum(0),
    "softmax": softmax,
    "loss": lambda p, y, params: -p.gather(1, y[:, None]).log().mean(),
    "loss_backward": lambda p, y: (p - T.one_hot(y, p.shape[1])) / len(y),
    "optimizer": lambda groups: torch.optim.SGD(groups),
    "after_backward": lambda params: None,
}


def function(forward, *backward):
    """An autograd.Function; `backward` gives the gradient of each argument."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *arguments):
            ctx.save_for_backward(*arguments)
            return forward(*arguments)

        @staticmethod
        def backward(ctx, d):
            return tuple(f(d, *ctx.saved_tensors) for f in backward)

    return Own.apply


class Functions:
    """The network for one case with some functions replaced; `differentiated` are left to autograd."""

    def __init__(self, params, images, labels, rates, replaced=None, differentiated=()):
        self.params = {n: torch.tensor(p, requires_grad=True) for n, p in params.items()}
        self.images, self.labels, self.rates = torch.tensor(images), torch.tensor(labels), rates
        self.f = RIGHT | (replaced or {})
        f = self.f
        self.layer = {
            "conv": function(
                f["conv"],
                lambda d, x, w, b: f["conv_d_x"](d, x, w),
                lambda d, x, w, b: f["conv_d_weight"](d, x, w),
                lambda d, x, w, b: f["conv_d_bias"](d, b),
            ),
            "linear": function(
                f["linear"],
                lambda d, x, w, b: f["linear_d_x"](d, x, w),
                lambda d, x, w, b: f["linear_d_weight"](d, x, w),
                lambda d, x, w, b: f["linear_d_bias"](d, b),
            ),
            **{k: function(f[k], f[f"{k}_backward"]) for k in ("relu", "tanh", "pool", "flatten")},
        }
        for name in differentiated:
            self.layer[name] = f[name]
        self.loss_by_autograd = "loss" in differentiated

    def batch(self):
        """Values and gradients by name."""
        x = self.images.clone().requires_grad_()
        values = {"input": x}
        start = self.f["prepared"](x)

        def keep(name, tensor):
            tensor.retain_grad()
            values[name] = tensor
            return tensor

        x = start
        for k in (1, 2, 3, 4):
            x = keep(
                f"conv{k}",
                self.layer["conv"](x, self.params[f"conv{k}.weight"], self.params[f"conv{k}.bias"]),
            )
            x = keep(f"act{k}", self.layer["relu"](x))
            if k % 2 == 0:
                x = keep(f"pool{k}", self.layer["pool"](x))
        x = keep("flatten", self.layer["flatten"](x))
        for k in (5, 6, 7):
            x = keep(
                f"fc{k}", self.layer["linear"](x, self.params[f"fc{k}.weight"], self.params[f"fc{k}.bias"])
            )
            x = keep(f"act{k}", self.layer["tanh"](x)) if k < 7 else keep("logits", x.clone())
        probs = self.f["softmax"](x)
        loss = self.f["loss"](probs, self.labels, self.params)
        if self.loss_by_autograd:
            loss.backward()
        else:
            x.backward(self.f["loss_backward"](probs.detach(), self.labels))
        self.f["after_backward"](self.params)
        found = values | {"probs": probs, "loss": loss}
        gradients = {f"{n}.grad": t.grad for n, t in (values | self.params).items()}
        return {n: t.detach().clone().numpy() for n, t in (found | gradients).items()}

    def trace(self, steps=()):
        """The same, and the parameters after some numbers of steps."""
        found = self.batch()
        if steps:
            conv = [p for n, p in self.params.items() if n.startswith("conv")]
            fc = [p for n, p in self.params.items() if n.startswith("fc")]
            optimizer = self.f["optimizer"](
                [{"params": conv, "lr": self.rates[0]}, {"params": fc, "lr": self.rates[1]}]
            )
            for step in range(1, max(steps) + 1):
                self.zero(optimizer)
                self.batch()
                optimizer.step()
                if step in steps:
                    found |= {f"{n}.step{step}": p.detach().numpy().copy() for n, p in self.params.items()}
        return {n: np.ascontiguousarray(a) if a.ndim else a for n, a in found.items()}

    def zero(self, optimizer):
        optimizer.zero_grad()
