"""More mistakes for the autograd.Functions: variants of those in `functions_mistakes.py`, and rarer ones."""

import torch
from torch.nn import functional as T

from parity_tests.foreign import functions as right
from parity_tests.foreign.functions_mistakes import (
    PAD,
    _ce,
    _conv_with,
    _gradients,
    _optimizer,
    _softmax,
    _through,
    _y,
)
from parity_tests.foreign.planted import Planted


def _exchanged(one, other):
    def after(params):
        params[one].grad, params[other].grad = params[other].grad, params[one].grad

    return after


def _to_norm(norm):
    return lambda params: torch.nn.utils.clip_grad_norm_(params.values(), norm)


def _to_value(value):
    return lambda params: torch.nn.utils.clip_grad_value_(params.values(), value)


def _one_rate(which):
    def optimizer(groups):
        rate = groups[which]["lr"]
        return torch.optim.SGD([{"params": g["params"], "lr": rate} for g in groups])

    return optimizer


def _conv_weights(params):
    return sum((p**2).sum() for n, p in params.items() if n.startswith("conv") and n.endswith("weight"))


# As in `functions_mistakes.py`.
ROWS = [
    ("transposed convolution, by autograd", "conv1 forward", "rotated by 180", "conv",
     lambda x, w, b: T.conv_transpose2d(x, w.transpose(0, 1), b, padding=1), "conv"),
    ("dilated convolution, by autograd", "conv1 forward", "dilation", "conv",
     lambda x, w, b: T.conv2d(x, w, b, padding=2, dilation=2), "conv"),
    ("padding of -1, by autograd", "conv1 forward", "border|padding", "conv",
     _conv_with(lambda x: T.pad(x, PAD, value=-1.0)), "conv"),
    ("bias of ones, by autograd", "conv1 forward", "no known mistake|bias", "conv",
     lambda x, w, b: T.conv2d(x, w, 0 * b + 1, padding=1), "conv"),
    ("mean over the channels, by autograd", "conv2 forward", "number of input channels|no known mistake", "conv",
     lambda x, w, b: T.conv2d(x, w / w.shape[1], b, padding=1), "conv"),
    ("channels in and out exchanged, by autograd", "conv3 forward", "exchanged", "conv",
     lambda x, w, b: T.conv2d(x, w.transpose(0, 1) if w.shape[0] == w.shape[1] else w, b, padding=1), "conv"),
    ("leaky ReLU of 0.01, by autograd", "act1 forward", "leaky", "relu", T.leaky_relu, "relu"),
    ("PReLU of 0.25", "act1 forward", "leaky", "relu", lambda x: torch.where(x > 0, x, 0.25 * x)),
    ("ReLU6, by autograd", "act1 forward", "ReLU6", "relu", T.relu6, "relu"),
    ("SELU, by autograd", "act1 forward", "SELU", "relu", T.selu, "relu"),
    ("Mish, by autograd", "act1 forward", "Mish", "relu", T.mish, "relu"),
    ("hardswish, by autograd", "act1 forward", "hardswish", "relu", T.hardswish, "relu"),
    ("GELU by tanh, by autograd", "act1 forward", "GELU", "relu", lambda x: T.gelu(x, approximate="tanh"), "relu"),
    ("ReLU of -x, by autograd", "act1 forward", "sign of x is flipped", "relu", lambda x: T.relu(-x), "relu"),
    ("softsign, by autograd", "act5 forward", "softsign", "tanh", T.softsign, "tanh"),
    ("arctan, by autograd", "act5 forward", "arctan", "tanh", torch.atan, "tanh"),
    ("erf, by autograd", "act5 forward", "error function", "tanh", torch.erf, "tanh"),
    ("tanhshrink, by autograd", "act5 forward", "tanhshrink", "tanh", T.tanhshrink, "tanh"),
    ("ReLU for tanh, by autograd", "act5 forward", "ReLU", "tanh", T.relu, "tanh"),
    ("tanh twice, by autograd", "act5 forward", "tanh(tanh", "tanh", lambda x: x.tanh().tanh(), "tanh"),
    ("stride 1, by autograd", "pool2 forward", "stride", "pool",
     lambda x: T.avg_pool2d(x, 2, 1)[..., : x.shape[2] // 2, : x.shape[3] // 2], "pool"),
    ("last pixel of each window, by autograd", "pool2 forward", "bottom right", "pool",
     lambda x: x[:, :, 1::2, 1::2] * 1, "pool"),
    ("minimum, by autograd", "pool2 forward", "minimum", "pool", lambda x: -T.max_pool2d(-x, 2), "pool"),
    ("max pooling half, by autograd", "pool2 forward", "maximum and mean", "pool",
     lambda x: (T.max_pool2d(x, 2) + T.avg_pool2d(x, 2)) / 2, "pool"),
    ("3x3 without padding counted, by autograd", "pool2 forward", "3x3", "pool",
     lambda x: T.avg_pool2d(x, 3, 2, 1, count_include_pad=False), "pool"),
    ("flatten H, W, C, by autograd", "*", "H, W, C", "flatten", lambda x: x.permute(0, 2, 3, 1).flatten(1), "flatten"),
    ("linear bias twice, by autograd", "fc5 forward", "twice|2 times", "linear", lambda x, w, b: x @ w.T + 2 * b, "linear"),
    ("square weight transposed, by autograd", "fc6 forward", "transposed", "linear",
     lambda x, w, b: x @ (w if w.shape[0] == w.shape[1] else w.T) + b, "linear"),
    ("dropout", "fc5 forward", "no known mistake", "linear",
     lambda x, w, b: T.linear(x * 2 * (torch.arange(x.shape[1]) % 2), w, b)),
    ("images transposed", "conv1 forward", "transposed", "prepared", lambda x: x.transpose(2, 3)),
    ("images 2x - 1", "conv1 forward", "-1..1", "prepared", lambda x: 2 * x - 1),
    ("images by their largest pixel", "conv1 forward", "largest pixel", "prepared", lambda x: x / x.amax((1, 2, 3), keepdim=True)),
    ("images shuffled", "conv1 forward", "images in the order", "prepared", lambda x: x[torch.randperm(len(x), generator=torch.Generator().manual_seed(1))]),
    ("images 255 - x", "conv1 forward", "inverted", "prepared", lambda x: 255 - x),
    ("images minus a half", "conv1 forward", "1/2", "prepared", lambda x: x - 0.5),
    ("images normalised by 0.5", "conv1 forward", "-1..1", "prepared", lambda x: (x - 0.5) / 0.5),
    ("images of 0..100", "conv1 forward", "multiplied by 100", "prepared", lambda x: 100 * x),
    ("softmax of the batch axis, by autograd", "loss forward", "batch (axis 0)|over the batch", "softmax",
     lambda z: z.softmax(0), "loss"),
    ("softmax in float32", "loss forward", "float32", "softmax", lambda z: z.float().softmax(1).double()),
    ("softmin, by autograd", "loss forward", "-x|-1", "softmax", lambda z: T.softmin(z, 1), "loss"),
    ("base 10, by autograd", "loss forward", "base 10", "softmax", _softmax(lambda z: 10**z), "loss"),
    ("temperature of 2, by autograd", "loss forward", "temperature", "softmax", lambda z: (z / 2).softmax(1), "loss"),
    ("probabilities clamped, by autograd", "loss forward", "0.1", "softmax", lambda z: z.softmax(1).clamp(min=0.1), "loss"),
    ("squares for exponentials, by autograd", "loss forward", "squares", "softmax", _softmax(lambda z: z**2), "loss"),
    ("no maximum, by autograd", "loss forward", "largest logit|maximum", "softmax", _softmax(torch.exp), "loss"),
    ("loss with eps of 1e-8", "loss forward", "1e-08", "loss",
     lambda p, y, params: -(p.gather(1, y[:, None]) + 1e-8).log().mean(), "loss"),
    ("loss to base 10, by autograd", "loss forward", "base 10", "loss",
     lambda p, y, params: -p.gather(1, y[:, None]).log10().mean(), "loss"),
    ("loss divided by K, by autograd", "loss forward", "number of classes", "loss",
     lambda p, y, params: _ce(p, y) * len(y) / p.shape[1], "loss"),
    ("half the square error, by autograd", "loss forward", "square error", "loss",
     lambda p, y, params: 0.5 * ((p - _y(p, y)) ** 2).sum(1).mean(), "loss"),
    ("binary loss summed, by autograd", "loss forward", "binary", "loss",
     lambda p, y, params: T.binary_cross_entropy(p, _y(p, y).double(), reduction="sum"), "loss"),
    ("hinge loss, by autograd", "loss forward", "1 - p", "loss",
     lambda p, y, params: T.multi_margin_loss(p, y), "loss"),
    ("log p without minus, by autograd", "loss forward", "sign", "loss", lambda p, y, params: -_ce(p, y), "loss"),
    ("labels rolled, by autograd", "loss forward", "label of the previous one", "loss", lambda p, y, params: _ce(p, y.roll(1)), "loss"),
    ("label + 1, by autograd", "loss forward", "label + 1", "loss",
     lambda p, y, params: _ce(p, (y + 1) % p.shape[1]), "loss"),
    ("smoothing of 0.2, by autograd", "loss forward", "smoothed by 0.2", "loss",
     lambda p, y, params: T.cross_entropy(p.log(), y, label_smoothing=0.2), "loss"),
    ("decay of the kernels, by autograd", "loss forward", "weight decay", "loss",
     lambda p, y, params: _ce(p, y) + 5e-4 * _conv_weights(params), "loss"),
    ("cross_entropy of probabilities, by autograd", "loss forward", "twice", "loss",
     lambda p, y, params: T.cross_entropy(p, y), "loss"),
    ("loss without the logarithm, by autograd", "loss forward", "without the logarithm", "loss",
     lambda p, y, params: -p.gather(1, y[:, None]).mean(), "loss"),
    ("(p - y) / K", "loss backward", "number of classes", "loss_backward", lambda p, y: (p - _y(p, y)) / p.shape[1]),
    ("p - y, summed", "loss backward", "1/N", "loss_backward", lambda p, y: p - _y(p, y)),
    ("smoothed labels backward", "loss backward", "smoothed by 0.1", "loss_backward",
     lambda p, y: (p - 0.9 * _y(p, y).double() - 0.1 / p.shape[1]) / len(y)),
    ("softmax twice backward", "loss backward", "twice", "loss_backward",
     lambda p, y: (p.softmax(1) - _y(p, y)) / len(y)),
    ("most likely class", "loss backward", "most likely", "loss_backward", lambda p, y: (p - _y(p, p.argmax(1))) / len(y)),
    ("square error backward only", "loss backward", "square error", "loss_backward",
     lambda p, y: _through(p, 2 * (p - _y(p, y))) / len(y)),
    ("gradient with eps of 1e-3", "loss backward", "0.001", "loss_backward",
     lambda p, y: _through(p, -_y(p, y) / (p + 1e-3)) / len(y)),
    ("loss gradient in float16", "loss backward", "float16", "loss_backward",
     lambda p, y: ((p - _y(p, y)) / len(y)).half().double()),
    ("labels of the next image", "loss backward", "labels|batch", "loss_backward",
     lambda p, y: (p - _y(p, y.roll(1))) / len(y)),
    ("conv db not over images", "conv4 backward", "mean over space", "conv_d_bias", lambda d, b: d.sum(0).mean((1, 2))),
    ("conv db of the last row", "conv4 backward", "last row", "conv_d_bias", lambda d, b: d[:, :, -1].sum((0, 2))),
    ("conv db twice", "conv4 backward", "2 times", "conv_d_bias", lambda d, b: 2 * d.sum((0, 2, 3))),
    ("dW divided by 9", "conv4 backward", "9", "conv_d_weight", lambda d, x, w: right.conv_d_weight(d, x, w) / 9),
    ("dW averaged over all", "conv4 backward", "mean over batch and space", "conv_d_weight",
     lambda d, x, w: right.conv_d_weight(d, x, w) / d[:, 0].numel()),
    ("dW of d's sign", "conv4 backward", "sign", "conv_d_weight", lambda d, x, w: right.conv_d_weight(d.sign(), x, w)),
    ("dW from the next image", "conv4 backward", "no known mistake|images|batch|samples", "conv_d_weight",
     lambda d, x, w: right.conv_d_weight(d, x.roll(1, 0), w)),
    ("dW with wrapped padding", "conv4 backward", "wraps", "conv_d_weight",
     lambda d, x, w: (d.flatten(2) @ T.unfold(T.pad(x, PAD, "circular"), 3).transpose(1, 2)).sum(0).reshape(w.shape)),
    ("dx averaged over the batch", "conv4 backward", "batch size N", "conv_d_x",
     lambda d, x, w: right.conv_d_x(d, x, w) / len(d)),
    ("dx with only one flip", "conv4 backward", "top to bottom|left to right", "conv_d_x",
     lambda d, x, w: right.conv_d_x(d, x, w.flip(2))),
    ("dx of the middle tap", "conv4 backward", "middle tap", "conv_d_x",
     lambda d, x, w: right.conv_d_x(d, x, w * T.pad(torch.ones(1, 1), PAD))),
    ("dx negative", "conv4 backward", "sign", "conv_d_x", lambda d, x, w: -right.conv_d_x(d, x, w)),
    ("pool in a corner, times 1/4", "pool4 backward", "top left", "pool_backward",
     lambda d, x: T.interpolate(d, scale_factor=2) / 4 * (torch.arange(x.shape[3]) % 2 == 0) * (torch.arange(x.shape[2]) % 2 == 0)[:, None]),
    ("pool tiled", "pool4 backward", "tiled", "pool_backward", lambda d, x: d.repeat(1, 1, 2, 2) / 4),
    ("pool gradient over 2", "pool4 backward", "divided by 2", "pool_backward", lambda d, x: T.interpolate(d, scale_factor=2) / 2),
    ("ReLU' of the output's size", "act4 backward", "by the output|by x", "relu_backward", lambda d, x: d * x.clamp(min=0)),
    ("ReLU' at zero", "act? backward", "at x = 0|exactly 0", "relu_backward", lambda d, x: d * (x >= 0)),
    ("ReLU' of a step at 1", "act4 backward", "x > 1|zero everywhere", "relu_backward", lambda d, x: d * (x > 1)),
    ("tanh' of the tanh", "act6 backward", "twice", "tanh_backward", lambda d, x: d * (1 - x.tanh().tanh() ** 2)),
    ("tanh' squared", "act6 backward", "square of", "tanh_backward", lambda d, x: d * (1 - x.tanh() ** 2) ** 2),
    ("arctan' for tanh'", "act6 backward", "arctan", "tanh_backward", lambda d, x: d / (1 + x**2)),
    ("unflatten in W, H order", "flatten backward", "C, W, H", "flatten_backward",
     lambda d, x: d.reshape(x.transpose(2, 3).shape).transpose(2, 3)),
    ("linear dW elementwise", "fc6 backward", "elementwise", "linear_d_weight",
     lambda d, x, w: d * x if d.shape == w.shape else d.T @ x),
    ("linear dW of the first image", "fc7 backward", "first sample|first image", "linear_d_weight",
     lambda d, x, w: torch.outer(d[0], x[0])),
    ("linear dW with decay", "fc7 backward", "weight decay|times the weight", "linear_d_weight",
     lambda d, x, w: d.T @ x + 5e-4 * w),
    ("linear dx of the bias too", "fc7 backward", "no known mistake", "linear_d_x", lambda d, x, w: d @ w + 0.1),
    ("linear db of the first image", "fc7 backward", "first sample|first image", "linear_d_bias", lambda d, b: d[0]),
    ("clipped at 0.01 by value", "fc7 backward", "clipped|cut off", "after_backward", _to_value(0.01)),
    ("clipped to the norm 0.1", "fc7 backward", "norm", "after_backward", _to_norm(0.1)),
    ("bias gradients exchanged", "names", "exchanged", "after_backward", _exchanged("fc5.bias", "fc6.bias")),
    ("gradients times N", "fc7 backward", "batch size N", "after_backward", _gradients(lambda n, p: 6 * p.grad)),
    ("decay added to the gradients", "fc7 backward", "weight decay|times the weight", "after_backward",
     _gradients(lambda n, p: p.grad + 0.01 * p.detach())),
    ("biases without gradient", "fc7 backward", "zero everywhere", "after_backward",
     _gradients(lambda n, p: 0 * p.grad if n.endswith("bias") else p.grad)),
]  # fmt: skip
STEPS = [
    ("dampening", "dampened", "optimizer", _optimizer(torch.optim.SGD, momentum=0.9, dampening=0.9)),
    ("small decay", "weight decay of 0.0005", "optimizer", _optimizer(torch.optim.SGD, weight_decay=5e-4)),
    ("momentum and decay", "weight decay of 0.01", "optimizer", _optimizer(torch.optim.SGD, momentum=0.9, weight_decay=0.01)),
    ("AdamW", "Adam", "optimizer", _optimizer(torch.optim.AdamW, weight_decay=0.0)),
    ("Adamax", "sign of the gradient", "optimizer", _optimizer(torch.optim.Adamax)),
    ("rate of the convolutions for all", "that of the other layers", "optimizer", _one_rate(0)),
    ("rate of the linear layers for all", "that of the other layers", "optimizer", _one_rate(1)),
]  # fmt: skip
MISTAKES = [
    *(Planted(name, place, tuple(words.split("|")), f, g) for name, place, words, f, g, *_ in ROWS),
    *(Planted(name, "optimiser", tuple(w.split("|")), f, g, True) for name, w, f, g in STEPS),
]
DIFFERENTIATED = {name: tuple(more) for name, _, _, _, _, *more in ROWS}
