"""Mistakes in a convolution: the style, what is replaced, and the words that must be found."""

from tests.layer_styles import Example, one

L, T, S = "conv loop", "conv taps", "conv square"
PAD = "np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))"
DB = "dout.sum(axis=(0, 2, 3))"

CONVOLUTION = [
    # Convolution, forward.
    one(L, "window * w[o]).sum", "window * w[o][:, ::-1, ::-1]).sum", "rotated by 180 degrees"),
    one(L, "window * w[o]).sum", "window * w[o][:, ::-1]).sum", "flipped top to bottom"),
    one(L, "window * w[o]).sum", "window * w[o][:, :, ::-1]).sum", "flipped left to right"),
    one(L, "window * w[o]).sum", "window * w[o].swapaxes(1, 2)).sum", "two axes of the kernel are exchanged"),
    one(
        S,
        "w.reshape(len(w), -1) @ cols",
        "w.swapaxes(0, 1).reshape(len(w), -1) @ cols",
        "in and out channels",
    ),
    one(L, " + b[o]", "", "the bias is missing"),
    one(L, " + b[o]", " - b[o]", "bias is subtracted"),
    one(T, "+ b[:, None, None]", "+ 9 * b[:, None, None]", "nine times"),
    one(L, "out[:, o, i, j] = (", "out[:, o, i, j] = x.shape[1] * b[o] - b[o] + (", "once per input channel"),
    one(L, PAD, PAD[:-1] + ", mode='reflect')", "the padding reflects"),
    one(L, PAD, PAD[:-1] + ", mode='edge')", "the padding repeats the edge"),
    one(L, PAD, PAD[:-1] + ", mode='wrap')", "the padding wraps around"),
    one(L, "(1, 1), (1, 1)))\n", "(2, 0), (2, 0)))\n", "at the top and left"),
    one(S, "p[:, :, 1:-1, 1:-1] = x", "p[:, :, :-2, :-2] = x", "at the bottom and right"),
    one(T, "out = out + np", "out = np", "of the last tap only"),
    one(T, "correlate(x, w) +", "correlate(x, w) / 9 +", "bias"),
    one(T, "correlate(x, w) + b[:, None, None]", "(correlate(x, w) + b[:, None, None]) / 9", "divided by 9"),
    one(
        T,
        "return correlate(x, w) + b[:, None, None]",
        "return np.maximum(correlate(x, w) + b[:, None, None], 0)",
        "a ReLU is applied",
    ),
    one(
        L, ".sum(axis=(1, 2, 3)) + b[o]", "[:, -1].sum(axis=(1, 2)) + b[o]", "of the last input channel only"
    ),
    one(
        L,
        "for i in range(h):\n        for j in range(wd):\n            window = xp[:, :, i:i+3, j:j+3]\n            for o in range(len(w))",
        "for i in range(1, h - 1):\n        for j in range(1, wd - 1):\n            window = xp[:, :, i:i+3, j:j+3]\n            for o in range(len(w))",
        "the border is left at zero",
    ),
    one(
        T,
        "return correlate(x, w) + b[:, None, None]",
        "return (correlate(x, w) + b[:, None, None])[:, :, 1:-1, 1:-1]",
        "(valid)",
    ),
    one(
        T,
        "return correlate(x, w) + b[:, None, None]",
        "return (correlate(x, w) + b[:, None, None])[:, :, ::2, ::2]",
        "the stride is 2",
    ),
    # Convolution, gradient of x.
    one(T, "w[:, :, ::-1, ::-1].transpose", "w.transpose", "the kernel is not rotated by 180 degrees"),
    one(T, "w[:, :, ::-1, ::-1].transpose", "w[:, :, :, ::-1].transpose", "flipped left to right only"),
    one(T, "w[:, :, ::-1, ::-1].transpose", "w[:, :, ::-1].transpose", "flipped top to bottom only"),
    one(T, "transpose(1, 0, 2, 3)", "transpose(1, 0, 3, 2)", "two axes of the kernel are exchanged"),
    Example(
        T,
        (("w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)", "w[:, :, ::-1, ::-1]"),),
        "channels of the weight are not exchanged",
    ),
    one(
        L,
        "dxp[:, :, i:i+3, j:j+3] += w[o] * d",
        "dxp[:, :, i:i+3, j:j+3] = w[o] * d",
        "= for += in a loop over windows and output channels",
    ),
    one(S, "v:v+wd] += dcols", "v:v+wd] = dcols", "= for += in a loop over taps"),
    one(
        L,
        "dxp[:, :, 1:-1, 1:-1], dw",
        "dxp[:, :, :-2, :-2], dw",
        "cropped from the padded gradient at (0, 0)",
    ),
    one(
        L, "dxp[:, :, 1:-1, 1:-1], dw", "dxp[:, :, 2:, 2:], dw", "cropped from the padded gradient at (2, 2)"
    ),
    one(L, "dxp[:, :, 1:-1, 1:-1], dw", "dxp, dw", "not cropped"),
    one(
        L,
        "dxp[:, :, 1:-1, 1:-1], dw",
        "dxp[:, :, 1:-1, 1:-1][:, :, ::-1, ::-1], dw",
        "rotated by 180 degrees in space",
    ),
    one(
        L, "dxp[:, :, 1:-1, 1:-1], dw", "dxp[:, :, 1:-1, 1:-1] / len(dout), dw", "divided by the batch size N"
    ),
    one(
        T,
        "d_x = correlate(d_out, turned)",
        "d_x = correlate(np.ones_like(d_out), turned)",
        "upstream gradient is not multiplied",
    ),
    one(T, "d_x = correlate(d_out, turned)", "d_x = -correlate(d_out, turned)", "the sign is wrong"),
    one(T, "d_x = correlate(d_out, turned)", "d_x = 1.05 * correlate(d_out, turned)", "1.05 times"),
    one(T, "d_x = correlate(d_out, turned)", "d_x = np.zeros_like(x)", "zero everywhere"),
    one(
        S,
        "w.reshape(len(w), -1).T @ flat).reshape(n, c, 3, 3, h, wd)",
        "w.swapaxes(0, 1).reshape(len(w), -1).T @ flat).reshape(n, c, 3, 3, h, wd)",
        "channels of the weight are not exchanged",
    ),
    # Convolution, gradients of the weight and the bias.
    one(
        L,
        "dw[o] += (window * d).sum(axis=0)",
        "dw[o] += window.sum(axis=0)",
        "upstream gradient is not multiplied",
    ),
    one(L, "dw[o] += (window * d).sum(axis=0)", "dw[o] += (window * d)[0]", "from the first sample"),
    one(
        L, "dw[o] += (window * d).sum(axis=0)", "dw[o] = (window * d).sum(axis=0)", "of the last window only"
    ),
    one(
        L,
        "dw[o] += (window * d).sum(axis=0)",
        "dw[o] += (window * d).mean(axis=0)",
        "divided by the batch size N",
    ),
    one(L, "dw[o] += (window * d)", "dw[o, :, ::-1, ::-1] += (window * d)", "rotated by 180 degrees"),
    one(T, "d_w[:, :, u, v] =", "d_w[:, :, v, u] =", "axes"),
    one(S, "dw, db", "dw / (h * wd), db", "divided by H*W"),
    one(S, "dw, db", "dw / (n * h * wd), db", "divided by N*H*W"),
    one(S, "dw, db", "dw + 0.01 * w, db", "0.01 times the weight is added"),
    one(S, "dw, db", "dw.swapaxes(0, 1), db", "exchanged"),
    one(L, DB, "dout", "not summed: it is d_out itself"),
    one(L, DB, "dout.sum(axis=0)", "summed over axis 0"),
    one(L, DB, "dout.sum(axis=(2, 3))", "summed over axes (2, 3)"),
    one(L, DB, "dout.sum(axis=(1, 2, 3))", "summed over axes (1, 2, 3)"),
    one(L, DB, "dout.sum(axis=(0, 1, 2))", "summed over axes (0, 1, 2)"),
    one(L, DB, "dout.sum()", "summed over axes (0, 1, 2, 3)"),
    one(L, DB, "dout.mean(axis=(0, 2, 3))", "divided by N*H*W"),
    one(L, DB, "dout.mean(axis=0).sum(axis=(1, 2))", "divided by the batch size N"),
    one(L, DB, "dout.sum(axis=0).mean(axis=(1, 2))", "divided by H*W"),
    one(L, DB, "dout[0].sum(axis=(1, 2))", "from the first sample"),
    one(L, DB, "dout[-1].sum(axis=(1, 2))", "from the last sample"),
    one(L, DB, "np.zeros(o_)", "zero everywhere"),
]
