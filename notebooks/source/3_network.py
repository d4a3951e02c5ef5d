# %% [markdown] network
# ## 9. The whole network
#
# These are all the parts. The forward pass is one loop over the list: the output of each layer is the input
# of the next. Here it is for the three, with random weights.

# %% network-code
value = image
for layer in layers:
    value = layer.forward(network.layer_params(layer, params), value)
assert np.array_equal(value, trace["logits"])


def show_features(trace, caption, columns=8):
    names = ["act1", "act2", "pool2", "act3", "act4", "pool4"]
    gap = np.full((columns, 8, 1), np.nan)  # white, between the channels
    figure, cells = plt.subplots(len(names), figsize=(8.4, 6.2), layout="constrained")
    for cell, name in zip(cells, names, strict=True):
        features = trace[name][0, :columns]
        size = features.shape[1]
        pixels = features.repeat(8 // size, axis=1).repeat(8 // size, axis=2)
        drawn = np.concatenate([pixels, gap], axis=2)
        cell.imshow(np.hstack(drawn)[:, :-1], cmap="magma", vmin=0, vmax=features.max())
        cell.set(xticks=[], yticks=[], frame_on=False)
        cell.set_ylabel(f"{name}\n{size} x {size}", rotation=0, ha="right", va="center", fontsize=10)
    figure.suptitle(f"The first {columns} channels of each layer", fontsize=11)
    show(figure, caption)


def show_classifier(trace, caption):
    heights = {"height_ratios": [1.6, 1, 2]}
    figure, (upper, lower, bars) = plt.subplots(
        3, 1, figsize=(8, 4.2), gridspec_kw=heights, layout="constrained"
    )
    for cell, name in ((upper, "act5"), (lower, "act6")):
        neurons = trace[name].reshape(-1, 64)
        cell.imshow(neurons, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
        cell.set(xticks=[], yticks=[])
        cell.set_title(f"{name}: {neurons.size} neurons, blue -1 to red +1", fontsize=10)
    bars.bar(range(10), trace["probs"][0], color=[ORANGE if k == 3 else GREY for k in range(10)])
    bars.set(xticks=range(10), ylim=(0, 1), ylabel="probability")
    bars.set_title(f"The prediction for the three: loss {float(trace['loss']):.3f}", fontsize=10)
    show(figure, caption)


caption = (
    "A grid of small images: the outputs of six layers for the 3, with random weights, eight channels "
    "each. The digit is still recognizable in the 8x8 outputs; those of later layers, 4x4 and 2x2, are "
    "coarse blocks."
)
show_features(trace, caption)
caption = (
    "Three rows, with random weights. The outputs of the 256 and of the 128 neurons are a mixture of "
    "positive and negative values. Below, the probabilities of the ten digits differ, and that of the 3 "
    "does not stand out."
)
show_classifier(trace, caption)
print(f"Equal probabilities would give a loss of log 10 = {math.log(10):.3f}.")

# %% [markdown] gradient
# ## 10. The gradient of the whole network
#
# Backpropagation is the same loop in reverse. It starts with $p_k - [k = y]$; each layer computes the
# gradients of its weights and passes the gradient of its input on to the layer before it. `trace` contains
# all of them. The last one is the gradient with respect to the *image*: it shows where a brighter pixel would
# increase the loss (red) or decrease it (blue). For the layers between, the first channel is shown.

# %% gradient-code
assert np.allclose(trace["logits.grad"], trace["probs"] - np.eye(10)[label])
names = ["input", "pool4.grad", "act3.grad", "pool2.grad", "act1.grad", "input.grad"]
caption = (
    "The 3, and the gradients with respect to the outputs of four layers, from the last pool with 2x2 "
    "values to the first activation with 8x8, and with respect to the 8x8 pixels of the image: patterns "
    "of red and blue squares."
)
show_images([trace[name][0, 0] for name in names], ["the three", *names[1:]], caption, width=1.6)

# %% [markdown] check
# Is it correct? Compare the gradient of one weight with the complex step through the *whole* network. For
# contrast, also compute an ordinary difference quotient $\left(L(w + h) - L(w)\right) / h$ for many values of
# $h$.


# %% check-code
def loss_with(name, index, change):
    changed = params[name] + np.zeros((), type(change))
    changed[index] += change
    return F.cross_entropy(network.forward(layers, params | {name: changed}, image)[-1].out, label)


name = "conv2.weight"
gradient = trace[f"{name}.grad"]
index = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)  # the largest element
analytic = gradient[index]
stepped = loss_with(name, index, 1j * h).imag / h
print(f"backpropagation {analytic:.14f}\ncomplex step    {stepped:.14f}")
assert abs(stepped - analytic) < 1e-14

steps = 10.0 ** np.arange(-15, 0.5, 0.5)
base = float(trace["loss"])
errors = [abs((loss_with(name, index, s) - base) / s - analytic) for s in steps]
figure, cell = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
cell.loglog(steps, errors, "o-", color=BLUE, label="difference quotient")
cell.axhspan(1e-19, 1e-15, color=ORANGE, alpha=0.4, label="complex step, $h = 10^{-30}$")
cell.set(xlabel="$h$", ylabel="error of the derivative", title="Left: rounding. Right: truncation")
cell.set_ylim(1e-19, 10)
cell.legend(frameon=False, loc="upper center")
cell.grid(alpha=0.3)
caption = (
    "The error of the difference quotient over the step h, on logarithmic scales, is V-shaped: it falls "
    "from about 0.3 at h = 1e-15 to below 1e-8 at h = 1e-7, and rises again to 0.1 at h = 1. The error of "
    "the complex step is below 1e-15, with a step of 1e-30."
)
show(figure, caption)

# %% [markdown] descend
# The gradient is used for gradient descent: $w \leftarrow w - \eta \, \partial L / \partial w$ for every
# weight at once. This is a complete training loop, with 32 digits and sixty steps. It uses only `network.py`
# and `optim.py`.

# %% descend-code
lr = 0.05

weights = network.initial_params(layers, seed=0, dtype="float64")
sgd = optim.SGD(lr_conv=lr, lr_fc=lr)
velocity, groups = sgd.init(weights), network.parameter_groups(layers)
batch, truth = digits.train.images[:32].astype("float64"), digits.train.labels[:32]
losses = []
for _ in range(60):
    value, gradients = network.loss_and_gradients(layers, weights, batch, truth)
    sgd.step(weights, gradients, velocity, groups)
    losses.append(value)

figure, cell = plt.subplots(figsize=(6, 2.6), layout="constrained")
cell.plot(range(1, 61), losses, ".-", color=BLUE)
cell.set(xlabel="step", ylabel="loss", ylim=(0, 1.1 * max(losses)))
cell.set_title(f"Sixty steps with learning rate {lr}")
cell.grid(alpha=0.3)
caption = (
    "The loss over sixty steps: it falls from 2.3 to about 1.4, smoothly at first, with a few upward "
    "jumps in the second half, the highest near step 39."
)
show(figure, caption)

# %% [markdown] turn-2
# The loss does not always fall: a step along the gradient can be too long for a curved function.
#
# **Your turn.** With four times the learning rate, 0.2, is training four times as fast, and as smooth? And
# with 1? Predict the curve, then change `lr` and run the cell.

# %% [markdown] yours
# And now with your own functions. These layers call them; the rest of the network stays as it is. When all
# exercises are solved, the cell compares your gradients with those above, and trains with your update.


# %% yours-code
class YourConv2d(network.Conv2d):
    def forward(self, params, x):
        return conv2d(x, params["weight"], params["bias"])

    def backward(self, params, x, out, d_out):
        d_x, d_weight, d_bias = conv2d_backward(x, params["weight"], d_out)
        return d_x, {"weight": d_weight, "bias": d_bias}


class YourLinear(network.Linear):
    def forward(self, params, x):
        return linear(x, params["weight"], params["bias"])

    def backward(self, params, x, out, d_out):
        d_x, d_weight, d_bias = linear_backward(x, params["weight"], d_out)
        return d_x, {"weight": d_weight, "bias": d_bias}


class YourPool(network.AvgPool2d):
    def forward(self, params, x):
        return avg_pool2d(x)

    def backward(self, params, x, out, d_out):
        return avg_pool2d_backward(d_out), {}


class YourActivation(network.Activation):
    def forward(self, params, x):
        return {"relu": relu, "tanh": tanh, "identity": np.copy}[self.function](x)

    def backward(self, params, x, out, d_out):
        slopes = {"relu": lambda: relu_backward(x, d_out), "tanh": lambda: tanh_backward(out, d_out)}
        return slopes.get(self.function, d_out.copy)(), {}


def your_loss_and_gradients(weights, images, labels):
    tape = network.forward(your_layers, weights, images)
    loss, probs = softmax_cross_entropy(tape[-1].out, labels)
    _, gradients = network.backward(tape, weights, softmax_cross_entropy_backward(probs, labels))
    return loss, gradients


yours = {
    network.Conv2d: YourConv2d,
    network.Linear: YourLinear,
    network.AvgPool2d: YourPool,
    network.Activation: YourActivation,
}
your_layers = [yours.get(type(layer), type(layer))(**vars(layer)) for layer in layers]

if all(scores.values()):
    weights = network.initial_params(layers, seed=0, dtype="float64")
    _, expected = network.loss_and_gradients(layers, weights, batch, truth)
    _, gradients = your_loss_and_gradients(weights, batch, truth)
    assert all(np.allclose(gradients[name], expected[name], rtol=0, atol=1e-12) for name in expected)
    print(f"All {len(expected)} gradients of your network agree with those of the definition.")
    velocity = {name: np.zeros_like(weight) for name, weight in weights.items()}
    for step in range(1, 61):
        value, gradients = your_loss_and_gradients(weights, batch, truth)
        for name in weights:
            weights[name], velocity[name] = sgd_momentum(
                weights[name], gradients[name], velocity[name], lr=0.02, momentum=0.8
            )
        if step % 10 == 0:
            print(f"step {step}: loss {value:.3f}")
else:
    print(f"Solve the exercises first: {sum(scores.values())} of {len(scores)} are solved.")
