# %% [markdown] [solution] solutions
# ## 14. Solutions
#
# Any code that passes is right; these are short ones. Their names end in `_solution`, so that they do not
# replace yours. Each cell ends with its check.

# %% [solution] softmax_cross_entropy-solution
def softmax_cross_entropy_solution(logits, labels):
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return -log_probs[np.arange(len(labels)), labels].mean(), np.exp(log_probs)


def softmax_cross_entropy_backward_solution(probs, labels):
    d_logits = probs.copy()
    d_logits[np.arange(len(labels)), labels] -= 1
    return d_logits / len(labels)


report = check_layer(
    softmax_cross_entropy_solution,
    softmax_cross_entropy_backward_solution,
    logits,
    {"labels": labels},
    like="softmax_cross_entropy",
)
print(report)


# %% [solution] conv2d-solution
def conv2d_solution(x, weight, bias):
    n, _, height, width = x.shape
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((n, len(weight), height, width))
    for u in range(3):
        for v in range(3):
            copy = padded[:, :, u : u + height, v : v + width]
            out += np.einsum("nchw,oc->nohw", copy, weight[:, :, u, v])
    return out + bias[:, None, None]


print(check_layer(conv2d_solution, F.conv2d_backward, images, conv_params, like="conv2d"))


# %% [solution] conv2d_backward-solution
def conv2d_backward_solution(x, weight, d_out):
    height, width = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    d_padded, d_weight = np.zeros(padded.shape), np.zeros(weight.shape)
    for u in range(3):
        for v in range(3):
            copy = padded[:, :, u : u + height, v : v + width]
            d_weight[:, :, u, v] = np.einsum("nohw,nchw->oc", d_out, copy)
            d_copy = np.einsum("nohw,oc->nchw", d_out, weight[:, :, u, v])
            d_padded[:, :, u : u + height, v : v + width] += d_copy
    return d_padded[:, :, 1:-1, 1:-1], d_weight, d_out.sum(axis=(0, 2, 3))


print(check_layer(F.conv2d, conv2d_backward_solution, images, conv_params, like="conv2d"))


# %% [solution] avg_pool2d-solution
def avg_pool2d_solution(x):
    n, c, height, width = x.shape
    return x.reshape(n, c, height // 2, 2, width // 2, 2).mean(axis=(3, 5))


def avg_pool2d_backward_solution(d_out):
    return d_out.repeat(2, axis=2).repeat(2, axis=3) / 4


maps = rng.standard_normal((2, 3, 4, 6))
print(check_layer(avg_pool2d_solution, avg_pool2d_backward_solution, maps, like="avg_pool2d"))


# %% [solution] relu-solution
def relu_solution(x):
    return np.maximum(x, 0)


def relu_backward_solution(x, d_out):
    return np.where(x > 0, d_out, 0)


print(check_layer(relu_solution, relu_backward_solution, rng.standard_normal((3, 4, 2)), like="relu"))


# %% [solution] tanh-solution
def tanh_solution(x):
    return np.tanh(x)


def tanh_backward_solution(out, d_out):
    return d_out * (1 - out**2)


print(check_layer(tanh_solution, tanh_backward_solution, rng.standard_normal((3, 4)), like="tanh"))


# %% [solution] linear-solution
def linear_solution(x, weight, bias):
    return x @ weight.T + bias


def linear_backward_solution(x, weight, d_out):
    return d_out @ weight, d_out.T @ x, d_out.sum(axis=0)


rows = rng.standard_normal((5, 6))
print(check_layer(linear_solution, linear_backward_solution, rows, linear_params, like="linear"))


# %% [solution] sgd_momentum-solution
def sgd_momentum_solution(parameter, gradient, velocity, lr, momentum):
    velocity = momentum * velocity + gradient
    return parameter - lr * velocity, velocity


print(check_sgd_step(sgd_momentum_solution))
