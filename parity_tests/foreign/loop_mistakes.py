"""Mistakes for the loop over images: one row each, with the place and the words that name it."""

import numpy as np

from parity_tests.foreign.loop import TAPS, Loop
from parity_tests.foreign.planted import Planted


def _conv(change):
    """A convolution with another weight."""
    return lambda self, x, w, b: Loop.conv(self, x, np.ascontiguousarray(change(w)), b)


def _pad(**how):
    return lambda self, x: np.pad(x, ((0, 0), (1, 1), (1, 1)), **how)


def _valid(self, x, w, b):
    """Only windows inside the image; the border stays zero."""
    out = np.zeros((len(w), *x.shape[1:]))
    out[:, 1:-1, 1:-1] = Loop.conv(self, x, w, b)[:, 1:-1, 1:-1]
    return out


def _assigned_by_tap(self, d, w):
    h, width = d.shape[1:]
    d_p = np.zeros((w.shape[1], h + 2, width + 2))
    for u, v in TAPS:
        d_p[:, u : u + h, v : v + width] = np.tensordot(w[:, :, u, v].T, d, 1)
    return d_p[:, 1:-1, 1:-1]


def _assigned_by_window(self, d, w):
    h, width = d.shape[1:]
    d_p = np.zeros((w.shape[1], h + 2, width + 2))
    for i in range(h):
        for j in range(width):
            d_p[:, i : i + 3, j : j + 3] = np.tensordot(d[:, i, j], w, 1)
    return d_p[:, 1:-1, 1:-1]


def _without_last_tap(self, d, x):
    d_w = Loop.conv_d_weight(self, d, x)
    d_w[:, :, 2, 2] = 0
    return d_w


def _reflected(self, d, x):
    p = np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="reflect")
    h, width = x.shape[1:]
    d_w = np.zeros((len(d), len(x), 3, 3))
    for u, v in TAPS:
        d_w[:, :, u, v] = np.tensordot(d, p[:, u : u + h, v : v + width], ((1, 2), (1, 2)))
    return d_w


def _last_window(self, d, x):
    """`=` for `+=` in a loop over windows."""
    p = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    for i in range(d.shape[1]):
        for j in range(d.shape[2]):
            d_w = d[:, i, j][:, None, None, None] * p[:, i : i + 3, j : j + 3]
    return d_w


def _moved(self, d, w):
    h, width = d.shape[1:]
    d_p = np.zeros((w.shape[1], h + 2, width + 2))
    for u, v in TAPS:
        d_p[:, u : u + h, v : v + width] += np.tensordot(w[:, :, u, v].T, d, 1)
    return d_p[:, :-2, :-2]


def _corner(self, d, x):
    out = np.zeros_like(x)
    out[:, ::2, ::2] = d
    return out


def _windows(x):
    c, h, w = x.shape
    return x.reshape(c, h // 2, 2, w // 2, 2).transpose(0, 1, 3, 2, 4).reshape(c, h // 2, w // 2, 4)


def _to_largest(self, d, x):
    largest = Loop.pool(self, x) * 0 + _windows(x).max(-1)
    return d.repeat(2, 1).repeat(2, 2) * (x == largest.repeat(2, 1).repeat(2, 2))


def _strided(self, x):
    """Windows with stride 1, of which the first are kept."""
    every = (x[:, :-1, :-1] + x[:, 1:, :-1] + x[:, :-1, 1:] + x[:, 1:, 1:]) / 4
    return every[:, : x.shape[1] // 2, : x.shape[2] // 2]


def _once(self, gradients):
    return gradients[-1]


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _jacobian(self, p, d_p):
    return p * (d_p - (d_p * p).sum()) / self.n


def _one_hot(self, label):
    return np.eye(self.classes)[label]


def _exchanged(one, other):
    def named(self, found):
        return found | {one: found[other], other: found[one]}

    return named


def _momentum(self, name, w, g, lr, step):
    self.state[name] = 0.9 * self.state.get(name, 0) + g
    w -= lr * self.state[name]


def _never_zeroed(self, name, w, g, lr, step):
    self.state[name] = self.state.get(name, 0) + g
    w -= lr * self.state[name]


def _adam(self, name, w, g, lr, step):
    m, v = self.state.get(name, (0, 0))
    self.state[name] = m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
    w -= lr * m / (1 - 0.9**step) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)


def _first_gradient(self, name, w, g, lr, step):
    w -= lr * self.state.setdefault(name, g)


def _decayed(self, name, w, g, lr, step):
    w -= lr * (g + 0.01 * w)


def _in_place(rule):
    def update(self, name, w, g, lr, step):
        w -= rule(self, w, g, lr, step)

    return update


ROWS = [
    # forward
    ("kernel rotated", "conv1 forward", "rotated by 180", "conv", _conv(lambda w: w[..., ::-1, ::-1])),
    ("kernel flipped left to right", "conv1 forward", "left to right", "conv", _conv(lambda w: w[..., ::-1])),
    ("kernel flipped top to bottom", "conv1 forward", "top to bottom", "conv", _conv(lambda w: w[:, :, ::-1])),
    ("kernel axes exchanged", "conv1 forward", "axes", "conv", _conv(lambda w: w.swapaxes(2, 3))),
    ("bias forgotten", "conv1 forward", "bias is missing", "conv",
     lambda self, x, w, b: Loop.conv(self, x, w, 0 * b)),
    ("bias subtracted", "conv1 forward", "subtracted", "conv", lambda self, x, w, b: Loop.conv(self, x, w, -b)),
    ("bias added per tap", "conv1 forward", "nine times|9 times", "conv",
     lambda self, x, w, b: Loop.conv(self, x, w, 9 * b)),
    ("padding reflects", "conv1 forward", "reflect", "padded", _pad(mode="reflect")),
    ("padding repeats the edge", "conv1 forward", "repeats the edge|edge", "padded", _pad(mode="edge")),
    ("padding wraps", "conv1 forward", "wraps", "padded", _pad(mode="wrap")),
    ("padding of ones", "conv1 forward", "padding is 1", "padded", _pad(constant_values=1)),
    ("valid convolution", "conv1 forward", "inside the image", "conv", _valid),
    ("padding at one side", "conv1 forward", "top and left|shifted", "padded",
     lambda self, x: np.pad(x, ((0, 0), (2, 0), (2, 0)))),
    ("last tap skipped", "conv1 forward", "last tap is skipped", "conv",
     lambda self, x, w, b: Loop.conv(self, x, w * (np.arange(9).reshape(3, 3) < 8), b)),
    ("ReLU within the convolution", "conv1 forward", "ReLU", "conv",
     lambda self, x, w, b: np.maximum(Loop.conv(self, x, w, b), 0)),
    ("leaky ReLU", "act1 forward", "leaky", "relu", lambda self, x: np.where(x > 0, x, 0.01 * x)),
    ("absolute value", "act1 forward", "absolute", "relu", lambda self, x: np.abs(x)),
    ("GELU", "act1 forward", "GELU", "relu",
     lambda self, x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))),
    ("ELU", "act1 forward", "ELU", "relu", lambda self, x: np.where(x > 0, x, np.exp(np.minimum(x, 0)) - 1)),
    ("softplus", "act1 forward", "softplus", "relu", lambda self, x: np.log1p(np.exp(x))),
    ("no ReLU", "act1 forward", "identity", "relu", lambda self, x: x),
    ("hardtanh", "act5 forward", "hardtanh|identity", "tanh", lambda self, x: x.clip(-1, 1)),
    ("sigmoid", "act5 forward", "sigmoid", "tanh", lambda self, x: _sigmoid(x)),
    ("softsign", "act5 forward", "softsign", "tanh", lambda self, x: x / (1 + np.abs(x))),
    ("tanh of half", "act5 forward", "tanh(x/2)", "tanh", lambda self, x: 2 * _sigmoid(x) - 1),
    ("max pooling", "pool2 forward", "maximum|max pool", "pool", lambda self, x: _windows(x).max(-1)),
    ("sum pooling", "pool2 forward", "1/4", "pool", lambda self, x: _windows(x).sum(-1)),
    ("pool divides by 2", "pool2 forward", "divided by 2", "pool", lambda self, x: _windows(x).sum(-1) / 2),
    ("every second pixel", "pool2 forward", "pixel of each window", "pool", lambda self, x: x[:, ::2, ::2]),
    ("stride 1", "pool2 forward", "stride", "pool", _strided),
    ("flatten in NHWC order", "*", "H, W, C", "flatten", lambda self, x: x.transpose(1, 2, 0).reshape(-1)),
    ("flatten columns first", "flatten forward", "C, W, H", "flatten",
     lambda self, x: x.transpose(0, 2, 1).reshape(-1)),
    ("linear bias forgotten", "fc5 forward", "bias is missing", "linear", lambda self, x, w, b: w @ x),
    ("linear bias twice", "fc5 forward", "twice", "linear", lambda self, x, w, b: w @ x + 2 * b),
    # softmax and loss
    ("softmax to base 2", "loss forward", "base 2", "softmax",
     lambda self, z: 2 ** (z - z.max()) / (2 ** (z - z.max())).sum()),
    ("softmax to base 10", "loss forward", "base 10", "softmax", lambda self, z: 10.0**z / (10.0**z).sum()),
    ("softmax twice", "loss forward", "twice", "softmax",
     lambda self, z: Loop.softmax(self, Loop.softmax(self, z))),
    ("softmax with eps", "loss forward", "eps = 1e-08|1e-08", "softmax",
     lambda self, z: np.exp(z - z.max()) / (np.exp(z - z.max()).sum() + 1e-8)),
    ("softmax with temperature", "loss forward", "temperature", "softmax", lambda self, z: Loop.softmax(self, z / 3)),
    ("sigmoid for softmax", "loss forward", "sigmoid", "softmax", lambda self, z: _sigmoid(z)),
    ("softmax of the negative", "loss forward", "-x|-1", "softmax", lambda self, z: Loop.softmax(self, -z)),
    ("exp without its sum", "loss forward", "not divided", "softmax", lambda self, z: np.exp(z)),
    ("loss with eps", "loss forward", "1e-06", "loss", lambda self, p, label: -np.log(p[label] + 1e-6)),
    ("loss with tiny eps", "loss forward", "1e-12", "loss", lambda self, p, label: -np.log(p[label] + 1e-12)),
    ("loss to base 10", "loss forward", "base 10", "loss", lambda self, p, label: -np.log10(p[label])),
    ("loss to base 2", "loss forward", "base 2", "loss", lambda self, p, label: -np.log2(p[label])),
    ("loss summed", "loss forward", "sum over the batch", "mean_loss", lambda self, losses: losses.sum()),
    ("loss of the last image", "loss forward", "last image|last sample", "mean_loss",
     lambda self, losses: losses[-1]),
    ("binary loss", "loss forward", "binary", "loss",
     lambda self, p, label: -np.log(np.where(_one_hot(self, label), p, 1 - p)).sum()),
    ("square error", "loss forward", "square error", "loss",
     lambda self, p, label: ((p - _one_hot(self, label)) ** 2).sum()),
    ("label + 1 in the loss", "loss forward", "label + 1|shifted", "loss",
     lambda self, p, label: -np.log(p[(label + 1) % self.classes])),
    ("decay in the loss", "loss forward", "weight decay", "mean_loss",
     lambda self, losses: losses.mean()
     + 0.5 * 5e-4 * sum((w**2).sum() for n, w in self.w.items() if n.endswith("weight"))),
    ("y - p", "loss backward", "y - p", "loss_backward",
     lambda self, p, label: (_one_hot(self, label) - p) / self.n),
    ("not divided by N", "loss backward", "1/N", "loss_backward",
     lambda self, p, label: p - _one_hot(self, label)),
    ("divided by K", "loss backward", "number of classes", "loss_backward",
     lambda self, p, label: (p - _one_hot(self, label)) / self.classes),
    ("divided by N K", "loss backward", "N*K|number of classes", "loss_backward",
     lambda self, p, label: (p - _one_hot(self, label)) / self.classes / self.n),
    ("p without y", "loss backward", "not subtracted", "loss_backward", lambda self, p, label: p / self.n),
    ("diagonal of the Jacobian", "loss backward", "diagonal", "loss_backward",
     lambda self, p, label: -_one_hot(self, label) / p * p * (1 - p) / self.n),
    ("gradient of the square error", "loss backward", "square error", "loss_backward",
     lambda self, p, label: _jacobian(self, p, 2 * (p - _one_hot(self, label)))),
    ("label - 1 backward", "loss backward", "label - 1|shifted", "loss_backward",
     lambda self, p, label: (p - _one_hot(self, (label - 1) % self.classes)) / self.n),
    ("extra p (1 - p)", "loss backward", "p (1 - p)", "loss_backward",
     lambda self, p, label: (p - _one_hot(self, label)) * p * (1 - p) / self.n),
    # backward
    ("tanh' missing", "act6 backward", "slope is missing|not multiplied by the slope", "tanh_backward",
     lambda self, d, x, out: d),
    ("tanh' without d", "act6 backward", "no effect|not multiplied", "tanh_backward",
     lambda self, d, x, out: 1 - out**2),
    ("tanh' of x", "act6 backward", "1 - x^2", "tanh_backward", lambda self, d, x, out: d * (1 - x**2)),
    ("tanh' without the square", "act6 backward", "square is missing", "tanh_backward",
     lambda self, d, x, out: d * (1 - out)),
    ("tanh twice", "act6 backward", "twice|tanh(tanh", "tanh_backward",
     lambda self, d, x, out: d * (1 - np.tanh(out) ** 2)),
    ("ReLU' missing", "act4 backward", "slope is missing", "relu_backward", lambda self, d, x, out: d),
    ("guided ReLU", "act4 backward", "guided|negative", "relu_backward",
     lambda self, d, x, out: d * (x > 0) * (d > 0)),
    ("ReLU' from d", "act4 backward", "sign of d_out", "relu_backward", lambda self, d, x, out: d * (d > 0)),
    ("ReLU' without d", "act4 backward", "no effect|not multiplied", "relu_backward",
     lambda self, d, x, out: (x > 0) * 1.0),
    ("ReLU' times x", "act4 backward", "output|by x", "relu_backward", lambda self, d, x, out: d * out),
    ("1/4 missing", "pool4 backward", "1/4", "pool_backward", lambda self, d, x: d.repeat(2, 1).repeat(2, 2)),
    ("pool backward divides by 2", "pool4 backward", "divided by 2", "pool_backward",
     lambda self, d, x: d.repeat(2, 1).repeat(2, 2) / 2),
    ("to the top left pixel", "pool4 backward", "top left|upper left", "pool_backward", _corner),
    ("tiled", "pool4 backward", "tiled", "pool_backward", lambda self, d, x: np.tile(d, (1, 2, 2)) / 4),
    ("to the largest pixel", "pool4 backward", "largest", "pool_backward", _to_largest),
    ("pool transposed", "pool4 backward", "spatial axes", "pool_backward",
     lambda self, d, x: d.swapaxes(1, 2).repeat(2, 1).repeat(2, 2) / 4),
    ("unflatten in NHWC order", "flatten backward", "H, W, C", "unflatten",
     lambda self, d, shape: d.reshape(shape[1], shape[2], shape[0]).transpose(2, 0, 1)),
    ("linear dW without d", "fc7 backward", "not multiplied|no effect", "linear_d_weight",
     lambda self, d, x: np.outer(np.ones_like(d), x)),
    ("linear dW without x", "fc7 backward", "1 is used|no effect", "linear_d_weight",
     lambda self, d, x: np.outer(d, np.ones_like(x))),
    ("linear dx times x", "fc7 backward", "by x", "linear_d_x", lambda self, d, w, x: (w.T @ d) * x),
    ("gradients averaged", "fc7 backward", "mean over the batch", "gathered", lambda self, g: g.mean(0)),
    ("gradients of the last image", "fc7 backward", "last sample|last image", "gathered", _once),
    ("gradients of the first image", "fc7 backward", "first sample|first image", "gathered", lambda self, g: g[0]),
    ("conv db averaged", "conv4 backward", "mean over space", "conv_d_bias", lambda self, d: d.mean((1, 2))),
    ("conv db of the last pixel", "conv4 backward", "last element|=", "conv_d_bias", lambda self, d: d[:, -1, -1]),
    ("conv db not summed", "conv4 backward", "not summed|shape", "conv_d_bias", lambda self, d: d),
    ("conv db summed over rows", "conv4 backward", "axes|shape", "conv_d_bias", lambda self, d: d.sum(1)),
    ("dW rotated", "conv4 backward", "rotated by 180", "conv_d_weight",
     lambda self, d, x: Loop.conv_d_weight(self, d, x)[..., ::-1, ::-1]),
    ("dW transposed", "conv4 backward", "axes exchanged|axes of the kernel", "conv_d_weight",
     lambda self, d, x: Loop.conv_d_weight(self, d, x).swapaxes(2, 3)),
    ("dW without its last tap", "conv4 backward", "last tap", "conv_d_weight", _without_last_tap),
    ("dW with reflected padding", "conv4 backward", "reflect", "conv_d_weight", _reflected),
    ("dW of the last window", "conv4 backward", "last window", "conv_d_weight", _last_window),
    ("dx with the kernel not rotated", "conv4 backward", "not rotated", "conv_d_x",
     lambda self, d, w: Loop.conv_d_x(self, d, w[..., ::-1, ::-1])),
    ("dx with one axis flipped", "conv4 backward", "top to bottom only|left to right only", "conv_d_x",
     lambda self, d, w: Loop.conv_d_x(self, d, w[..., ::-1])),
    ("dx assigned by tap", "conv4 backward", "= for +=|assigned", "conv_d_x", _assigned_by_tap),
    ("dx assigned by window", "conv4 backward", "= for +=|assigned", "conv_d_x", _assigned_by_window),
    ("dx cropped wrongly", "conv4 backward", "cropped|shifted", "conv_d_x", _moved),
    ("dx rotated", "conv4 backward", "rotated by 180", "conv_d_x",
     lambda self, d, w: Loop.conv_d_x(self, d, w)[..., ::-1, ::-1]),
    # the batch
    ("images not scaled", "conv1 forward", "not scaled|255", "prepared", lambda self, x: 255 * x),
    ("images inverted", "conv1 forward", "inverted", "prepared", lambda self, x: 1 - x),
    ("images transposed", "conv1 forward", "transposed", "prepared", lambda self, x: x.swapaxes(2, 3)),
    ("images normalised", "conv1 forward", "normalised", "prepared", lambda self, x: (x - x.mean()) / x.std()),
    ("images in reverse order", "conv1 forward", "reverse order|images in the order", "prepared",
     lambda self, x: x[::-1]),
    ("conv1 and act1 exchanged", "names", "exchanged", "named", _exchanged("conv1", "act1")),
    ("gradients of conv3 and act3 exchanged", "names", "exchanged", "named", _exchanged("conv3.grad", "act3.grad")),
    ("gradients of fc6 and act6 exchanged", "names", "exchanged", "named", _exchanged("fc6.grad", "act6.grad")),
]  # fmt: skip
STEPS = [
    ("momentum", "momentum of 0.9", "update", _momentum),
    ("gradients never zeroed", "never set to zero", "update", _never_zeroed),
    ("the first gradient only", "first gradient", "update", _first_gradient),
    ("Adam", "Adam", "update", _adam),
    ("weight decay", "weight decay of 0.01", "update", _decayed),
    ("gradient added", "added", "update", _in_place(lambda self, w, g, lr, step: -lr * g)),
    ("no learning rate", "learning rate is missing", "update", _in_place(lambda self, w, g, lr, step: g)),
    ("divided by N again", "batch size N", "update", _in_place(lambda self, w, g, lr, step: lr * g / self.n)),
    ("one rate for all", "that of the other layers", "rate", lambda self, name: self.rates[0]),
    ("clipped elements", "clipped", "update",
     _in_place(lambda self, w, g, lr, step: lr * g.clip(-0.5 * np.abs(g).max(), 0.5 * np.abs(g).max()))),
    ("clipped norm", "clipped to the norm", "update",
     _in_place(lambda self, w, g, lr, step: lr * g * 0.001 / np.sqrt((g * g).sum()))),
    ("sign of the gradient", "sign of the gradient", "update",
     _in_place(lambda self, w, g, lr, step: lr * np.sign(g))),
    ("biases frozen", "did not move", "update",
     _in_place(lambda self, w, g, lr, step: lr * g if w.ndim > 1 else 0)),
    ("rate decays", "multiplied by 0.9", "update",
     _in_place(lambda self, w, g, lr, step: lr * 0.9 ** (step - 1) * g)),
]  # fmt: skip
MISTAKES = [
    *(Planted(name, place, tuple(words.split("|")), function, f) for name, place, words, function, f in ROWS),
    *(Planted(name, "optimiser", tuple(w.split("|")), function, f, True) for name, w, function, f in STEPS),
]
