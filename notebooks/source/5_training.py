# %% [markdown] training
# ## 12. Training
#
# The gradient is correct; now train. Batches have 32 digits in random order, each digit slightly translated,
# rotated and scaled every time. The optimizer uses Nesterov momentum and a one-cycle learning rate. `VGG7` is
# the same network with a fast engine. Its weights are those of the epoch with the lowest loss on the
# validation set.

# %% training-code
from numpy_vgg7 import plots

trained = VGG7(VGG7Config.preset("vgg7", image_size=8), seed=0, dtype="float64")
validation = (digits.validation.images, digits.validation.labels)
history = trained.fit(digits.train.images, digits.train.labels, validation=validation, epochs=20)
caption = (
    "Loss, on a logarithmic scale, and accuracy over 20 epochs. The losses of the training and the "
    "validation set fall from about 2 to below 0.1; both accuracies rise above 0.9 within seven epochs "
    "and then towards 0.98."
)
show(plots.curves(history.epochs), caption)

# %% [markdown] trained
# The same three again, now through the trained network. Compare with the features in section 9.

# %% trained-code
after = trained.trace(image, label)
caption = (
    "The grid of channels again, after the training. Some are dark now, and others respond to one part of "
    "the 3 only."
)
show_features(after, caption)
caption = (
    "The same three rows after the training: many of the neurons are near -1 or 1, and the probability of "
    "the 3 is nearly 1."
)
show_classifier(after, caption)

# %% [markdown] test
# ## 13. Evaluation
#
# The test set is used here for the first time. In the confusion matrix, rows are true classes and columns are
# predictions, so everything off the diagonal is a mistake.

# %% test-code
result = trained.evaluate(digits.test.images, digits.test.labels)
probs = trained.predict_proba(digits.test.images)
print(f"{result.n - result.errors} of {result.n} correct: {result.accuracy:.1%}")
caption = "The confusion matrix of the test set. All but a few of the 359 digits are on the diagonal."
show(plots.confusion(digits.test, probs.argmax(axis=1), classes=10), caption)
caption = (
    "The misclassified test digits, the most confident mistake first. The titles give the true digit, the "
    "predicted one and its probability."
)
show(plots.misclassified(digits.test, probs), caption)

print("The least confident predictions:")
doubtful = np.argsort(probs.max(axis=1))[:8]
titles = [f"{probs[i].argmax()}? {probs[i].max():.0%}" for i in doubtful]
caption = (
    "The eight test digits with the lowest predicted probability, from 55 to 75 %. Several of them look "
    "like a cross between two digits."
)
show_images([digits.test.images[i, 0] for i in doubtful], titles, caption, width=1.2)
assert result.accuracy > 0.96

# %% [markdown] turn-4
# Could you read all of them? Eight by eight pixels are not much.
#
# **Your turn.** Rotate every test digit by 180 degrees. Which digits are still recognized, and what is a 6
# taken for? Make a guess first.

# %% turn-4-code
upside_down = trained.predict(digits.test.images[:, :, ::-1, ::-1])
for k in range(10):
    counts = np.bincount(upside_down[digits.test.labels == k], minlength=10)
    print(f"{k} rotated: predicted as {k} {counts[k] / counts.sum():4.0%}, most often as {counts.argmax()}")

# %% [markdown] next
# **Next steps**
#
# - Read `numpy_vgg7/functional.py`, `network.py` and `optim.py`. You know all of it now. `numpy_vgg7/engine/`
#   computes the same numbers faster.
# - Find a mistake that someone else made: `numpy-vgg7 exercise new` writes a small network with one.
# - Write your own backpropagation, in any language, and check it: `numpy-vgg7 parity case` writes a batch and
#   all the values and gradients that it should give, and `numpy-vgg7 parity check` names the first tensor
#   that differs. `own_implementation.py`, next to this notebook, shows how.
# - `numpy-vgg7 parity prove` puts every bug of the catalogue into the network, one at a time, and verifies
#   that each is detected.
# - Change the network: `VGG7Config` accepts other channels, groups, widths and activations. Use an arctan
#   after the last layer and see how the loss changes.
