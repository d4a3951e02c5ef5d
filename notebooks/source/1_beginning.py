# %% [markdown] title
# # A VGG7 from scratch
#
# A convolutional network with seven layers of weights, in NumPy, with hand-written backpropagation. In this
# notebook you derive the gradient of each layer, write it yourself, and have it checked to fifteen digits.
# Then you see the whole network learn to read handwritten digits. All cells together run in less than a
# minute.
#
# The formulas are those of three short files: `numpy_vgg7/functional.py` (every function and its derivative),
# `network.py` (the list of layers) and `optim.py` (the update). Read them after you have solved the
# exercises.
#
# The idea comes from Jae Duk Seo's article *Only Numpy: Implementing Mini VGG (VGG 7) and SoftMax Layer with
# Interactive Code* (Towards Data Science, 7 February 2018). Its backpropagation has three bugs. They are easy
# to make and hard to notice, because the network learns in spite of them. In section 11 you put all three
# into this network, and a test harness finds them.
#
# **Contents**
#
# 1. The digits
# 2. The network, and how the exercises work
# 3. Softmax and cross-entropy: exercise 1
# 4. Convolution: exercises 2 and 3
# 5. Average pooling: exercise 4
# 6. Activations: exercises 5 and 6
# 7. The fully connected layer: exercise 7
# 8. The update, and your points: exercise 8
# 9. The whole network
# 10. The gradient of the whole network
# 11. Three bugs that are hard to notice
# 12. Training
# 13. Evaluation
# 14. Solutions
#
# Run a cell with Shift+Enter. Where you see **Your turn**, make a guess before you run the cell. The stored
# output is that of unsolved exercises; everything else works without your solutions.

# %% install
# Install numpy-vgg7 and its plots from the repository that contains this notebook, unless they are there.
import importlib.util
import subprocess
import sys
from pathlib import Path

if all(importlib.util.find_spec(name) for name in ("numpy_vgg7", "matplotlib")):
    print("numpy-vgg7 is installed. There is nothing to do.")
else:
    roots = [folder for folder in (Path.cwd(), *Path.cwd().parents) if (folder / "numpy_vgg7").is_dir()]
    if not roots:
        raise FileNotFoundError(
            "numpy-vgg7 is not installed. Open this notebook in a copy of its repository."
        )
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", f"{roots[0]}[plot]"], check=True)
    importlib.invalidate_caches()
    print("numpy-vgg7 was installed from the repository.")

# %% [locked] setup
import base64
import io
import math
import textwrap

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

from numpy_vgg7 import VGG7, VGG7Config, network, optim
from numpy_vgg7 import functional as F
from numpy_vgg7.parity import check_layer, check_sgd_step

BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#a0aec0"
rng = np.random.default_rng(0)
scores = {}


def grade(exercise, report):
    # Print what a check found. Return the points.
    print(report)
    scores[exercise] = int(report.ok)
    return scores[exercise]


def show(figure, caption):
    # The caption describes the figure to those who cannot see it. Where `alt` is supported, it is that, too.
    png = io.BytesIO()
    figure.savefig(png, dpi=80, metadata={"Software": None})
    plt.close(figure)
    data = {"image/png": base64.b64encode(png.getvalue()).decode(), "text/plain": caption}
    display(data, metadata={"image/png": {"alt": caption}}, raw=True)
    display({"text/markdown": f"*{caption}*", "text/plain": caption}, raw=True)


def show_images(images, titles, caption, width=1.5):
    # Images side by side: grey if no pixel is negative, else blue (negative), white (0) and red (positive).
    size = (width * len(images), width + 0.35)
    figure, cells = plt.subplots(1, len(images), figsize=size, squeeze=False, layout="constrained")
    for cell, image, title in zip(cells[0], images, titles, strict=True):
        limit = max(np.abs(image).max(), 1e-12)
        colours = ("RdBu_r", -limit, limit) if image.min() < 0 else ("gray", 0, limit)
        cell.imshow(image, cmap=colours[0], vmin=colours[1], vmax=colours[2])
        cell.set_title(title, fontsize=9)
        cell.set(xticks=[], yticks=[])
        if image.size == 9:  # a kernel: print its values, too
            for (row, column), number in np.ndenumerate(image):
                colour = "black" if (image.min() < 0) == (abs(number) < limit / 2) else "white"
                cell.text(column, row, f"{number:.3g}", ha="center", va="center", color=colour)
    show(figure, caption)


# %% [markdown] data
# ## 1. The digits
#
# scikit-learn includes 1,797 handwritten digits of 8x8 pixels, so there is nothing to download. They are
# split 70 : 10 : 20 into training, validation and test sets. The test set is used once, at the end.

# %% data-code
from numpy_vgg7.data import load, split

digits = split(load("digits", classes=10))
print(", ".join(f"{name}: {len(part)} images" for name, part in digits._asdict().items()))

first = [int(np.flatnonzero(digits.train.labels == k)[0]) for k in range(10)]
caption = "Ten small grey images in a row: one handwritten digit of each class from 0 to 9, white on black."
show_images([digits.train.images[i, 0] for i in first], range(10), caption, width=1.0)

# %% [markdown] list
# ## 2. The network, and how the exercises work
#
# A network is a list of layers. The image is the input of the first layer, and the output of each layer is
# the input of the next. Convolutions detect patterns, pooling reduces the resolution, and three fully
# connected layers compute ten numbers, the *logits*: one score for each digit.

# %% list-code
layers = network.vgg7(image_size=8)
params = network.initial_params(layers, seed=0, dtype="float64")
image, label = digits.train.images[first[3] : first[3] + 1].astype("float64"), np.array([3])
trace = network.trace(layers, params, image, label)  # every value and every gradient, by name

for layer in layers:
    count = sum(math.prod(shape) for shape in layer.shapes().values())
    kind, shape = type(layer).__name__, " x ".join(map(str, trace[layer.name].shape[1:]))
    print(f"{layer.name:8} {kind:10} output {shape:12}{count:9,} parameters")
print(f"{sum(p.size for p in params.values()):,} parameters in total")

# %% [markdown] exercises
# Each layer has a *forward* pass, which computes its output, and a *backward* pass. The backward pass gets
# `d_out`, the gradient of the loss with respect to the output. By the chain rule, it returns the gradients
# with respect to the input and to the parameters: `d_x`, `d_weight`, `d_bias`. Each has the shape of what it
# belongs to.
#
# In the exercises you write these functions. Replace the line `raise NotImplementedError(...)`, and run the
# cell and the check below it. `check_layer` calls your functions in several shapes, with random and with
# extreme numbers, compares the results with the definition, and says in words what is wrong. The last line of
# a check is your points: 1 or 0.
#
# Here is a layer with a mistake, as an example: the derivative of $\arctan x$ is $1 / (1 + x^2)$.
#
# **Your turn.** Correct it. Then make another mistake, for example `d_out * (1 + x**2)`, and read what the
# check says.


# %% example-code
def arctan(x):
    return np.arctan(x)


def arctan_backward(x, d_out):
    return d_out / (1 + x)


print(check_layer(arctan, arctan_backward, rng.standard_normal((3, 4)), like="arctan"))

# %% [markdown] softmax
# ## 3. Softmax and cross-entropy
#
# We begin at the end. Softmax turns the logits $z$ into probabilities:
#
# $$p_k = \frac{e^{z_k}}{\sum_l e^{z_l}}$$
#
# Adding the same number to every logit changes nothing, since it cancels. That is useful: subtract the
# largest logit, and no exponential can overflow.
#
# When one logit grows, its own probability rises and all others fall. The quotient rule says by how much,
# where $[k = l]$ is 1 if the two are equal and otherwise 0:
#
# $$\frac{\partial p_k}{\partial z_l} = p_k \left([k = l] - p_l\right)$$
#
# The loss of a prediction is $L = -\log p_y$, where $y$ is the true class: 0 when $p_y = 1$, and large when
# $p_y$ is near 0. It is called the *cross-entropy*. The logarithm cancels the exponential:
#
# $$L = -z_y + \log \sum_l e^{z_l}
# \qquad\Longrightarrow\qquad
# \frac{\partial L}{\partial z_k} = \frac{e^{z_k}}{\sum_l e^{z_l}} - [k = y] = p_k - [k = y]$$
#
# The gradient is the prediction minus the truth. It raises the logit of the true class and lowers all others,
# each by its probability. Everything in the backward pass starts from it.

# %% softmax-code
z, y = np.array([0.0, 1.0, 2.0, -1.0, 0.5]), 1  # five classes are enough here; class 1 is the true one
p = F.softmax(z[None])[0]
jacobian = p[:, None] * (np.eye(5) - p)

figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.2), layout="constrained")
z0 = np.linspace(-6, 8, 141)
curves = F.softmax(np.array([[value, *z[1:]] for value in z0]))
for k in range(5):
    left.plot(z0, curves[:, k], color=BLUE if k == 0 else GREY)
left.set(title="$z_0$ varies, the others are fixed", xlabel="$z_0$", ylabel="probability")
left.text(5.2, 0.7, "$p_0$", color=BLUE)
left.text(-5.5, 0.68, "$p_1 \\ldots p_4$", color="dimgrey")

limit = np.abs(jacobian).max()
drawn = middle.imshow(jacobian, cmap="RdBu_r", vmin=-limit, vmax=limit)
middle.set(title="$\\partial p_k / \\partial z_l$", xlabel="$l$", ylabel="$k$")
middle.set(xticks=range(5), yticks=range(5))
figure.colorbar(drawn, ax=middle)

right.bar(range(5), p, color=GREY, width=0.4, label="$p$")
right.bar(np.arange(5) + 0.4, p - np.eye(5)[y], color=ORANGE, width=0.4, label="gradient")
right.axhline(0, color="black", linewidth=0.8)
right.set(title="the gradient of the loss", xlabel="class (1 is true)", xticks=range(5))
right.legend(frameon=False)
caption = (
    "Three plots. Left: as one logit grows, its probability rises from 0 to 1 along an S-shaped curve, "
    "and the four others fall. Middle: the derivatives of the probabilities as a 5 by 5 matrix, positive "
    "on the diagonal and negative elsewhere. Right: the gradient equals the probability for each class "
    "but the true one, where it is the probability minus 1 and negative."
)
show(figure, caption)

# %% [markdown] complex
# Instead of trusting the algebra, check it. Take a tiny step $h$ into the complex plane:
#
# $$f(x + ih) = f(x) + i h f'(x) - \tfrac{1}{2} h^2 f''(x) - \ldots
# \qquad\Longrightarrow\qquad f'(x) \approx \frac{\operatorname{Im} f(x + ih)}{h}$$
#
# No two nearly equal numbers are subtracted, so no digits are lost to cancellation and $h$ may be extremely
# small. With $h = 10^{-30}$ the derivative is exact to the last digit. It takes three lines:


# %% complex-code
def loss(z):
    return -np.log(F.softmax(z[None])[0, y])


h = 1e-30
slopes = np.array([loss(z + 1j * h * unit).imag / h for unit in np.eye(len(z))])
print("complex step:    ", slopes.round(12))
print("p minus the truth:", (p - np.eye(5)[y]).round(12))
assert np.allclose(slopes, p - np.eye(5)[y], rtol=0, atol=1e-15)

# %% [markdown] turn-1
# **Your turn.** The article descends along this gradient, but the cost that it *plots* is the binary
# cross-entropy $-\sum_k \left([k = y] \log p_k + [k \ne y] \log (1 - p_k)\right)$. Is the gradient of that
# cost the same? Make a guess. Then let `loss` above return
#
#     -np.log(p[y]) - np.log(1 - np.delete(p, y)).sum()
#
# with `p = F.softmax(z[None])[0]` before it, and see whether the `assert` still passes.

# %% [markdown] exercise-1
# ### Exercise 1: softmax and cross-entropy
#
# Now for a batch: `logits` is $(N, K)$, `labels` are $N$ whole numbers, and the loss is the mean over the
# batch,
#
# $$L = -\frac{1}{N} \sum_n \log p_{n, y_n}
# \qquad
# \frac{\partial L}{\partial z_{nk}} = \frac{1}{N} \left(p_{nk} - [k = y_n]\right)$$
#
# The check has logits of 1000. `probs[np.arange(len(labels)), labels]` are the probabilities of the labels. A
# function must not change its arguments: copy `probs` before you subtract from it.


# %% [exercise] softmax_cross_entropy
def softmax_cross_entropy(logits, labels):
    """Return the mean loss, a number, and the probabilities (N, K)."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


def softmax_cross_entropy_backward(probs, labels):
    """Return d_logits (N, K), the gradient of the mean loss."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


# %% [check] softmax_cross_entropy-check
logits, labels = rng.standard_normal((4, 5)), np.array([1, 4, 0, 1])
report = check_layer(
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
    logits,
    {"labels": labels},
    like="softmax_cross_entropy",
)
grade("1 softmax and cross-entropy", report)
