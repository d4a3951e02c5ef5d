"""The article's training, transcribed a second time from its description, with SciPy's true convolutions.

An independent reference for `numpy_vgg7.article`: it imports nothing from the product. Names are as in the
script: l is the input of an activation, a its output, p the output of a pool, d the gradient of an l, g the
gradient of a weight.
"""

import numpy as np
from scipy.signal import convolve2d


def relu(x):
    return np.where(x > 0, x, 0.0)


def pool(x):
    return x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2).mean(axis=(1, 3))


def spread(d_out, share):
    return d_out.repeat(2, axis=0).repeat(2, axis=1) * share


def convolve(x, w):
    return convolve2d(x, w, mode="same")


def kernel_gradient(x, d_out):
    """d_w[u, v] of the true convolution, where tap (u, v) meets the pixel at (i + 1 - u, j + 1 - v)."""
    padded = np.pad(x, 1)
    height, width = d_out.shape
    d_w = np.empty((3, 3))
    for u in range(3):
        for v in range(3):
            d_w[u, v] = (padded[2 - u : 2 - u + height, 2 - v : 2 - v + width] * d_out).sum()
    return d_w


def input_gradient(w, d_out, rotated):
    d_x = convolve2d(np.pad(d_out, 1), w[::-1, ::-1], mode="valid")
    return d_x[::-1, ::-1] if rotated else d_x


def scaled(pixels):
    """As TensorFlow's reader of 2018 does it: float32, times 1/255."""
    return np.multiply(pixels.astype(np.float32), np.float32(1 / 255))


def costs(pixels, labels, seed, backprop, steps):
    """Binary costs of the first steps; pixels (N, 28, 28) uint8 in the order of the file."""
    rng = np.random.RandomState(seed)
    order = np.arange(len(pixels))
    rng.shuffle(order)
    w1, w2, w3a, w3b, w4a, w4b = (rng.randn(3, 3) for _ in range(6))
    w5, w6, w7 = rng.randn(98, 1024), rng.randn(1024, 512), rng.randn(512, 10) * 0.2
    faulty = backprop != "true"
    share = 1.0 if faulty else 0.25
    step_costs = []
    for index in order[50 : 50 + steps]:
        x = scaled(pixels[index]).astype(np.float64)
        y = np.eye(10)[labels[index]]

        l1 = convolve(x, w1)
        a1 = relu(l1)
        l2 = convolve(a1, w2)
        p2 = pool(relu(l2))
        l3a, l3b = convolve(p2, w3a), convolve(p2, w3b)
        a3a, a3b = relu(l3a), relu(l3b)
        l4a, l4b = convolve(a3a, w4a), convolve(a3b, w4b)
        p4a, p4b = pool(relu(l4a)), pool(relu(l4b))
        flat = np.concatenate([p4a.ravel(), p4b.ravel()])[None]
        a5 = np.tanh(flat.dot(w5))
        a6 = np.tanh(a5.dot(w6))
        l7 = a6.dot(w7)
        a7 = np.arctan(l7)
        p = np.exp(a7 - a7.max())
        p = p / p.sum()
        step_costs.append(float(-(y * np.log(p) + (1 - y) * np.log(1 - p)).sum()))

        d7 = (p - y) / (1 + l7**2)
        g7 = a6.T.dot(d7)
        d6 = d7.dot(w7.T) * (1 - a6**2)
        g6 = a5.T.dot(d6)
        d5 = d6.dot(w6.T) * (1 - a5**2)
        g5 = flat.T.dot(d5)
        d_flat = d5.dot(w5.T)[0]
        d4a = spread(d_flat[:49].reshape(7, 7), share) * (l4a > 0)
        d4b = spread(d_flat[49:].reshape(7, 7), share) * (l4b > 0)
        g4a, g4b = kernel_gradient(a3a, d4a), kernel_gradient(a3b, d4b)
        d3a = input_gradient(w4a, d4a, faulty) * (l3a > 0)
        d3b = input_gradient(w4b, d4b, faulty) * (l3b > 0)
        g3a, g3b = kernel_gradient(p2, d3a), kernel_gradient(p2, d3b)
        d_p2 = input_gradient(w3a, d3a, faulty) + input_gradient(w3b, d3b, faulty)
        d2 = spread(d_p2, share) * (l2 > 0)
        g2 = kernel_gradient(a1, d2)
        d1 = input_gradient(w2, d2, faulty) * (l1 > 0)
        g1 = kernel_gradient(x, d1)

        w7, w6, w5 = w7 - 0.01 * g7, w6 - 0.01 * g6, w5 - 0.01 * g5
        w4a, w4b = w4a - 0.0001 * g4a, w4b - 0.0001 * g4b
        w3a, w3b = w3a - 0.0001 * g3a, w3b - 0.0001 * g3b
        w1 = w1 - 0.0001 * g1
        w2 = (w1 if backprop == "broken" else w2) - 0.0001 * g2
    return step_costs
