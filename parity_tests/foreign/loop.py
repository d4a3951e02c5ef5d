"""Backpropagation as a loop over images, in NumPy. Functions get one image; `self` is the `Loop`."""

import numpy as np

TAPS = [(u, v) for u in range(3) for v in range(3)]


class Loop:
    """The network for one case; a mistake replaces one of the methods below `trace`."""

    def __init__(self, params, images, labels, rates, classes):
        self.w = {name: p.copy() for name, p in params.items()}
        self.images, self.labels, self.rates, self.classes = images, labels, rates, classes
        self.n = len(labels)
        self.state = {}

    def trace(self, steps=()):
        """Everything by name, and the parameters after some numbers of steps."""
        found = self.batch()
        if steps:
            first = {name: w.copy() for name, w in self.w.items()}
            for step in range(1, max(steps) + 1):
                gradients = self.batch()
                self.updates({name: gradients[f"{name}.grad"] for name in self.w}, step)
                if step in steps:
                    found |= {f"{name}.step{step}": w.copy() for name, w in self.w.items()}
            self.w = first
        return found

    def batch(self):
        images = self.prepared(self.images)
        each = [self.one_image(images[i], self.labels[i], i) for i in self.order()]
        found = {}
        for name in each[0]:
            stacked = np.stack([t[name] for t in each])
            parameter = name.endswith((".weight.grad", ".bias.grad"))
            found[name] = self.gathered(stacked) if parameter else stacked
        found["loss"] = np.asarray(self.mean_loss(found["loss"]))
        return self.named(found)

    def one_image(self, x, label, index):
        t = {"input": self.images[index]}
        for k in (1, 2, 3, 4):
            x = t[f"conv{k}"] = self.conv(x, self.w[f"conv{k}.weight"], self.w[f"conv{k}.bias"])
            x = t[f"act{k}"] = self.relu(x)
            if k % 2 == 0:
                x = t[f"pool{k}"] = self.pool(x)
        x = t["flatten"] = self.flatten(x)
        for k in (5, 6, 7):
            x = t[f"fc{k}"] = self.linear(x, self.w[f"fc{k}.weight"], self.w[f"fc{k}.bias"])
            x = t[f"act{k}" if k < 7 else "logits"] = self.tanh(x) if k < 7 else x
        p = t["probs"] = self.softmax(x)
        t["loss"] = self.loss(p, label)
        d = t["logits.grad"] = self.loss_backward(p, label)
        for k in (7, 6, 5):
            below = "flatten" if k == 5 else f"act{k - 1}"
            d = t[f"fc{k}.grad"] = d if k == 7 else self.tanh_backward(d, t[f"fc{k}"], t[f"act{k}"])
            t[f"fc{k}.weight.grad"] = self.linear_d_weight(d, t[below])
            t[f"fc{k}.bias.grad"] = self.linear_d_bias(d)
            d = t[f"{below}.grad"] = self.linear_d_x(d, self.w[f"fc{k}.weight"], t[below])
        d = t["pool4.grad"] = self.unflatten(d, t["pool4"].shape)
        for k, below in ((4, "act3"), (3, "pool2"), (2, "act1"), (1, "input")):
            if k % 2 == 0:
                d = t[f"act{k}.grad"] = self.pool_backward(d, t[f"act{k}"])
            d = t[f"conv{k}.grad"] = self.relu_backward(d, t[f"conv{k}"], t[f"act{k}"])
            t[f"conv{k}.weight.grad"] = self.conv_d_weight(d, t[below])
            t[f"conv{k}.bias.grad"] = self.conv_d_bias(d)
            d = t[f"{below}.grad"] = self.conv_d_x(d, self.w[f"conv{k}.weight"])
        return t

    def prepared(self, images):
        return images

    def order(self):
        return range(self.n)

    def named(self, found):
        return found

    def gathered(self, gradients):
        return gradients.sum(0)

    def mean_loss(self, losses):
        return losses.mean()

    def padded(self, x):
        return np.pad(x, ((0, 0), (1, 1), (1, 1)))

    def conv(self, x, w, b):
        h, width = x.shape[1:]
        p = self.padded(x)
        out = np.zeros((len(w), h, width))
        for u, v in TAPS:
            out += np.tensordot(w[:, :, u, v], p[:, u : u + h, v : v + width], 1)
        return out + b[:, None, None]

    def conv_d_weight(self, d, x):
        h, width = x.shape[1:]
        p = np.pad(x, ((0, 0), (1, 1), (1, 1)))
        d_w = np.zeros((len(d), len(x), 3, 3))
        for u, v in TAPS:
            d_w[:, :, u, v] = np.tensordot(d, p[:, u : u + h, v : v + width], ((1, 2), (1, 2)))
        return d_w

    def conv_d_bias(self, d):
        return d.sum((1, 2))

    def conv_d_x(self, d, w):
        h, width = d.shape[1:]
        d_p = np.zeros((w.shape[1], h + 2, width + 2))
        for u, v in TAPS:
            d_p[:, u : u + h, v : v + width] += np.tensordot(w[:, :, u, v].T, d, 1)
        return d_p[:, 1:-1, 1:-1]

    def relu(self, x):
        return np.maximum(x, 0)

    def relu_backward(self, d, x, out):
        return d * (x > 0)

    def tanh(self, x):
        return np.tanh(x)

    def tanh_backward(self, d, x, out):
        return d * (1 - out**2)

    def pool(self, x):
        c, h, w = x.shape
        return x.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))

    def pool_backward(self, d, x):
        return 0.25 * d.repeat(2, 1).repeat(2, 2)

    def flatten(self, x):
        return x.reshape(-1)

    def unflatten(self, d, shape):
        return d.reshape(shape)

    def linear(self, x, w, b):
        return w @ x + b

    def linear_d_weight(self, d, x):
        return np.outer(d, x)

    def linear_d_bias(self, d):
        return d

    def linear_d_x(self, d, w, x):
        return w.T @ d

    def softmax(self, z):
        e = np.exp(z - z.max())
        return e / e.sum()

    def loss(self, p, label):
        return -np.log(p[label])

    def loss_backward(self, p, label):
        return (p - np.eye(self.classes)[label]) / self.n

    def updates(self, gradients, step):
        for name in self.w:
            self.update(name, self.w[name], gradients[name], self.rate(name), step)

    def rate(self, name):
        return self.rates[0] if name.startswith("conv") else self.rates[1]

    def update(self, name, w, g, lr, step):
        w -= lr * g
