"""A small convolutional network in plain NumPy: forward pass, backward pass and SGD.

    images -> conv1 -> relu -> average pool -> flatten -> fc2 -> tanh -> fc3 -> arctan -> softmax -> loss

Feature maps are (N, C, H, W), everything behind `flatten` is (N, features). `d_out` is the gradient of the
loss with respect to the output of a function. No function changes its arguments.
"""

import numpy as np


def conv2d(x, weight, bias):
    """3x3 convolution with zero padding 1; the kernel is not flipped.

    x (N, C, H, W), weight (O, C, 3, 3), bias (O,) -> (N, O, H, W)
    """
    n, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((n, len(weight), height, width))
    for u in range(3):
        for v in range(3):
            shifted = padded[:, :, u : u + height, v : v + width]
            out += np.einsum("nchw,oc->nohw", shifted, weight[:, :, u, v])
    return out + bias[:, None, None]


def conv2d_backward(x, weight, d_out):
    """The gradients of the loss with respect to x, weight and bias."""
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    d_padded, d_weight = np.zeros(padded.shape), np.zeros(weight.shape)
    for u in range(3):
        for v in range(3):
            shifted = padded[:, :, u : u + height, v : v + width]
            d_weight[:, :, u, v] = np.einsum("nohw,nchw->oc", d_out, shifted)
            d_shifted = np.einsum("nohw,oc->nchw", d_out, weight[:, :, u, v])
            d_padded[:, :, u : u + height, v : v + width] += d_shifted
    d_x = d_padded[:, :, 1:-1, 1:-1]
    d_bias = d_out.sum(axis=(0, 2, 3))
    return d_x, d_weight, d_bias


def relu(x):
    """The larger of x and 0."""
    return np.maximum(x, 0)


def relu_backward(x, d_out):
    """The derivative is 1 where x is positive, and 0 elsewhere, at 0 as well."""
    return np.where(x > 0, d_out, 0)


def avg_pool2d(x):
    """The mean of each 2x2 window: (N, C, H, W) -> (N, C, H/2, W/2)."""
    n, c, height, width = x.shape
    return x.reshape(n, c, height // 2, 2, width // 2, 2).mean(axis=(3, 5))


def avg_pool2d_backward(d_out):
    """Each of the four pixels of a window has the same part in its mean."""
    return d_out.repeat(2, axis=2).repeat(2, axis=3) / 4


def linear(x, weight, bias):
    """x (N, I), weight (O, I), bias (O,) -> (N, O)."""
    return x @ weight.T + bias


def linear_backward(x, weight, d_out):
    """The gradients of the loss with respect to x, weight and bias."""
    d_x = d_out @ weight
    d_weight = d_out.T @ x
    d_bias = d_out.sum(axis=0)
    return d_x, d_weight, d_bias


def tanh(x):
    """The hyperbolic tangent."""
    return np.tanh(x)


def tanh_backward(out, d_out):
    """The derivative of tanh, from its output."""
    return d_out * (1 - out**2)


def arctan(x):
    """The inverse tangent."""
    return np.arctan(x)


def arctan_backward(x, d_out):
    """The derivative of arctan, from its input."""
    return d_out / (1 + x**2)


def softmax_cross_entropy(logits, labels):
    """The mean over the batch of -log p[n, labels[n]], and the probabilities p.

    logits (N, K), labels (N,) -> a number, (N, K)
    """
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = -log_probs[np.arange(len(labels)), labels].mean()
    return loss, np.exp(log_probs)


def softmax_cross_entropy_backward(probs, labels):
    """The gradient of the loss with respect to the logits."""
    d_logits = probs.copy()
    d_logits[np.arange(len(labels)), labels] -= 1
    return d_logits / len(labels)


def forward(params, images, labels):
    """Every value on the way from the images (N, 1, H, W) to the loss, by name."""
    v = {"input": images}
    v["conv1"] = conv2d(v["input"], params["conv1.weight"], params["conv1.bias"])
    v["act1"] = relu(v["conv1"])
    v["pool1"] = avg_pool2d(v["act1"])
    v["flatten"] = v["pool1"].reshape(len(images), -1)
    v["fc2"] = linear(v["flatten"], params["fc2.weight"], params["fc2.bias"])
    v["act2"] = tanh(v["fc2"])
    v["fc3"] = linear(v["act2"], params["fc3.weight"], params["fc3.bias"])
    v["logits"] = arctan(v["fc3"])
    v["loss"], v["probs"] = softmax_cross_entropy(v["logits"], labels)
    return v


def backward(params, v, labels):
    """The gradient of the loss with respect to every value and every parameter, by the same names."""
    d = {"logits": softmax_cross_entropy_backward(v["probs"], labels)}
    d["fc3"] = arctan_backward(v["fc3"], d["logits"])
    d["act2"], d["fc3.weight"], d["fc3.bias"] = linear_backward(v["act2"], params["fc3.weight"], d["fc3"])
    d["fc2"] = tanh_backward(v["act2"], d["act2"])
    d["flatten"], d["fc2.weight"], d["fc2.bias"] = linear_backward(
        v["flatten"], params["fc2.weight"], d["fc2"]
    )
    d["pool1"] = d["flatten"].reshape(v["pool1"].shape)
    d["act1"] = avg_pool2d_backward(d["pool1"])
    d["conv1"] = relu_backward(v["conv1"], d["act1"])
    d["input"], d["conv1.weight"], d["conv1.bias"] = conv2d_backward(
        v["input"], params["conv1.weight"], d["conv1"]
    )
    return d


def sgd_step(params, gradients, lr_conv, lr_fc):
    """New parameters after one step of SGD; there is a learning rate for each kind of layer."""
    updated = {}
    for name, parameter in params.items():
        lr = lr_conv if name.startswith("conv") else lr_fc
        updated[name] = parameter - lr * gradients[name]
    return updated
