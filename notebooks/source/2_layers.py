# %% [markdown] conv
# ## 4. Convolution
#
# A convolution applies a 3x3 kernel $w$ at every pixel. The kernel detects a pattern, for example a
# horizontal edge:
#
# $$\mathrm{out}_{ij} = \sum_{u=0}^{2} \sum_{v=0}^{2} w_{uv} \; x_{i+u-1,\, j+v-1}$$
#
# with zeros outside the image. Below are three kernels and their outputs: red is positive, blue is negative.
# (Strictly, this is a *cross-correlation*; a convolution would rotate the kernel first. In deep learning both
# are called convolution.)

# %% conv-code
x = image[0, 0]
kernels = {
    "blur": np.array([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16,
    "brighter below": np.array([[-1.0, -1, -1], [0, 0, 0], [1, 1, 1]]),
    "brighter on the right": np.array([[-1.0, 0, 1], [-1, 0, 1], [-1, 0, 1]]),
}
outputs = [F.conv2d(image, w[None, None])[0, 0] for w in kernels.values()]
caption = (
    "Three 3x3 kernels with their values. Blur: 0.25 in the centre, 0.125 at the sides, 0.0625 in the "
    "corners. Brighter below: -1 in the top row, 0 in the middle row, 1 in the bottom row. Brighter on "
    "the right: -1 in the left column, 0 in the middle, 1 in the right column."
)
show_images(kernels.values(), kernels, caption, width=2.1)
caption = (
    "A handwritten 3 and its three outputs. The blurred digit is smooth. The other two are red along the "
    "edges where the image becomes brighter downwards or to the right, and blue where it becomes darker."
)
show_images([x, *outputs], ["the digit", *(f"output: {name}" for name in kernels)], caption, width=2.1)

# %% [markdown] exercise-2
# ### Exercise 2: convolution, forward
#
# A layer has batches of $N$ images with $C$ channels, and a kernel for every pair of input and output
# channels:
#
# $$\mathrm{out}_{noij} = b_o + \sum_{c} \sum_{u=0}^{2} \sum_{v=0}^{2}
# w_{ocuv} \; x_{n,\, c,\, i+u-1,\, j+v-1}$$
#
# A loop over all indices is slow. Loop over $u$ and $v$ only: the output is a sum of nine shifted copies of
# the image, each multiplied by one weight per pair of channels. Pad the image with zeros once, by
# `np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))`. Then `padded[:, :, u : u + H, v : v + W]` is a shifted copy,
# and `np.einsum("nchw,oc->nohw", copy, weight[:, :, u, v])` sums over the channels.


# %% [exercise] conv2d
def conv2d(x, weight, bias):
    """x (N, C, H, W), weight (O, C, 3, 3), bias (O,) -> out (N, O, H, W)."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


# %% [check] conv2d-check
images = rng.standard_normal((2, 3, 5, 4))
conv_params = {"weight": rng.standard_normal((4, 3, 3, 3)), "bias": rng.standard_normal(4)}
report = check_layer(conv2d, F.conv2d_backward, images, conv_params, like="conv2d")
grade("2 convolution, forward", report)

# %% [markdown] conv-back
# Now the backward pass, first for one image and one channel. Suppose that we know
# $d_{ij} = \partial L / \partial\, \mathrm{out}_{ij}$, the gradient with respect to each output.
#
# *The weights.* $w_{uv}$ was multiplied by the pixel $x_{i+u-1,\,j+v-1}$ for the output $(i, j)$, so
#
# $$\frac{\partial L}{\partial w_{uv}} = \sum_{ij} d_{ij} \; x_{i+u-1,\, j+v-1}$$
#
# *The bias.* It was added to every output, so its gradient is the sum of all $d_{ij}$.
#
# *The pixels.* Pixel $(a, b)$ was multiplied by $w_{uv}$ for the output at $(a-u+1,\, b-v+1)$, so
#
# $$\frac{\partial L}{\partial x_{ab}} = \sum_{uv} w_{uv} \; d_{a-u+1,\, b-v+1}
# = \sum_{uv} w_{2-u,\, 2-v} \; d_{a+u-1,\, b+v-1}$$
#
# where the second form counts the weights in reverse order. Both are cross-correlations again: the image with
# $d$, and $d$ with the kernel **rotated by 180 degrees**. Only the kernel is rotated; the result is not.
#
# A single example shows this. Let $d$ be 1 at one output and 0 elsewhere. That output is a sum over nine
# pixels, the top left pixel times the top left weight, and so on. So the gradient is nonzero around that
# output only, and looks like the kernel, *not* rotated.
#
# The article computes a full convolution with its two operands exchanged and does not rotate the result back.
# Its gradient appears rotated, in the opposite corner of the image, on pixels that did not contribute to that
# output.

# %% turned-code
w = np.array([[9.0, 7, 5], [6, 0, 0], [3, 0, 0]])  # clearly different from its rotation
d_out = np.zeros((8, 8))
d_out[2, 2] = 1
d_x, _, _ = F.conv2d_backward(image, w[None, None], d_out[None, None])
correct = d_x[0, 0]
titles = ["kernel", "upstream gradient", "correct gradient", "the article's gradient"]
caption = (
    "Four images. A kernel with its large values at the top and on the left. An upstream gradient with "
    "one bright pixel in the upper left. The correct gradient: the kernel, around that pixel, in the same "
    "orientation. The article's gradient: the kernel rotated by 180 degrees, in the lower right corner."
)
show_images([w, d_out, correct, correct[::-1, ::-1]], titles, caption, width=2.1)

# %% [markdown] exercise-3
# ### Exercise 3: convolution, backward
#
# With batches and channels, each gradient is summed over everything else that the weight, the bias or the
# pixel took part in, where $x$ and $d$ are 0 outside the image:
#
# $$\frac{\partial L}{\partial w_{ocuv}} = \sum_{nij} d_{noij} \; x_{n,\, c,\, i+u-1,\, j+v-1}
# \qquad
# \frac{\partial L}{\partial b_o} = \sum_{nij} d_{noij}
# \qquad
# \frac{\partial L}{\partial x_{ncij}} = \sum_{ouv} w_{ocuv} \; d_{n,\, o,\, i-u+1,\, j-v+1}$$
#
# There are two ways to the last one. Either pad `d_out`, and slice it as you did the image, with $2-u$ and
# $2-v$ in place of $u$ and $v$. Or start with a padded `d_x` of zeros, add to the slice that was read in the
# forward pass, and cut the padding off in the end.


# %% [exercise] conv2d_backward
def conv2d_backward(x, weight, d_out):
    """Return d_x (N, C, H, W), d_weight (O, C, 3, 3) and d_bias (O,). d_out is (N, O, H, W)."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


# %% [check] conv2d_backward-check
report = check_layer(F.conv2d, conv2d_backward, images, conv_params, like="conv2d")
grade("3 convolution, backward", report)

# %% [markdown] pool
# ## 5. Average pooling and its factor 1/4
#
# An average pool replaces each 2x2 window by its mean. The image becomes smaller, and moving the digit by a
# pixel changes little:
#
# $$\mathrm{out}_{ij} = \tfrac14 \left(x_{2i,2j} + x_{2i,2j+1} + x_{2i+1,2j} + x_{2i+1,2j+1}\right)
# \qquad\Longrightarrow\qquad
# \frac{\partial L}{\partial x_{ab}} = \tfrac14 \, d_{\lfloor a/2 \rfloor, \lfloor b/2 \rfloor}$$
#
# Each pixel gets a quarter of the gradient of its window, so the sum is unchanged. The article omits the
# $\tfrac14$: each pool makes its gradient four times too large, and two pools sixteen times.

# %% pool-code
half = F.avg_pool2d(image)
caption = (
    "A handwritten 3 with 8x8 pixels, its average pool with 4x4 pixels, and the pool of that with 2x2 "
    "grey pixels."
)
show_images([x, half[0, 0], F.avg_pool2d(half)[0, 0]], ["8 x 8", "4 x 4", "2 x 2"], caption, width=2.1)

# %% [markdown] exercise-4
# ### Exercise 4: average pooling
#
# Channels and images of a batch do not interact. `x.reshape(N, C, H // 2, 2, W // 2, 2)` has the four pixels
# of a window in its axes 3 and 5, and `repeat` doubles an axis.


# %% [exercise] avg_pool2d
def avg_pool2d(x):
    """x (N, C, H, W), with H and W even -> out (N, C, H/2, W/2)."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


def avg_pool2d_backward(d_out):
    """d_out (N, C, H/2, W/2) -> d_x (N, C, H, W)."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


# %% [check] avg_pool2d-check
report = check_layer(avg_pool2d, avg_pool2d_backward, rng.standard_normal((2, 3, 4, 6)), like="avg_pool2d")
grade("4 average pooling", report)

# %% [markdown] activations
# ## 6. Activations
#
# Two linear maps in a row are one linear map. A nonlinear function between them makes the difference:
#
# $$\mathrm{relu}(x) = \max(x, 0)
# \qquad
# \tanh x = \frac{e^x - e^{-x}}{e^x + e^{-x}}
# \qquad
# \arctan x$$
#
# In the backward pass, each multiplies the gradient by its own slope: $\partial L / \partial x = f'(x) \, d$.
# Where the slope is small, a neuron learns slowly or not at all. The slope of ReLU is 1 where $x$ is
# positive, and 0 where it is negative; at 0 itself it is taken to be 0. For tanh, the quotient rule gives
#
# $$\tanh' x = \frac{(e^x + e^{-x})^2 - (e^x - e^{-x})^2}{(e^x + e^{-x})^2} = 1 - \tanh^2 x,$$
#
# so that the output of the forward pass is all that the backward pass needs. And $\tan' = 1 + \tan^2$, so
# that its inverse has the slope $\arctan' x = 1 / (1 + x^2)$.

# %% activations-code
points = np.linspace(-4, 4, 402)  # 0, where relu has a kink, is not among them
figure, cells = plt.subplots(1, 3, figsize=(10, 2.9), sharey=True, layout="constrained")
for cell, name in zip(cells, ("relu", "tanh", "arctan"), strict=True):
    f = network.ACTIVATIONS[name]
    values = f.forward(points)
    slopes = f.backward(points, values, np.ones_like(points))
    assert np.allclose(slopes, f.forward(points + 1j * h).imag / h, rtol=0, atol=1e-15)
    cell.plot(points, values, color=BLUE, label="$f$")
    cell.plot(points, slopes, color=ORANGE, label="$f'$")
    cell.set(title=name, ylim=(-1.7, 2.2), xlabel="$x$")
    cell.grid(alpha=0.3)
cells[0].legend(frameon=False, loc="upper left")
caption = (
    "Three plots, each of a function and its slope, from -4 to 4. ReLU is 0 and then rises with slope 1. "
    "Tanh rises from -1 to 1; its slope is 1 at 0 and vanishes beyond 3 on both sides. Arctan rises more "
    "slowly, towards 1.57; its slope is 1 at 0 and still 0.06 at 4."
)
show(figure, caption)

# %% [markdown] exercise-5
# ### Exercise 5: ReLU
#
# The array may have any shape.


# %% [exercise] relu
def relu(x):
    """The larger of x and 0, for each element."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


def relu_backward(x, d_out):
    """Return d_x, from the input of the forward pass."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


# %% [check] relu-check
report = check_layer(relu, relu_backward, rng.standard_normal((3, 4, 2)), like="relu")
grade("5 ReLU", report)

# %% [markdown] exercise-6
# ### Exercise 6: tanh
#
# $e^x$ overflows for large $x$, and so would the fraction above; NumPy has a function that does not.


# %% [exercise] tanh
def tanh(x):
    """The hyperbolic tangent of each element."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


def tanh_backward(out, d_out):
    """Return d_x, from the output of the forward pass."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


# %% [check] tanh-check
report = check_layer(tanh, tanh_backward, rng.standard_normal((3, 4)), like="tanh")
grade("6 tanh", report)

# %% [markdown] arctan
# The article applies an arctan to the output of the *last* layer, too. What does that cost? Every logit is
# then between $-\pi/2$ and $\pi/2$, which limits the probability of a class:

# %% arctan-code
largest = F.softmax(np.array([[np.pi / 2] + 9 * [-np.pi / 2]]))[0, 0]
print(f"The largest possible probability is {largest:.3f}, so the loss is at least {-math.log(largest):.3f}.")

# %% [markdown] linear-text
# ## 7. The fully connected layer
#
# Every output depends on every input:
#
# $$\mathrm{out}_{no} = b_o + \sum_i w_{oi} \, x_{ni}$$
#
# *The weights.* $w_{oi}$ was multiplied by $x_{ni}$ for the output $(n, o)$ of every image $n$; *the bias*
# was added to it; and *the input* $x_{ni}$ took part in all outputs $o$ of its own image. So
#
# $$\frac{\partial L}{\partial w_{oi}} = \sum_n d_{no} \, x_{ni}
# \qquad
# \frac{\partial L}{\partial b_o} = \sum_n d_{no}
# \qquad
# \frac{\partial L}{\partial x_{ni}} = \sum_o d_{no} \, w_{oi}$$
#
# These are products of matrices. With the batch in the rows of $x$, the output is $x W^\top + b$.
#
# ### Exercise 7: the fully connected layer
#
# The shapes help: there is only one product of `d_out` and `x` with the shape of `weight`.


# %% [exercise] linear
def linear(x, weight, bias):
    """x (N, I), weight (O, I), bias (O,) -> out (N, O)."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


def linear_backward(x, weight, d_out):
    """Return d_x (N, I), d_weight (O, I) and d_bias (O,). d_out is (N, O)."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


# %% [check] linear-check
linear_params = {"weight": rng.standard_normal((4, 6)), "bias": rng.standard_normal(4)}
report = check_layer(linear, linear_backward, rng.standard_normal((5, 6)), linear_params, like="linear")
grade("7 fully connected layer", report)

# %% [markdown] sgd
# ## 8. The update
#
# Gradient descent moves every parameter a step against its gradient $g$, with a learning rate $\eta$:
# $w \leftarrow w - \eta \, g$. The gradient of a batch is noisy, and in a narrow valley it points from side
# to side. *Momentum* steps along a velocity $v$ instead, a sum of all gradients so far in which older ones
# count less:
#
# $$v_t = \mu \, v_{t-1} + g_t = g_t + \mu \, g_{t-1} + \mu^2 g_{t-2} + \ldots
# \qquad
# w_t = w_{t-1} - \eta \, v_t$$
#
# What the gradients have in common adds up, to $1 / (1 - \mu)$ times its size; what changes its sign cancels.
#
# ### Exercise 8: SGD with momentum
#
# Return new arrays, and leave the arguments as they are.


# %% [exercise] sgd_momentum
def sgd_momentum(parameter, gradient, velocity, lr, momentum):
    """Return the parameter and the velocity after one step. All arrays have the same shape."""
    ### BEGIN SOLUTION
    raise NotImplementedError("not written yet")
    ### END SOLUTION


# %% [check] sgd_momentum-check
grade("8 SGD with momentum", check_sgd_step(sgd_momentum))

# %% [markdown] points
# ### Your points

# %% points-code
for exercise, points in scores.items():
    print(f"{exercise:30} {points}")
total = f"all {len(scores)} exercises"
print(f"{total:30} {sum(scores.values())}")
