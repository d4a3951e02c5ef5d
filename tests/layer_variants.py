"""More mistakes in single layers: variants of those in `layer_mistakes.py`, and rarer ones."""

from tests.layer_styles import Example, one

L, T, S = "conv loop", "conv taps", "conv square"
PR, PL = "pool reshape", "pool loop"
P, H, G = "loss probs", "loss one-hot", "loss log"
ADDED = "db += d_out[n]"
FINAL = "-np.sum(labels * np.log(p + (labels == 0)))"
ERROR = "(p - labels) / len(labels)"

VARIANTS = [
    # Convolution.
    one(T, "correlate(x, w) +", "correlate(x, w[:, ::-1]) +", "input channels are in reverse order"),
    one(T, "correlate(x, w) +", "correlate(x, w) / w.shape[1] +", "number of input channels"),
    one(T, "correlate(x, w) +", "correlate(x, w * (np.arange(3) > 0)) +", "first column"),
    one(T, "correlate(x, w) +", "correlate(x, w * (np.arange(9).reshape(3, 3) == 4)) +", "middle tap"),
    one(T, "return correlate(x, w) + b[:, None, None]", "return np.maximum(correlate(x, w) + b[:, None, None], 0)", "ReLU"),
    one(T, "d_x = correlate(d_out, turned)", "d_x = -correlate(d_out, turned)", "sign"),
    one(T, "d_x = correlate(d_out, turned)", "d_x = correlate(np.abs(d_out), turned)", "absolute value"),
    one(T, "d_x = correlate(d_out, turned)", "d_x = correlate(d_out, turned) / len(x)", "batch size N"),
    one(T, "d_x = correlate(d_out, turned)", "d_x = correlate(d_out, turned) * (x > 0)", "as if a ReLU"),
    one(T, '"b": np.einsum("nohw->o", d_out)', '"b": d_out[:, :, 0, 0].sum(0)', "first pixel"),
    one(T, '"b": np.einsum("nohw->o", d_out)', '"b": d_out[:, :, -1].sum((0, 2))', "last row"),
    one(T, '"b": np.einsum("nohw->o", d_out)', '"b": d_out[:-1].sum((0, 2, 3))', "left out"),
    one(T, '"b": np.einsum("nohw->o", d_out)', '"b": 2 * d_out.sum((0, 2, 3))', "factor of 2"),
    one(T, '"w": d_w', '"w": d_w + 5e-4 * w', "times the weight"),
    one(T, '"w": d_w', '"w": d_w[:, ::-1]', "channels are in reverse order"),
    one(T, '"w": d_w', '"w": d_w / 3', "0.333333 times"),
    # Pooling.
    one(PR, ".mean(axis=(3, 5))", ".min(axis=(3, 5))", "minimum"),
    one(PR, ".mean(axis=(3, 5))", ".sum(axis=(3, 5)) / 3", "1.33333 times"),
    one(PR, ".mean(axis=(3, 5))", ".mean(axis=5)[:, :, :, 0]", "two upper pixels"),
    one(PL, "x[:, :, 2*i:2*i+2, 2*j:2*j+2].mean", "x[:, :, 2*i:2*i+3, 2*j:2*j+3].mean", "3x3"),
    one(PR, "axis=3) / 4", "axis=3) / 9", "9 instead of 4"),
    one(PR, "axis=3) / 4", "axis=3) / x.shape[1]", "number of channels"),
    one(PR, "axis=3) / 4", "axis=3) / 4 * (x > 0)", "as if a ReLU"),
    one(PL, "2*j:2*j+2] += d * 0.25", "2*j:2*j+2] += d.swapaxes(0, 0) * 0.25 * (i + j > 0)", "differs"),
    # Linear.
    one("linear", " + b", " - b", "subtracted"),
    one("linear", "d_x = d_out @ w", "d_x = -d_out @ w", "sign"),
    one("linear", "d_x = d_out @ w", "d_x = d_out @ w / len(w)", "number of outputs"),
    one("linear", "d_w = d_out.T @ x", "d_w = d_out.T @ np.roll(x, 1, 0)", "previous one"),
    one("linear", "d_w = d_out.T @ x", "d_w = d_out[1:].T @ x[1:]", "left out"),
    one("linear", "d_w = d_out.T @ x", "d_w = np.sign(d_out.T @ x)", "sign of the gradient"),
    one("linear", "d_w = d_out.T @ x", "d_w = d_out.T @ x; d_w /= np.linalg.norm(d_w)", "norm"),
    one("linear square", ADDED, "db -= d_out[n]", "sign"),
    one("linear square", ADDED, "db += d_out[n] / len(x)", "batch size N"),
    # Activations.
    one("relu", "np.maximum(x, 0)", "np.maximum(-x, 0)", "the sign of x is flipped"),
    one("relu", "np.maximum(x, 0)", "np.where(x > 0, x, np.expm1(np.minimum(x, 0)))", "ELU"),
    one("relu", "np.maximum(x, 0)", "x * np.tanh(np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0))", "Mish"),
    one("relu", "np.maximum(x, 0)", "np.maximum(x, 0) ** 2", "square of ReLU"),
    one("relu", "(x > 0)", "(x < 0)", "min(x, 0)"),
    one("relu", "(x > 0)", "(x > 0.1)", "differs"),
    one("tanh", "np.tanh(x)", "np.tanh(2 * x)", "tanh(2x)"),
    one("tanh", "np.tanh(x)", "x / (1 + np.abs(x))", "softsign"),
    one("tanh", "np.tanh(x)", "np.arctan(x)", "arctan"),
    one("tanh", "(1 - cache ** 2)", "(1 - cache ** 2) / 2", "1/2"),
    one("tanh", "(1 - cache ** 2)", "(1 - cache ** 4)", "tanh(x)^4"),
    one("arctan", "d_out / (1 + cache ** 2)", "d_out / (1 + cache ** 2) ** 2", "square of"),
    one("arctan", "d_out / (1 + cache ** 2)", "d_out / (1 + np.abs(cache))", "square is missing"),
    one("arctan", "d_out / (1 + cache ** 2)", "d_out / np.sqrt(1 + cache ** 2)", "inverse hyperbolic sine"),
    # Softmax with cross-entropy.
    one(P, "y]).mean(), p", "y] + 1e-9).mean(), p", "1e-09 is added"),
    one(P, "y]).mean(), p", "y]).mean() / 2, p", "1/2"),
    one(P, "y]).mean(), p", "y])[0], p", "from the first sample"),
    one(P, "y]).mean(), p", "y])[:-1].sum() / len(y), p", "left out"),
    one(P, "np.exp(z -", "10.0 ** (z -", "base 10"),
    one(P, "y] -= 1", "y] -= 0.9", "0.9 is subtracted at the label"),
    one(P, "y] -= 1", "y - 1] -= 1", "label - 1"),
    one(P, "return d / len(y)", "return d / (len(y) - 1)", "N - 1"),
    one(P, "return d / len(y)", "return d / len(y) ** 2", "N twice"),
    one(H, FINAL, "-np.sum(labels * np.log(p + 1e-6))", "1e-06 is added"),
    one(H, FINAL, "0.5 * np.sum((p - labels) ** 2)", "half the square error"),
    one(H, ERROR, "2 * p * ((p - labels) - ((p - labels) * p).sum(1, keepdims=True)) / len(labels)", "square error"),
    one(H, ERROR, "p * (p - labels) / len(labels)", "multiplied by p"),
    one(G, "(np.exp(logp) - onehot) / len(y)", "(onehot - np.exp(logp))", "y - p"),
    one(G, "onehot[np.arange(len(y)), y] = 1", "onehot[np.arange(len(y)), logp.argmax(1)] = 1", "most likely"),
    Example(P, (("z.max(axis=1, keepdims=True)", "z.max(axis=0)"),), "each column"),
    # Calls.
    one("tanh", "return out, out", "out += 0; return out, out * 1.0001", "differs"),
    one("relu", "np.maximum(x, 0)", "np.maximum(x, 0).astype('float16')", "precision"),
    one("linear", "d_out.sum(axis=0)", "(d_out.sum(axis=0) + b * 0)[:1]", "has shape"),
]  # fmt: skip
