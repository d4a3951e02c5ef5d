"""Correct layers as learners write them, as source, so that a mistake is a replacement of a few characters.

They use nothing of numpy_vgg7. Styles differ in loops, in what is cached, and in how results are returned.
"""

import textwrap
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class Style:
    like: str
    source: str
    params: dict[str, tuple[int, ...]] = field(default_factory=dict)
    x: tuple[int, ...] = (2, 3, 6, 6)
    labels: str = ""  # "integers" or "one-hot", for a loss

    def arrays(self, seed: int, dtype: str = "float64") -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(self.x).astype(dtype)
        params = {name: rng.standard_normal(shape).astype(dtype) for name, shape in self.params.items()}
        if self.labels:
            labels = rng.integers(0, self.x[1], self.x[0])
            params["labels"] = np.eye(self.x[1])[labels] if self.labels == "one-hot" else labels
        return x, params

    def layer(self, *replacements: tuple[str, str]) -> tuple[Any, Any]:
        """The two functions, with parts of the source replaced."""
        source = textwrap.dedent(self.source)
        for old, new in replacements:
            assert source.count(old) >= 1, f"{old!r} is not in the source"
            source = source.replace(old, new)
        names: dict[str, Any] = {"np": np}
        exec(source, names)  # the sources are those below
        return names["forward"], names["backward"]


class Example(NamedTuple):
    """A mistake: the words are part of the finding that names it."""

    style: str
    replacements: tuple[tuple[str, str], ...]
    words: str


def one(style: str, old: str, new: str, words: str) -> Example:
    return Example(style, ((old, new),), words)


CONV = {"w": (4, 3, 3, 3), "b": (4,)}

STYLES = {
    "conv loop": Style(
        "conv2d",
        """
        def forward(x, w, b):
            n, c, h, wd = x.shape
            xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
            out = np.zeros((n, len(w), h, wd), x.dtype)
            for i in range(h):
                for j in range(wd):
                    window = xp[:, :, i:i+3, j:j+3]
                    for o in range(len(w)):
                        out[:, o, i, j] = (window * w[o]).sum(axis=(1, 2, 3)) + b[o]
            return out, (xp, w)

        def backward(dout, cache):
            xp, w = cache
            n, o_, h, wd = dout.shape
            dxp, dw = np.zeros_like(xp), np.zeros_like(w)
            for i in range(h):
                for j in range(wd):
                    window = xp[:, :, i:i+3, j:j+3]
                    for o in range(o_):
                        d = dout[:, o, i, j][:, None, None, None]
                        dw[o] += (window * d).sum(axis=0)
                        dxp[:, :, i:i+3, j:j+3] += w[o] * d
            db = dout.sum(axis=(0, 2, 3))
            return dxp[:, :, 1:-1, 1:-1], dw, db
        """,
        CONV,
    ),
    "conv taps": Style(
        "conv2d",
        """
        def shifted(x, u, v):
            h, w = x.shape[2:]
            return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))[:, :, u:u+h, v:v+w]

        def correlate(x, kernel):
            out = 0
            for u in range(3):
                for v in range(3):
                    out = out + np.einsum("oc,nchw->nohw", kernel[:, :, u, v], shifted(x, u, v))
            return out

        def forward(x, w, b):
            return correlate(x, w) + b[:, None, None]

        def backward(x, w, b, d_out):
            turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
            d_x = correlate(d_out, turned)
            d_w = np.zeros_like(w)
            for u in range(3):
                for v in range(3):
                    d_w[:, :, u, v] = np.einsum("nohw,nchw->oc", d_out, shifted(x, u, v))
            return {"x": d_x, "w": d_w, "b": np.einsum("nohw->o", d_out)}
        """,
        CONV,
    ),
    "conv square": Style(
        "conv2d",
        """
        def im2col(x):
            n, c, h, w = x.shape
            p = np.zeros((n, c, h + 2, w + 2), x.dtype)
            p[:, :, 1:-1, 1:-1] = x
            cols = [p[:, :, u:u+h, v:v+w] for u in range(3) for v in range(3)]
            return np.stack(cols, axis=2).reshape(n, c * 9, h * w)

        def forward(x, w, b):
            n, c, h, wd = x.shape
            cols = im2col(x)
            out = w.reshape(len(w), -1) @ cols + b[:, None]
            return out.reshape(n, len(w), h, wd), (cols, x.shape, w)

        def backward(d_out, cache):
            cols, shape, w = cache
            n, c, h, wd = shape
            flat = d_out.reshape(n, len(w), -1)
            db = flat.sum(axis=(0, 2))
            dw = np.matmul(flat, cols.transpose(0, 2, 1)).sum(axis=0).reshape(w.shape)
            dcols = (w.reshape(len(w), -1).T @ flat).reshape(n, c, 3, 3, h, wd)
            dp = np.zeros((n, c, h + 2, wd + 2), d_out.dtype)
            for u in range(3):
                for v in range(3):
                    dp[:, :, u:u+h, v:v+wd] += dcols[:, :, u, v]
            return dp[:, :, 1:h+1, 1:wd+1], dw, db
        """,
        {"w": (3, 3, 3, 3), "b": (3,)},
    ),
    "pool reshape": Style(
        "avg_pool2d",
        """
        def forward(x):
            n, c, h, w = x.shape
            return x.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))

        def backward(x, d_out):
            return np.repeat(np.repeat(d_out, 2, axis=2), 2, axis=3) / 4
        """,
    ),
    "pool loop": Style(
        "avg_pool2d",
        """
        def forward(x):
            n, c, h, w = x.shape
            out = np.zeros((n, c, h // 2, w // 2), x.dtype)
            for i in range(h // 2):
                for j in range(w // 2):
                    out[:, :, i, j] = x[:, :, 2*i:2*i+2, 2*j:2*j+2].mean(axis=(2, 3))
            return out, x.shape

        def backward(dout, cache):
            dx = np.zeros(cache, dout.dtype)
            n, c, h, w = dout.shape
            for i in range(h):
                for j in range(w):
                    d = dout[:, :, i, j][:, :, None, None]
                    dx[:, :, 2*i:2*i+2, 2*j:2*j+2] += d * 0.25
            return (dx,)
        """,
    ),
    "linear": Style(
        "linear",
        """
        def forward(x, w, b):
            return x @ w.T + b

        def backward(x, w, b, d_out):
            d_x = d_out @ w
            d_w = d_out.T @ x
            d_b = d_out.sum(axis=0)
            return d_x, d_w, d_b
        """,
        {"w": (4, 6), "b": (4,)},
        (5, 6),
    ),
    "linear square": Style(
        "linear",
        """
        def forward(x, w, b):
            out = np.zeros((len(x), len(w)), x.dtype)
            for o in range(len(w)):
                for i in range(w.shape[1]):
                    out[:, o] += x[:, i] * w[o, i]
            return out + b, (x, w)

        def backward(d_out, cache):
            x, w = cache
            dx, dw = np.zeros_like(x), np.zeros_like(w)
            db = np.zeros(len(w), d_out.dtype)
            for n in range(len(x)):
                dw += np.outer(d_out[n], x[n])
                dx[n] = w.T @ d_out[n]
                db += d_out[n]
            return {"dx": dx, "dw": dw, "db": db}
        """,
        {"w": (5, 5), "b": (5,)},
        (5, 5),
    ),
    "linear in_out": Style(
        "linear",
        """
        def forward(x, w, b):
            return np.dot(x, w) + b, (x, w)

        def backward(grad, cache):
            x, w = cache
            return np.dot(grad, w.T), np.dot(x.T, grad), grad.sum(axis=0, keepdims=True)
        """,
        {"w": (6, 4), "b": (1, 4)},
        (5, 6),
    ),
    "relu": Style(
        "relu",
        """
        def forward(x):
            return np.maximum(x, 0)

        def backward(x, d_out):
            return d_out * (x > 0)
        """,
    ),
    "relu mask": Style(
        "relu",
        """
        def forward(x):
            mask = x > 0
            return x * mask, mask

        def backward(dout, cache):
            dx = dout.copy()
            dx[~cache] = 0
            return dx
        """,
        x=(4, 7),
    ),
    "tanh": Style(
        "tanh",
        """
        def forward(x):
            out = np.tanh(x)
            return out, out

        def backward(d_out, cache):
            return d_out * (1 - cache ** 2)
        """,
        x=(4, 7),
    ),
    "arctan": Style(
        "arctan",
        """
        def forward(x):
            return np.arctan(x), x

        def backward(d_out, cache):
            return d_out / (1 + cache ** 2)
        """,
        x=(4, 7),
    ),
    "loss probs": Style(
        "softmax_cross_entropy",
        """
        def forward(z, y):
            e = np.exp(z - z.max(axis=1, keepdims=True))
            p = e / e.sum(axis=1, keepdims=True)
            return -np.log(p[np.arange(len(y)), y]).mean(), p

        def backward(p, y):
            d = p.copy()
            d[np.arange(len(y)), y] -= 1
            return d / len(y)
        """,
        x=(6, 5),
        labels="integers",
    ),
    "loss one-hot": Style(
        "softmax_cross_entropy",
        """
        def softmax(z):
            s = z - z.max(axis=1, keepdims=True)
            e = np.exp(s)
            return e / np.sum(e, axis=1, keepdims=True)

        def forward(logits, labels):
            p = softmax(logits)
            return -np.sum(labels * np.log(p + (labels == 0))) / len(labels)

        def backward(logits, labels):
            p = softmax(logits)
            return (p - labels) / len(labels)
        """,
        x=(6, 5),
        labels="one-hot",
    ),
    "loss log": Style(
        "softmax_cross_entropy",
        """
        def forward(z, y):
            z = z - z.max(axis=1, keepdims=True)
            logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
            return -logp[np.arange(len(z)), y].sum() / len(z), (logp, y)

        def backward(d_out, cache):
            logp, y = cache
            onehot = np.zeros_like(logp)
            onehot[np.arange(len(y)), y] = 1
            return d_out * (np.exp(logp) - onehot) / len(y)
        """,
        x=(3, 4),
        labels="integers",
    ),
}
