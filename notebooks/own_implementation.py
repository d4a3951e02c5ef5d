"""An independent backpropagation, one image at a time, to be checked with `numpy-vgg7 parity check`.

    python own_implementation.py CASE MINE [--bug]

reads a case of the preset `vgg7` and writes its values and gradients, for both batches of the case, and the
weights as they were loaded. With `--bug`, the backward pass of its average pool omits the factor 1/4, as in a
published gradient. It uses nothing of numpy-vgg7.
"""

import sys

import numpy as np
from safetensors.numpy import load_file, save_file

case_path, mine_path = sys.argv[1:3]
QUARTER = 1.0 if "--bug" in sys.argv else 0.25
SHIFTS = [(u, v) for u in range(3) for v in range(3)]


def conv(x, name):
    """(C, H, W) -> (O, H, W): the sum of nine shifted copies, each multiplied by one weight."""
    _, h, w = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    taps = [
        np.tensordot(W[name + ".weight"][:, :, u, v], padded[:, u : u + h, v : v + w], 1) for u, v in SHIFTS
    ]
    return sum(taps) + W[name + ".bias"][:, None, None]


def conv_backward(d, x, name, grads):
    """Return the gradient of the input; those of the parameters are stored in `grads`."""
    _, h, w = x.shape
    padded, d_padded = (np.pad(a, ((0, 0), (1, 1), (1, 1))) for a in (x, np.zeros_like(x)))
    d_weight = np.zeros_like(W[name + ".weight"])
    for u, v in SHIFTS:
        d_weight[:, :, u, v] = np.tensordot(d, padded[:, u : u + h, v : v + w], ((1, 2), (1, 2)))
        d_padded[:, u : u + h, v : v + w] += np.tensordot(W[name + ".weight"][:, :, u, v].T, d, 1)
    grads[name + ".weight.grad"], grads[name + ".bias.grad"] = d_weight, d.sum((1, 2))
    return d_padded[:, 1:-1, 1:-1]


def one_image(image, label, batch_size):
    """Values and gradients of one image of a batch, by name."""
    t = {"input": image}
    x = image
    for number in (1, 2, 3, 4):
        x = t[f"conv{number}"] = conv(x, f"conv{number}")
        x = t[f"act{number}"] = np.maximum(x, 0)
        if number % 2 == 0:
            c, h, w = x.shape
            x = t[f"pool{number}"] = x.reshape(c, h // 2, 2, w // 2, 2).mean((2, 4))
    x = t["flatten"] = x.reshape(-1)
    for number in (5, 6, 7):
        x = t[f"fc{number}"] = W[f"fc{number}.weight"] @ x + W[f"fc{number}.bias"]
        x = t[f"act{number}" if number < 7 else "logits"] = np.tanh(x) if number < 7 else x
    e = np.exp(x - x.max())
    t["probs"] = e / e.sum()
    t["loss"] = -np.log(t["probs"][label])
    d = t["logits.grad"] = (t["probs"] - np.eye(len(x))[label]) / batch_size
    for number in (7, 6, 5):
        below = "flatten" if number == 5 else f"act{number - 1}"
        d = t[f"fc{number}.grad"] = d if number == 7 else d * (1 - t[f"act{number}"] ** 2)
        t[f"fc{number}.weight.grad"], t[f"fc{number}.bias.grad"] = np.outer(d, t[below]), d
        d = t[f"{below}.grad"] = W[f"fc{number}.weight"].T @ d
    d = t["pool4.grad"] = d.reshape(t["pool4"].shape)
    for number, below in ((4, "act3"), (3, "pool2"), (2, "act1"), (1, "input")):
        if number % 2 == 0:
            d = t[f"act{number}.grad"] = QUARTER * d.repeat(2, 1).repeat(2, 2)
        d = t[f"conv{number}.grad"] = d * (t[f"conv{number}"] > 0)
        d = t[f"{below}.grad"] = conv_backward(d, t[below], f"conv{number}", t)
    return t


def whole_batch(images, labels):
    """Values and gradients of a batch: gradients of parameters are summed, and the loss is the mean."""
    traces = [one_image(image, label, len(labels)) for image, label in zip(images, labels, strict=True)]
    found = {name: np.stack([t[name] for t in traces]) for name in traces[0]}
    for name in found:
        if name.endswith((".weight.grad", ".bias.grad")):
            found[name] = found[name].sum(0)
    return found | {"loss": np.asarray(found["loss"].mean())}


case, mine = load_file(case_path), {}
for prefix in ("", "second/"):  # the second batch has parameters of its own
    tensors = {name.removeprefix(prefix): t for name, t in case.items() if name.startswith(prefix)}
    W = {name: t for name, t in tensors.items() if name.endswith((".weight", ".bias")) and "/" not in name}
    trace = whole_batch(tensors["input"], tensors["labels"])
    mine |= {prefix + name: tensor for name, tensor in (trace | W).items()}
save_file({name: np.array(tensor, order="C") for name, tensor in mine.items()}, mine_path)
