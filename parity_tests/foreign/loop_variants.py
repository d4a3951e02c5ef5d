"""More mistakes for the loop over images: variants of those in `loop_mistakes.py`, and rarer ones."""

import math

import numpy as np

from parity_tests.foreign.loop import TAPS, Loop
from parity_tests.foreign.loop_mistakes import (
    _conv,
    _exchanged,
    _in_place,
    _one_hot,
    _pad,
    _to_largest,
    _windows,
)
from parity_tests.foreign.planted import Planted

_erf = np.vectorize(math.erf, otypes=[float])


def _normal(x):
    return 0.5 * (1 + _erf(x / math.sqrt(2)))


def _gelu_slope(x):
    return _normal(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _last_channel(self, x, w, b):
    """`=` for `+=` over the input channels."""
    return Loop.conv(self, x[-1:], w[:, -1:], b)


def _overlapping(self, x):
    """3x3 windows, two pixels apart."""
    c, h, w = x.shape
    p = np.pad(x, ((0, 0), (0, 1), (0, 1)))
    out = np.zeros((c, h // 2, w // 2))
    for i in range(h // 2):
        for j in range(w // 2):
            out[:, i, j] = p[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].mean((1, 2))
    return out


def _square_linear(self, x, w, b):
    return (w.T if w.shape[0] == w.shape[1] else w) @ x + b


def _d_weight_padded(pad):
    def conv_d_weight(self, d, x):
        h, width = x.shape[1:]
        p = pad(x)
        d_w = np.zeros((len(d), len(x), 3, 3))
        for u, v in TAPS:
            d_w[:, :, u, v] = np.tensordot(d, p[:, u : u + h, v : v + width], ((1, 2), (1, 2)))
        return d_w

    return conv_d_weight


def _inner(d):
    kept = np.zeros_like(d)
    kept[:, 1:-1, 1:-1] = d[:, 1:-1, 1:-1]
    return kept


def _bottom_right(self, d, x):
    out = np.zeros_like(x)
    out[:, 1::2, 1::2] = d
    return out


def _named(change):
    return lambda self, found: found | change(found)


def _remembered(rule):
    """An update with a state of its own for each parameter; `rule` returns the step and the state."""

    def update(self, name, w, g, lr, step):
        taken, self.state[name] = rule(w, g, lr, step, self.state.get(name))
        w -= taken

    return update


ROWS = [
    # forward
    ("leaky ReLU both ways", "act1 forward", "leaky", "relu relu_backward",
     (lambda self, x: np.where(x > 0, x, 0.2 * x), lambda self, d, x, out: d * np.where(x > 0, 1, 0.2))),
    ("exact GELU both ways", "act1 forward", "GELU", "relu relu_backward",
     (lambda self, x: x * _normal(x), lambda self, d, x, out: d * _gelu_slope(x))),
    ("ReLU6 both ways", "act1 forward", "ReLU6", "relu relu_backward",
     (lambda self, x: x.clip(0, 6), lambda self, d, x, out: d * (x > 0) * (x < 6))),
    ("hardtanh both ways", "act5 forward", "hardtanh|identity", "tanh tanh_backward",
     (lambda self, x: x.clip(-1, 1), lambda self, d, x, out: d * (np.abs(x) < 1))),
    ("arctan for tanh, both ways", "act5 forward", "arctan", "tanh tanh_backward",
     (lambda self, x: np.arctan(x), lambda self, d, x, out: d / (1 + x * x))),
    ("sigmoid(2x) for tanh", "act5 forward", "sigmoid of 2x", "tanh", lambda self, x: _sigmoid(2 * x)),
    ("tanh(2x)", "act5 forward", "tanh(2x)", "tanh", lambda self, x: np.tanh(2 * x)),
    ("shifted ReLU", "act1 forward", "decreases", "relu", lambda self, x: np.maximum(x - 0.1, 0)),
    ("max pooling both ways", "pool2 forward", "maximum|max pool", "pool pool_backward",
     (lambda self, x: _windows(x).max(-1), _to_largest)),
    ("3x3 windows", "pool2 forward", "overlap|3x3", "pool", _overlapping),
    ("mean of the left pixels", "pool2 forward", "left pixels|rows only", "pool",
     lambda self, x: (x[:, ::2, ::2] + x[:, 1::2, ::2]) / 2),
    ("pool divides by 3", "pool2 forward", "1.33333 times", "pool", lambda self, x: _windows(x).sum(-1) / 3),
    ("pool without its last window row", "pool2 forward", "last row", "pool",
     lambda self, x: Loop.pool(self, x) * (np.arange(x.shape[1] // 2) < x.shape[1] // 2 - 1)[:, None]),
    ("symmetric padding", "conv1 forward", "edge|symmetric", "padded", _pad(mode="symmetric")),
    ("padding by the mean", "conv1 forward", "border", "padded", lambda self, x: _pad(constant_values=x.mean())(self, x)),
    ("linear ramp padding", "conv1 forward", "padding is 1", "padded", _pad(mode="linear_ramp", end_values=1)),
    ("input channels reversed", "conv2 forward", "channels", "conv", _conv(lambda w: w[:, ::-1])),
    ("output channels reversed", "conv1 forward", "channels", "conv",
     lambda self, x, w, b: Loop.conv(self, x, w, b)[::-1]),
    ("only the last input channel", "conv2 forward", "last input channel", "conv", _last_channel),
    ("first row of taps skipped", "conv1 forward", "first row", "conv",
     _conv(lambda w: w * (np.arange(3) > 0)[:, None])),
    ("middle tap only", "conv1 forward", "middle tap", "conv", _conv(lambda w: w * (np.arange(9).reshape(3, 3) == 4))),
    ("bias added after ReLU", "conv1 forward", "before the bias", "conv",
     lambda self, x, w, b: np.maximum(Loop.conv(self, x, w, 0 * b), 0) + b[:, None, None]),
    ("flatten in W, H, C order", "flatten forward", "W, H, C", "flatten",
     lambda self, x: x.transpose(2, 1, 0).reshape(-1)),
    ("square weight transposed", "fc6 forward", "transposed", "linear", _square_linear),
    ("linear bias subtracted", "fc5 forward", "subtracted", "linear", lambda self, x, w, b: w @ x - b),
    ("ReLU within linear", "fc5 forward", "ReLU", "linear", lambda self, x, w, b: np.maximum(w @ x + b, 0)),
    ("last input of linear skipped", "fc5 forward", "last input", "linear",
     lambda self, x, w, b: w[:, :-1] @ x[:-1] + b),
    # softmax and loss
    ("softmax without a maximum", "loss forward", "largest logit|maximum", "softmax",
     lambda self, z: np.exp(z) / np.exp(z).sum()),
    ("softmax with a large eps", "loss forward", "0.001", "softmax",
     lambda self, z: np.exp(z - z.max()) / (np.exp(z - z.max()).sum() + 1e-3)),
    ("eps added to the probabilities", "loss forward", "1e-07", "softmax", lambda self, z: Loop.softmax(self, z) + 1e-7),
    ("softmax of twice the logits", "loss forward", "temperature", "softmax", lambda self, z: Loop.softmax(self, 2 * z)),
    ("softmax divided by its largest", "loss forward", "largest", "softmax", lambda self, z: np.exp(z - z.max())),
    ("probabilities clipped at 1e-7", "loss forward", "1e-07", "loss",
     lambda self, p, label: -np.log(p[label].clip(1e-7, 1))),
    ("loss with eps of 1e-15", "loss forward", "1e-15", "loss", lambda self, p, label: -np.log(p[label] + 1e-15)),
    ("loss divided by N and K", "loss forward", "number of classes", "mean_loss",
     lambda self, losses: losses.mean() / self.classes),
    ("loss of the first image", "loss forward", "first", "mean_loss", lambda self, losses: losses[0]),
    ("last image left out", "loss forward", "left out", "mean_loss", lambda self, losses: losses[:-1].mean()),
    ("half the loss", "loss forward", "halved", "mean_loss", lambda self, losses: losses.mean() / 2),
    ("decay of all parameters in the loss", "loss forward", "weight decay", "mean_loss",
     lambda self, losses: losses.mean() + 1e-4 * sum((w**2).sum() for w in self.w.values())),
    ("L1 in the loss", "loss forward", "L1|absolute", "mean_loss",
     lambda self, losses: losses.mean() + 1e-4 * sum(np.abs(w).sum() for w in self.w.values())),
    ("binary loss averaged", "loss forward", "binary", "loss",
     lambda self, p, label: -np.log(np.where(_one_hot(self, label), p, 1 - p)).mean()),
    ("focal loss", "loss forward", "focal|no known mistake", "loss",
     lambda self, p, label: -((1 - p[label]) ** 2) * np.log(p[label])),
    ("label - 1 both ways", "loss forward", "label - 1|shifted", "loss loss_backward",
     (lambda self, p, label: -np.log(p[label - 1]),
      lambda self, p, label: (p - _one_hot(self, label - 1)) / self.n)),
    ("half the square error both ways", "loss forward", "square error", "loss loss_backward",
     (lambda self, p, label: 0.5 * ((p - _one_hot(self, label)) ** 2).sum(),
      lambda self, p, label: p * ((e := p - _one_hot(self, label)) - (e * p).sum()) / self.n)),
    ("2 (p - y) / K", "loss backward", "square error", "loss_backward",
     lambda self, p, label: 2 * (p - _one_hot(self, label)) / self.classes / self.n),
    ("divided by N - 1", "loss backward", "1.2 times", "loss_backward",
     lambda self, p, label: (p - _one_hot(self, label)) / (self.n - 1)),
    ("only the entry of the label", "loss backward", "entry of the label", "loss_backward",
     lambda self, p, label: _one_hot(self, label) * (p - 1) / self.n),
    ("Jacobian with a plus", "loss backward", "no known mistake", "loss_backward",
     lambda self, p, label: p * ((e := -_one_hot(self, label) / p) + (e * p).sum()) / self.n),
    # backward
    ("tanh' as of a sigmoid", "act6 backward", "sigmoid", "tanh_backward", lambda self, d, x, out: d * out * (1 - out)),
    ("tanh' of d", "act6 backward", "d_out in place", "tanh_backward", lambda self, d, x, out: d * (1 - d**2)),
    ("tanh' divides", "act6 backward", "divided by the slope", "tanh_backward", lambda self, d, x, out: d / (1 - out**2)),
    ("ReLU' is 1 at zero", "act? backward", "at x = 0|exactly 0", "relu_backward", lambda self, d, x, out: d * (x >= 0)),
    ("leaky slope backward only", "act4 backward", "leaky", "relu_backward",
     lambda self, d, x, out: np.where(out > 0, d, 0.01 * d)),
    ("1/9 for 1/4", "pool4 backward", "9 instead of 4", "pool_backward", lambda self, d, x: d.repeat(2, 1).repeat(2, 2) / 9),
    ("1/4 twice", "pool4 backward", "twice", "pool_backward", lambda self, d, x: d.repeat(2, 1).repeat(2, 2) / 16),
    ("1/N for 1/4", "pool4 backward", "batch size N", "pool_backward",
     lambda self, d, x: d.repeat(2, 1).repeat(2, 2) / self.n),
    ("1/K for 1/4", "pool4 backward", "0.571429 times", "pool_backward",
     lambda self, d, x: d.repeat(2, 1).repeat(2, 2) / self.classes),
    ("to the bottom right pixel", "pool4 backward", "bottom right", "pool_backward", _bottom_right),
    ("repeated in a row", "pool4 backward", "in a row", "pool_backward",
     lambda self, d, x: d.repeat(4).reshape(x.shape) / 4),
    ("unflatten in Fortran order", "flatten backward", "W, H, C|Fortran", "unflatten",
     lambda self, d, shape: d.reshape(shape, order="F")),
    ("linear dW transposed, by shape", "fc7 backward", "transposed", "linear_d_weight",
     lambda self, d, x: np.outer(x, d)),
    ("linear dx not transposed, where square", "fc6 backward", "transposed", "linear_d_x",
     lambda self, d, w, x: (w if w.shape[0] == w.shape[1] else w.T) @ d),
    ("db of ones", "fc7 backward", "no effect|1 everywhere|not multiplied", "linear_d_bias",
     lambda self, d: np.ones_like(d) / self.n),
    ("biases averaged", "fc7 backward", "mean over the batch", "gathered",
     lambda self, g: g.mean(0) if g.ndim == 2 else g.sum(0)),
    ("dW with x and d exchanged", "conv4 backward", "exchanged|shape", "conv_d_weight",
     lambda self, d, x: Loop.conv_d_weight(self, x, d)),
    ("dW with the edge repeated", "conv4 backward", "edge", "conv_d_weight",
     _d_weight_padded(lambda x: np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="edge"))),
    ("dW of inner windows", "conv4 backward", "border", "conv_d_weight",
     lambda self, d, x: Loop.conv_d_weight(self, _inner(d), x)),
    ("dW shifted", "conv4 backward", "shifted|top and left", "conv_d_weight",
     _d_weight_padded(lambda x: np.pad(x, ((0, 0), (2, 0), (2, 0))))),
    ("dx without its first tap", "conv4 backward", "first tap", "conv_d_x",
     lambda self, d, w: Loop.conv_d_x(self, d, w * (np.arange(9).reshape(3, 3) > 0))),
    ("dx zero at the border", "conv4 backward", "border", "conv_d_x", lambda self, d, w: _inner(Loop.conv_d_x(self, d, w))),
    ("dx with square channels not exchanged", "conv3 backward", "exchanged", "conv_d_x",
     lambda self, d, w: Loop.conv_d_x(self, d, w.swapaxes(0, 1) if w.shape[0] == w.shape[1] else w)),
    ("dx of the last output channel", "conv4 backward", "last output channel", "conv_d_x",
     lambda self, d, w: Loop.conv_d_x(self, d[-1:], w[-1:])),
    ("gradients through float16", "fc7 backward", "float16", "gathered",
     lambda self, g: g.sum(0).astype("float16").astype("float64")),
    ("gradients of norm 1", "fc7 backward", "norm", "gathered", lambda self, g: (s := g.sum(0)) / np.sqrt((s * s).sum())),
    ("the last image twice", "fc7 backward", "last image|last sample", "gathered", lambda self, g: g.sum(0) + g[-1]),
    ("the last image left out", "fc7 backward", "last image|last sample", "gathered", lambda self, g: g[:-1].sum(0)),
    ("largest gradient of the batch", "fc7 backward", "no known mistake", "gathered", lambda self, g: g.max(0)),
    # the batch, and names
    ("images divided twice", "conv1 forward", "twice|255", "prepared", lambda self, x: x / 255),
    ("images from -1 to 1", "conv1 forward", "-1..1", "prepared", lambda self, x: 2 * x - 1),
    ("images flipped", "conv1 forward", "left to right", "prepared", lambda self, x: x[..., ::-1]),
    ("images rotated by 180 degrees", "conv1 forward", "rotated by 180", "prepared", lambda self, x: x[..., ::-1, ::-1]),
    ("images binary", "conv1 forward", "binary", "prepared", lambda self, x: (x > 0.5) * 1.0),
    ("images centred each", "conv1 forward", "subtracted", "prepared", lambda self, x: x - x.mean((1, 2, 3), keepdims=True)),
    ("images rolled by a pixel", "conv1 forward", "shifted|rolled", "prepared", lambda self, x: np.roll(x, 1, 3)),
    ("images inverted, 0..255", "conv1 forward", "inverted", "prepared", lambda self, x: 255 * (1 - x)),
    ("images of 8 bits", "conv1 forward", "8 bits|rounded|255", "prepared", lambda self, x: np.round(255 * x) / 255),
    ("bias gradients of fc5 and fc6 exchanged", "names", "exchanged", "named", _exchanged("fc5.bias.grad", "fc6.bias.grad")),
    ("probs and logits exchanged", "names", "exchanged", "named", _exchanged("probs", "logits")),
    ("pool4 and its gradient exchanged", "names", "exchanged", "named", _exchanged("pool4", "pool4.grad")),
    ("ReLU in place", "conv1 forward", "ReLU", "named",
     _named(lambda found: {f"conv{k}": found[f"act{k}"] for k in (1, 2, 3, 4)})),
    ("tanh in place", "fc5 forward", "tanh", "named", _named(lambda found: {f"fc{k}": found[f"act{k}"] for k in (5, 6)})),
    ("p - y in place", "loss forward", "gradient|label", "named",
     _named(lambda found: {"probs": found["logits.grad"] * len(found["probs"])})),
    ("act3's gradient written as conv3's", "act3 backward", "slope is missing|d_out itself", "named",
     _named(lambda found: {"conv3.grad": found["act3.grad"]})),
]  # fmt: skip
STEPS = [
    ("dampened momentum", "dampened", "update",
     _remembered(lambda w, g, lr, step, v: (lr * (v := 0.9 * (0 if v is None else v) + 0.1 * g), v))),
    ("momentum of 0.99", "momentum of 0.99", "update",
     _remembered(lambda w, g, lr, step, v: (lr * (v := 0.99 * (0 if v is None else v) + g), v))),
    ("velocity with the rate in it", "momentum of 0.9", "update",
     _remembered(lambda w, g, lr, step, v: ((v := 0.9 * (0 if v is None else v) + lr * g), v))),
    ("decay of weights only", "weight decay of 0.05", "update",
     _in_place(lambda self, w, g, lr, step: lr * (g + 0.05 * w * (w.ndim > 1)))),
    ("decoupled decay", "weight decay", "update", _in_place(lambda self, w, g, lr, step: lr * g + 0.001 * w)),
    ("L1 decay", "sign", "update", _in_place(lambda self, w, g, lr, step: lr * (g + 0.01 * np.sign(w)))),
    ("clipped at 0.001", "clipped", "update", _in_place(lambda self, w, g, lr, step: lr * g.clip(-1e-3, 1e-3))),
    ("normalised gradient", "divided by the norm", "update",
     _in_place(lambda self, w, g, lr, step: lr * g / np.sqrt((g * g).sum()))),
    ("half the rate", "0.5 times", "update", _in_place(lambda self, w, g, lr, step: lr * g / 2)),
    ("rates exchanged", "that of the other layers", "rate",
     lambda self, name: self.rates[1] if name.startswith("conv") else self.rates[0]),
    ("rate falls as 1 / step", "divided by the number of the step", "update",
     _in_place(lambda self, w, g, lr, step: lr * g / step)),
    ("rate halves each step", "multiplied by 0.5", "update",
     _in_place(lambda self, w, g, lr, step: lr * g * 0.5 ** (step - 1))),
    ("warm-up over ten steps", "0.1 times", "update", _in_place(lambda self, w, g, lr, step: lr * g * step / 10)),
    ("double rate in the last step", "after the first step", "update",
     _in_place(lambda self, w, g, lr, step: lr * g * (2 if step == 10 else 1))),
    ("running mean of gradients", "dampened", "update",
     _remembered(lambda w, g, lr, step, v: (lr * (v := (g if v is None else 0.9 * v + 0.1 * g)), v))),
    ("updated in float32", "float32", "update",
     _in_place(lambda self, w, g, lr, step: w - (w - lr * g).astype("float32").astype("float64"))),
    ("biases added", "added", "update", _in_place(lambda self, w, g, lr, step: lr * g if w.ndim > 1 else -lr * g)),
    ("convolutions frozen", "did not move", "update", _in_place(lambda self, w, g, lr, step: lr * g * (w.ndim < 4))),
]  # fmt: skip
MISTAKES = [
    *(Planted(name, place, tuple(words.split("|")), function, f) for name, place, words, function, f in ROWS),
    *(Planted(name, "optimiser", tuple(w.split("|")), function, f, True) for name, w, function, f in STEPS),
]
