"""The mistakes that an exercise can have: each a textual replacement in `template/network.py`."""

from typing import NamedTuple


class Mistake(NamedTuple):
    """What stands once in the template, and what an exercise has instead.

    place: the layer and the pass as a hint names them. words: what the hint in words must contain.
    """

    right: str
    wrong: str
    place: str
    words: str


# Parts of the template that stand in it more than once, with what makes them unique.
_CONV_PAD = "n, _, height, width = x.shape\n    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))"
_CONV_LOOP = "out = np.zeros((n, len(weight), height, width))\n    for u in range(3):"
_FORWARD_TAP = "shifted, weight[:, :, u, v])"
_BACKWARD_TAP = "d_out, weight[:, :, u, v])"
_SPREAD = "d_out.repeat(2, axis=2).repeat(2, axis=3) / 4"
_RATES = 'lr_conv if name.startswith("conv") else lr_fc'
_SGD = "parameter - lr * gradients[name]"

CONVOLUTION = (
    Mistake(_FORWARD_TAP, "shifted, weight[:, :, 2 - u, 2 - v])",
            "conv2d forward", "the kernel is rotated by 180 degrees"),
    Mistake(_FORWARD_TAP, "shifted, weight[:, :, v, u])",
            "conv2d forward", "the two axes of the kernel are exchanged"),
    Mistake(_FORWARD_TAP, "shifted, weight[:, :, 2 - u, v])",
            "conv2d forward", "the kernel is flipped top to bottom"),
    Mistake("out += np.einsum", "out = np.einsum",
            "conv2d forward", "of the last tap only: = for += over the taps"),
    Mistake(_CONV_LOOP, _CONV_LOOP.replace("range(3)", "range(2)"),
            "conv2d forward", "the taps of the last row are skipped"),
    Mistake(_CONV_PAD, _CONV_PAD[:-1] + ', mode="edge")',
            "conv2d forward", "the padding repeats the edge"),
    Mistake(_CONV_PAD, _CONV_PAD.replace("(1, 1), (1, 1)", "(2, 0), (2, 0)"),
            "conv2d forward", "all padding is at the top and left"),
    Mistake("return out + bias[:, None, None]", "return out",
            "conv2d forward", "the bias is missing"),
    Mistake(_BACKWARD_TAP, "d_out, weight[:, :, 2 - u, 2 - v])",
            "conv2d backward", "the kernel is not rotated by 180 degrees"),
    Mistake(_BACKWARD_TAP, "d_out, weight[:, :, v, u])",
            "conv2d backward", "the two axes of the kernel are exchanged"),
    Mistake("width] += d_shifted", "width] = d_shifted",
            "conv2d backward", "overlapping windows are assigned, not added: = for += in a loop over taps"),
    Mistake("d_padded[:, :, 1:-1, 1:-1]", "d_padded[:, :, 2:, 2:]",
            "conv2d backward", "cropped from the padded gradient at (2, 2)"),
    Mistake("d_padded[:, :, 1:-1, 1:-1]", "d_padded[:, :, :-2, :-2]",
            "conv2d backward", "cropped from the padded gradient at (0, 0)"),
    Mistake("d_weight[:, :, u, v] =", "d_weight[:, :, v, u] =",
            "conv2d backward", "the two axes of the kernel are exchanged"),
    Mistake("d_out, shifted)", "d_out[:1], shifted[:1])",
            "conv2d backward", "from the first sample"),
    Mistake("d_out, shifted)", "d_out, shifted) / len(x)",
            "conv2d backward", "divided by the batch size N"),
    Mistake("d_out.sum(axis=(0, 2, 3))", "d_out.mean(axis=(0, 2, 3))",
            "conv2d backward", "divided by N*H*W"),
    Mistake("d_out.sum(axis=(0, 2, 3))", "d_out.sum(axis=0).mean(axis=(1, 2))",
            "conv2d backward", "divided by H*W"),
)  # fmt: skip

ACTIVATIONS = (
    Mistake("np.maximum(x, 0)", "np.maximum(x, 0.01 * x)",
            "relu forward", "it is a leaky ReLU: the slope is 0.01"),
    Mistake("np.maximum(x, 0)", "np.clip(x, 0, 6)",
            "relu forward", "ReLU6"),
    Mistake("np.where(x > 0, d_out, 0)", "np.where(x >= 0, d_out, 0)",
            "relu backward", "the slope at x = 0 is 1"),
    Mistake("np.where(x > 0, d_out, 0)", "np.where(d_out > 0, d_out, 0)",
            "relu backward", "gated by the sign of d_out instead of x"),
    Mistake("np.where(x > 0, d_out, 0)", "np.where((x > 0) & (d_out > 0), d_out, 0)",
            "relu backward", "zero where the upstream gradient is negative"),
    Mistake("np.where(x > 0, d_out, 0)", "np.maximum(x, 0) * d_out",
            "relu backward", "multiplied by the output instead of the slope"),
    Mistake("np.tanh(x)", "(np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))",
            "tanh forward", "e^x overflows"),
    Mistake("(1 - out**2)", "(1 - out)",
            "tanh backward", "the square is missing"),
    Mistake("(1 - out**2)", "(1 + out**2)",
            "tanh backward", "the sign is wrong"),
    Mistake("(1 - out**2)", "(1 - np.tanh(out) ** 2)",
            "tanh backward", "tanh is applied twice"),
    Mistake("(1 - out**2)", "out * (1 - out)",
            "tanh backward", "as for a sigmoid"),
    Mistake("return np.arctan(x)", "return 2 / np.pi * np.arctan(x)",
            "arctan forward", "2/pi"),
    Mistake("(1 + x**2)", "(1 + np.arctan(x) ** 2)",
            "arctan backward", "the output in place of x"),
    Mistake("(1 + x**2)", "(1 + np.abs(x))",
            "arctan backward", "the square is missing"),
    Mistake("d_out / (1 + x**2)", "d_out * (1 + x**2)",
            "arctan backward", "multiplied by 1 + x^2 instead of divided"),
)  # fmt: skip

POOL_AND_LINEAR = (
    Mistake("2).mean(axis=(3, 5))", "2).max(axis=(3, 5))",
            "avg_pool2d forward", "max pooling"),
    Mistake("height // 2, 2, width // 2, 2).mean(axis=(3, 5))",
            "2, height // 2, 2, width // 2).mean(axis=(2, 4))",
            "avg_pool2d forward", "half an image apart"),
    Mistake(_SPREAD, "d_out.repeat(2, axis=2).repeat(2, axis=3)",
            "avg_pool2d backward", "the factor 1/4 is missing"),
    Mistake(_SPREAD, "d_out.repeat(2, axis=2).repeat(2, axis=3) / 2",
            "avg_pool2d backward", "divided by 2 instead of 4"),
    Mistake(_SPREAD, "np.tile(d_out, (1, 1, 2, 2)) / 4",
            "avg_pool2d backward", "tiled instead of repeated"),
    Mistake("x @ weight.T + bias", "x @ weight.T",
            "linear forward", "the bias is missing"),
    Mistake("d_x = d_out @ weight", "d_x = d_out @ weight * x",
            "linear backward", "multiplied by x"),
    Mistake("d_weight = d_out.T @ x", "d_weight = d_out.T @ x / len(x)",
            "linear backward", "divided by the batch size N"),
    Mistake("d_weight = d_out.T @ x", "d_weight = np.outer(d_out.sum(axis=0), x.sum(axis=0))",
            "linear backward", "the product of the sums over the batch"),
    Mistake("d_bias = d_out.sum(axis=0)", "d_bias = d_out.mean(axis=0)",
            "linear backward", "divided by the batch size N"),
    Mistake("d_bias = d_out.sum(axis=0)", "d_bias = d_out[-1].copy()",
            "linear backward", "from the last sample"),
)  # fmt: skip

LOSS = (
    Mistake("logits - logits.max(axis=1, keepdims=True)", "logits",
            "softmax_cross_entropy forward", "does not subtract the largest logit"),
    Mistake("labels].mean()", "labels].sum()",
            "softmax_cross_entropy forward", "the factor 1/N is missing"),
    Mistake("labels].mean()", "labels].sum() / logits.shape[1]",
            "softmax_cross_entropy forward", "the number of classes K"),
    Mistake("return d_logits / len(labels)", "return d_logits",
            "softmax_cross_entropy backward", "the factor 1/N is missing"),
    Mistake("return d_logits / len(labels)", "return d_logits / d_logits.size",
            "softmax_cross_entropy backward", "N*K"),
    Mistake("return d_logits / len(labels)", "return -d_logits / len(labels)",
            "softmax_cross_entropy backward", "reversed: y - p instead of p - y"),
    Mistake("labels] -= 1", "labels] -= 2",
            "softmax_cross_entropy backward", "2 is subtracted at the label"),
    Mistake("d_logits = probs.copy()", "d_logits = probs",
            "softmax_cross_entropy backward", "in place"),
)  # fmt: skip

NETWORK = (
    Mistake('v["pool1"].reshape(len(images), -1)',
            'v["pool1"].transpose(0, 2, 3, 1).reshape(len(images), -1)',
            "network, flatten forward", "the order is H, W, C instead of C, H, W"),
    Mistake('arctan_backward(v["fc3"], d["logits"])', 'arctan_backward(v["logits"], d["logits"])',
            "network, logits backward", "the output in place of x"),
    Mistake('tanh_backward(v["act2"], d["act2"])', 'tanh_backward(v["fc2"], d["act2"])',
            "network, act2 backward", "x in place of tanh(x)"),
    Mistake('relu_backward(v["conv1"], d["act1"])', 'd["act1"]',
            "network, act1 backward", "the slope is missing"),
    Mistake('linear_backward(v["act2"]', 'linear_backward(v["fc2"]',
            "network, fc3 backward", "fc2"),
    Mistake(_RATES, 'lr_fc if name.startswith("conv") else lr_conv',
            "network, optimiser", "that of the other layers"),
    Mistake(_RATES, 'lr_conv if name.endswith("weight") else lr_fc',
            "network, optimiser", "that of the other layers"),
    Mistake(_SGD, "parameter + lr * gradients[name]",
            "network, optimiser", "the gradient is added instead of subtracted"),
    Mistake(_SGD, "parameter - gradients[name]",
            "network, optimiser", "the learning rate is missing"),
    Mistake(_SGD, "-lr * gradients[name]",
            "network, optimiser", "it is not added to the parameter"),
)  # fmt: skip

MISTAKES = (*CONVOLUTION, *ACTIVATIONS, *POOL_AND_LINEAR, *LOSS, *NETWORK)
