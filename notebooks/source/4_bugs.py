# %% [markdown] parity
# ## 11. Three bugs that are hard to notice
#
# The article's network learns, its cost falls, and its author reports an accuracy of 84 %. And yet
#
# 1. the version that was published first updates the second kernel from the first, `w2 = w1 - ...`, a typo
#    that a reader found;
# 2. its average pool omits the factor $\tfrac14$ in the backward pass;
# 3. its convolutions return a gradient that is rotated by 180 degrees.
#
# The last two are in the corrected version as well. A wrong gradient often still points downhill, so learning
# curves do not reveal such bugs. Comparing numbers does.
#
# So take the article's architecture and one batch, and compare every value, gradient and updated weight of
# two implementations: the definition, which is the formulas above, and the fast engine behind `VGG7`. Two
# correct implementations differ by rounding only. (`numpy-vgg7 parity run` compares both with PyTorch.)

# %% parity-code
from numpy_vgg7.parity.case import definition_trace, product_trace, random_case, random_model
from numpy_vgg7.parity.compare import compare

tiny = random_model(VGG7Config.preset("article", image_size=8), seed=0)
case = random_case(tiny, batch_size=5, seed=0)
reference = definition_trace(case)
result = compare(product_trace(case), reference)
assert result.passed
print(f"{len(result.tensors)} tensors agree: {', '.join(reference)}"[:78] + ", ...")

# %% [markdown] bugs
# Now put each bug into the network, for the duration of one `with` block, and compare again with the
# reference from before. `compare` lists the tensors that differ. `localise` finds the location: it runs each
# layer *alone*, on the inputs and upstream gradients in the faulty trace, so that an error in one layer is
# not attributed to another. Then it tries to identify the mistake.

# %% bugs-code
from numpy_vgg7.parity.localise import localise
from numpy_vgg7.parity.mutants import NETWORK

catalogue = {mutant.name: mutant for mutant in NETWORK}


def examine(bug):
    with catalogue[bug].applied():  # a bug of the engine, of the definition, or of both
        traces = [product_trace(case), definition_trace(case)]
    found = next((trace for trace in traces if not compare(trace, reference).passed), traces[0])
    result, culprits = compare(found, reference), localise(tiny.layers, case.sgd, case.labels, found, True)
    wrong = sum(not tensor.passed for tensor in result.tensors)
    print(f"--- {bug}")
    print(f"  {wrong} of {len(result.tensors)} tensors differ, the first is {result.first_divergence}")
    for culprit in culprits:
        words = f"{culprit.place}: {culprit.diagnosis}"
        print(textwrap.indent(textwrap.fill(words, 96, subsequent_indent="  "), "  "))
    return found


typo = examine("second kernel updated from the first (the article's typo)")
examine("pool omits 1/(k*k) (the article's)")
examine("dX rotated by 180 degrees (the article's)")
assert compare(product_trace(case), reference).passed  # the bugs are removed again

# %% [markdown] typo
# Two are identified. The typo is located: the optimizer updates `conv2.weight` incorrectly, and no other
# parameter. Undo the step to see from which weights it started:

# %% typo-code
origin = typo["conv2.weight.step1"] + case.sgd.lr_conv * typo["conv2.weight.grad"]
for name in ("conv2.weight", "conv1.weight", "conv1.weight.step1"):
    print(f"started from {name:20} {np.allclose(origin, typo[name], rtol=0, atol=1e-12)}")

# %% [markdown] downhill
# It started from the first kernel, which had just been updated in the same step.
#
# And how could a network learn with the other two? Compare the wrong gradients with the correct ones, on real
# digits: how many times too long are they, and what is the cosine of the angle between them? (1: the same
# direction; 0: orthogonal; -1: opposite.)


# %% downhill-code
def kernel_gradients():
    found = tiny.trace(batch, truth)
    return {f"conv{k}": found[f"conv{k}.weight.grad"].ravel() for k in (1, 2, 3, 4)}


right = kernel_gradients()
bugs = {
    "no factor 1/4": (-0.2, BLUE, "pool omits 1/(k*k) (the article's)"),
    "rotated by 180 degrees": (0.2, ORANGE, "dX rotated by 180 degrees (the article's)"),
}
figure, (length, cosine) = plt.subplots(1, 2, figsize=(9.5, 3.2), layout="constrained")
for words, (offset, colour, bug) in bugs.items():
    with catalogue[bug].applied():
        wrong = kernel_gradients()
    sizes = np.array([np.linalg.norm(wrong[name]) / np.linalg.norm(right[name]) for name in right])
    products = [wrong[name] @ right[name] / np.linalg.norm(right[name]) ** 2 for name in right]
    length.bar(np.arange(4) + offset, sizes, width=0.38, color=colour, label=words)
    cosine.bar(np.arange(4) + offset, products / sizes, width=0.38, color=colour, label=words)
length.set(title="length relative to the correct gradient", yticks=[1, 4, 16])
length.axhline(1, color="black", linewidth=0.8, linestyle=":")
length.legend(frameon=False)
cosine.set(title="cosine of the angle to the correct gradient", ylim=(-1.1, 1.1))
cosine.axhline(0, color="black", linewidth=0.8)
for cell in (length, cosine):
    cell.set_xticks(range(4), right)
caption = (
    "Two bar charts, for the kernels of conv1 to conv4. Without the factor 1/4, the gradients are 16 "
    "times too long for conv1 and conv2 and 4 times for conv3 and conv4, and their direction is right. "
    "With the rotation, none is too long, but the cosine is about -0.9 for conv1, 1 for conv2, 0.4 for "
    "conv3 and 1 for conv4."
)
show(figure, caption)

# %% [markdown] turn-3
# Without the factor 1/4, every gradient has the correct direction and is merely too long, 4 or 16 times. With
# a small learning rate this is hard to notice. The rotated gradient is worse: only that of `conv4` is still
# correct, and that of `conv1` points uphill here. But the fully connected layers, which have nearly all of
# the weights, still learn from the correct gradient, and compensate for much.
#
# **Your turn.** The catalogue has many more bugs. Choose one, guess which tensor diverges first, and run the
# cell. (A few are not visible in this check: the last four affect the saving of files, and others need
# float32, logits in the thousands or a second batch. The harness has further checks for them.)

# %% turn-3-code
of_the_formulas = [bug for bug in catalogue if "(engine)" not in bug]
print(textwrap.fill("  |  ".join(of_the_formulas), width=100), end="\n\n")
found = examine("guided ReLU")
