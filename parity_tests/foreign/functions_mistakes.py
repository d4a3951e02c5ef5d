"""Mistakes for the autograd.Functions: one row each, with the place and the words that name it."""

import torch
from torch.nn import functional as T

from parity_tests.foreign import functions as right
from parity_tests.foreign.planted import Planted


def _conv_with(pad):
    """A convolution with other padding."""

    def conv(x, w, b):
        return T.conv2d(pad(x), w, b)

    return conv


def _centre(d, b):
    return d[:, :, 1:-1, 1:-1].sum((0, 2, 3))


def _swapped(d, x, w):
    """In and out channels not exchanged, where they can be confused."""
    if w.shape[0] != w.shape[1]:
        return right.conv_d_x(d, x, w)
    return right.conv_d_x(d, x, w.transpose(0, 1))


def _square(d, x, w):
    """W not transposed, where it is square."""
    return d @ w.T if w.shape[0] == w.shape[1] else d @ w


def _square_weight(d, x, w):
    found = d.T @ x
    return found.T if found.shape[0] == found.shape[1] else found


def _max_pool_backward(d, x):
    _, index = T.max_pool2d(x, 2, return_indices=True)
    return T.max_unpool2d(d, index, 2)


def _gradients(change):
    """What happens to the gradients of all parameters after the backward pass."""

    def after(params):
        for name, p in params.items():
            p.grad = change(name, p)

    return after


def _all_clipped(params):
    torch.nn.utils.clip_grad_norm_(params.values(), 0.01)


def _softmax(function, axis=1):
    return lambda z: function(z) / function(z).sum(axis, keepdim=True)


def _through(p, d_p):
    return p * (d_p - (d_p * p).sum(1, keepdim=True))


def _y(p, y):
    return T.one_hot(y, p.shape[1])


def _ce(p, y):
    return -p.gather(1, y[:, None]).log().mean()


def _optimizer(kind, **options):
    return lambda groups: kind(groups, **options)


def _weights(params):
    return sum((p**2).sum() for n, p in params.items() if n.endswith("weight"))


PAD = (1, 1, 1, 1)
# name, place, words, function, replacement; then what is left to autograd, so that what follows is right.
ROWS = [
    ("conv without bias", "conv1 forward", "bias is missing", "conv", lambda x, w, b: T.conv2d(x, w, padding=1)),
    ("conv rotated", "conv1 forward", "rotated by 180", "conv",
     lambda x, w, b: T.conv2d(x, w.flip(2, 3), b, padding=1)),
    ("conv rotated, by autograd", "conv1 forward", "rotated by 180", "conv",
     lambda x, w, b: T.conv2d(x, w.flip(2, 3), b, padding=1), "conv"),
    ("conv flipped left to right, by autograd", "conv1 forward", "left to right", "conv",
     lambda x, w, b: T.conv2d(x, w.flip(3), b, padding=1), "conv"),
    ("reflected padding, by autograd", "conv1 forward", "reflect", "conv",
     _conv_with(lambda x: T.pad(x, PAD, "reflect")), "conv"),
    ("replicated padding, by autograd", "conv1 forward", "edge", "conv",
     _conv_with(lambda x: T.pad(x, PAD, "replicate")), "conv"),
    ("circular padding, by autograd", "conv1 forward", "wraps", "conv",
     _conv_with(lambda x: T.pad(x, PAD, "circular")), "conv"),
    ("valid and then padded, by autograd", "conv1 forward", "inside the image", "conv",
     lambda x, w, b: T.pad(T.conv2d(x, w, b), PAD), "conv"),
    ("bias twice, by autograd", "conv1 forward", "twice|2 times", "conv",
     lambda x, w, b: T.conv2d(x, w, 2 * b, padding=1), "conv"),
    ("leaky ReLU, by autograd", "act1 forward", "leaky", "relu", lambda x: T.leaky_relu(x, 0.2), "relu"),
    ("ReLU6 with unscaled images", "conv1 forward", "not scaled|255", "prepared", lambda x: 255 * x),
    ("GELU, by autograd", "act1 forward", "GELU", "relu", T.gelu, "relu"),
    ("ELU, by autograd", "act1 forward", "ELU", "relu", T.elu, "relu"),
    ("SiLU, by autograd", "act1 forward", "SiLU", "relu", T.silu, "relu"),
    ("softplus, by autograd", "act1 forward", "softplus", "relu", T.softplus, "relu"),
    ("no ReLU, by autograd", "act1 forward", "identity", "relu", lambda x: 1 * x, "relu"),
    ("hardtanh, by autograd", "act5 forward", "hardtanh|identity", "tanh", T.hardtanh, "tanh"),
    ("sigmoid, by autograd", "act5 forward", "sigmoid", "tanh", torch.sigmoid, "tanh"),
    ("scaled tanh, by autograd", "act5 forward", "1.7159", "tanh",
     lambda x: 1.7159 * torch.tanh(2 * x / 3), "tanh"),
    ("max pooling, by autograd", "pool2 forward", "maximum", "pool", lambda x: T.max_pool2d(x, 2), "pool"),
    ("max pooling forward only", "pool2 forward", "maximum", "pool", lambda x: T.max_pool2d(x, 2)),
    ("sum pooling, by autograd", "pool2 forward", "1/4", "pool", lambda x: 4 * T.avg_pool2d(x, 2), "pool"),
    ("overlapping windows", "pool2 forward", "stride|overlap", "pool",
     lambda x: T.avg_pool2d(x, 3, 2, 1), "pool"),
    ("square pooling, by autograd", "pool2 forward", "root of the mean square", "pool",
     lambda x: (T.avg_pool2d(x * x, 2) + 0).sqrt(), "pool"),
    ("flatten columns first, by autograd", "flatten forward", "C, W, H", "flatten",
     lambda x: x.transpose(2, 3).flatten(1), "flatten"),
    ("flatten with mixed images", "flatten forward", "mixed", "flatten",
     lambda x: x.transpose(0, 1).reshape(len(x), -1)),
    ("linear without bias", "fc5 forward", "bias is missing", "linear", lambda x, w, b: x @ w.T),
    ("tanh within the linear layer, by autograd", "fc5 forward", "tanh is applied", "linear",
     lambda x, w, b: (x @ w.T + b).tanh(), "linear"),
    ("images inverted", "conv1 forward", "inverted", "prepared", lambda x: 1 - x),
    ("images of MNIST's mean", "conv1 forward", "MNIST", "prepared", lambda x: (x - 0.1307) / 0.3081),
    ("images rotated", "conv1 forward", "rotated by 90|rotated by 270", "prepared", lambda x: x.rot90(1, (2, 3))),
    ("images rolled", "conv1 forward", "images in the order", "prepared", lambda x: x.roll(1, 0)),
    ("softmax over the batch", "loss forward", "over the batch|batch (axis 0)", "softmax",
     lambda z: z.softmax(0)),
    ("softmax over everything", "loss forward", "whole batch at once", "softmax",
     lambda z: z.exp() / z.exp().sum()),
    ("softmax to base 2, by autograd", "loss forward", "base 2", "softmax",
     _softmax(lambda z: 2**z), "loss"),
    ("softmax twice, by autograd", "loss forward", "twice", "softmax", lambda z: z.softmax(1).softmax(1), "loss"),
    ("sigmoid, by autograd as loss", "loss forward", "sigmoid", "softmax", torch.sigmoid, "loss"),
    ("softmax with eps, by autograd", "loss forward", "1e-05", "softmax",
     lambda z: z.exp() / (z.exp().sum(1, keepdim=True) + 1e-5), "loss"),
    ("log-probabilities", "loss forward", "logarithm", "softmax", lambda z: z.log_softmax(1)),
    ("square error, by autograd", "loss forward", "square error", "loss",
     lambda p, y, params: ((p - _y(p, y)) ** 2).sum(1).mean(), "loss"),
    ("mean square error, by autograd", "loss forward", "square error", "loss",
     lambda p, y, params: ((p - _y(p, y)) ** 2).mean(), "loss"),
    ("binary loss, by autograd", "loss forward", "binary", "loss",
     lambda p, y, params: T.binary_cross_entropy(p, _y(p, y).double()), "loss"),
    ("loss summed, by autograd", "loss forward", "sum over the batch", "loss",
     lambda p, y, params: len(y) * _ce(p, y), "loss"),
    ("label smoothing, by autograd", "loss forward", "smoothed", "loss",
     lambda p, y, params: T.cross_entropy(p.log(), y, label_smoothing=0.1), "loss"),
    ("decay in the loss", "loss forward", "weight decay", "loss",
     lambda p, y, params: _ce(p, y) + 1e-3 * _weights(params)),
    ("labels reversed in the loss", "loss forward", "reverse order", "loss",
     lambda p, y, params: _ce(p, y.flip(0))),
    ("loss clipped at 1e-7", "loss forward", "1e-05|1e-5", "loss",
     lambda p, y, params: -(p.gather(1, y[:, None]) + 1e-5).log().mean()),
    ("y - p and a sum", "loss backward", "y - p", "loss_backward", lambda p, y: _y(p, y) - p),
    ("gradient for p only", "loss backward", "Jacobian", "loss_backward", lambda p, y: -_y(p, y) / p / len(y)),
    ("binary gradient", "loss backward", "binary", "loss_backward",
     lambda p, y: _through(p, (p - _y(p, y)) / (p * (1 - p))) / len(y)),
    ("gradient divided by N twice", "loss backward", "1/N", "loss_backward",
     lambda p, y: (p - _y(p, y)) / len(y) ** 2),
    ("gradient with eps", "loss backward", "1e-06", "loss_backward",
     lambda p, y: _through(p, -_y(p, y) / (p + 1e-6)) / len(y)),
    ("2 (p - y)", "loss backward", "2", "loss_backward", lambda p, y: 2 * (p - _y(p, y)) / len(y)),
    ("gradient of the last image", "loss backward", "last sample|last image", "loss_backward",
     lambda p, y: (p - _y(p, y)) / len(y) * (torch.arange(len(y)) == len(y) - 1)[:, None]),
    ("conv db averaged", "conv4 backward", "mean over batch and space", "conv_d_bias", lambda d, b: d.mean((0, 2, 3))),
    ("conv db averaged over images", "conv4 backward", "mean over the batch", "conv_d_bias",
     lambda d, b: d.sum((2, 3)).mean(0)),
    ("conv db without the border", "conv4 backward", "border", "conv_d_bias", _centre),
    ("conv db of the first image", "conv4 backward", "first sample|first image", "conv_d_bias",
     lambda d, b: d[0].sum((1, 2))),
    ("dW averaged", "conv4 backward", "mean over the batch", "conv_d_weight",
     lambda d, x, w: right.conv_d_weight(d, x, w) / len(d)),
    ("dW of the first image", "conv4 backward", "first sample|first image", "conv_d_weight",
     lambda d, x, w: right.conv_d_weight(d[:1], x[:1], w)),
    ("dW from the flipped input", "conv4 backward", "rotated by 180", "conv_d_weight",
     lambda d, x, w: right.conv_d_weight(d, x.flip(2, 3), w)),
    ("dW with decay", "conv4 backward", "weight decay|times the weight", "conv_d_weight",
     lambda d, x, w: right.conv_d_weight(d, x, w) + 0.05 * w),
    ("dW through float32", "conv4 backward", "float32", "conv_d_weight",
     lambda d, x, w: right.conv_d_weight(d, x, w).float().double()),
    ("dx with the kernel rotated twice", "conv4 backward", "not rotated", "conv_d_x",
     lambda d, x, w: right.conv_d_x(d, x, w.flip(2, 3))),
    ("dx with channels not exchanged", "conv3 backward", "not exchanged|exchanged", "conv_d_x", _swapped),
    ("dx without the border", "conv4 backward", "border", "conv_d_x",
     lambda d, x, w: right.conv_d_x(T.pad(d[:, :, 1:-1, 1:-1], PAD), x, w)),
    ("dx of the last channel", "conv4 backward", "last output channel", "conv_d_x",
     lambda d, x, w: right.conv_d_x(d[:, -1:], x, w[-1:])),
    ("pool without 1/4", "pool4 backward", "1/4", "pool_backward", lambda d, x: T.interpolate(d, scale_factor=2)),
    ("bilinear instead of repeated", "pool4 backward", "interpolated", "pool_backward",
     lambda d, x: T.interpolate(d, scale_factor=2, mode="bilinear") / 4),
    ("as for max pooling", "pool4 backward", "largest", "pool_backward", _max_pool_backward),
    ("ReLU' without d", "act4 backward", "no effect|not multiplied", "relu_backward", lambda d, x: (x > 0) * 1.0),
    ("leaky slope", "act4 backward", "leaky", "relu_backward", lambda d, x: d * torch.where(x > 0, 1.0, 0.1)),
    ("other side of zero", "act4 backward", "x <= 0", "relu_backward", lambda d, x: d * (x <= 0)),
    ("1 + tanh^2", "act6 backward", "sign is wrong", "tanh_backward", lambda d, x: d * (1 + x.tanh() ** 2)),
    ("slope of a sigmoid", "act6 backward", "sigmoid", "tanh_backward",
     lambda d, x: d * x.sigmoid() * (1 - x.sigmoid())),
    ("slope of hardtanh", "act6 backward", "hardtanh|missing", "tanh_backward", lambda d, x: d * (x.abs() < 1)),
    ("linear dx not transposed", "fc6 backward", "transposed", "linear_d_x", _square),
    ("linear dx with the updated W", "fc7 backward", "the weight was updated before", "linear_d_x",
     lambda d, x, w: d @ (w - 0.005 * d.T @ x)),
    ("conv dx with the updated W", "conv4 backward", "the weight was updated before", "conv_d_x",
     lambda d, x, w: right.conv_d_x(d, x, w - 0.002 * right.conv_d_weight(d, x, w))),
    ("linear dW transposed", "fc6 backward", "transposed", "linear_d_weight", _square_weight),
    ("linear dW averaged", "fc7 backward", "mean over the batch", "linear_d_weight", lambda d, x, w: d.T @ x / len(d)),
    ("outer product of sums", "fc7 backward", "product of the sums", "linear_d_weight",
     lambda d, x, w: torch.outer(d.sum(0), x.sum(0))),
    ("linear db averaged", "fc7 backward", "mean over the batch", "linear_d_bias", lambda d, b: d.mean(0)),
    ("linear db of all classes", "fc7 backward", "axis|axes|summed", "linear_d_bias",
     lambda d, b: d.sum().expand(b.shape)),
    ("linear dx summed", "fc7 backward", "summed over the batch", "linear_d_x",
     lambda d, x, w: (d @ w).sum(0).expand(x.shape)),
    ("gradients clipped by norm", "fc7 backward", "norm", "after_backward", _all_clipped),
    ("gradients clipped by value", "fc7 backward", "clipped", "after_backward",
     _gradients(lambda n, p: p.grad.clamp(-0.3 * p.grad.abs().max(), 0.3 * p.grad.abs().max()))),
    ("sign of the gradients", "fc7 backward", "clipped|one size|sign", "after_backward",
     _gradients(lambda n, p: p.grad.sign())),
    ("gradients of convolutions zero", "conv4 backward", "zero everywhere", "after_backward",
     _gradients(lambda n, p: 0 * p.grad if n.startswith("conv") else p.grad)),
]  # fmt: skip
STEPS = [
    ("momentum 0.5", "momentum of 0.5", "optimizer", _optimizer(torch.optim.SGD, momentum=0.5)),
    ("Nesterov", "Nesterov", "optimizer", _optimizer(torch.optim.SGD, momentum=0.9, nesterov=True)),
    ("decay", "weight decay of 0.1", "optimizer", _optimizer(torch.optim.SGD, weight_decay=0.1)),
    ("maximised", "added", "optimizer", _optimizer(torch.optim.SGD, maximize=True)),
    ("Adam", "Adam", "optimizer", _optimizer(torch.optim.Adam)),
    ("RMSprop", "sign of the gradient", "optimizer", _optimizer(torch.optim.RMSprop)),
    ("Adagrad", "sign of the gradient", "optimizer", _optimizer(torch.optim.Adagrad)),
]
MISTAKES = [
    *(Planted(name, place, tuple(words.split("|")), f, g) for name, place, words, f, g, *_ in ROWS),
    *(Planted(name, "optimiser", tuple(w.split("|")), f, g, True) for name, w, f, g in STEPS),
]
DIFFERENTIATED = {name: tuple(more) for name, _, _, _, _, *more in ROWS}
