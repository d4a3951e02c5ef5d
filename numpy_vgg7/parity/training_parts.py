"""The parts of a training that no other framework draws in the same way, each checked by itself.

A check yields a line for everything that is wrong.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from math import prod, sqrt
from unittest import mock

import numpy as np

from numpy_vgg7 import model as model_module
from numpy_vgg7 import network
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.data import Dataset, split
from numpy_vgg7.data.augmentation import AUGMENTATIONS, Augmentation, augment
from numpy_vgg7.functional import Array
from numpy_vgg7.model import VGG7
from numpy_vgg7.training import batches, loop
from numpy_vgg7.training.config import TrainingConfig

DRAWN = 400  # images whose augmentation is measured
SIDE = 21  # odd, so that a pixel is at the centre
LEAST, MOST = 0.8, 1.2  # of an expected standard deviation: 400 draws are within 8 %
PLAIN = TrainingConfig(batch_size=5, augment=False)


def images_of(count: int, classes: int, seed: int = 0, size: int = 8) -> Dataset:
    """Random images, as bytes, each of which is unlike all others."""
    rng = np.random.default_rng([seed, 9])
    pixels = rng.integers(0, 256, (count, 1, size, size), dtype=np.uint8)
    return Dataset("random", pixels, rng.permutation(np.arange(count) % classes), classes)


def order_faults() -> Iterator[str]:
    """Every image once in an epoch, with its own label, in an order that depends on epoch and seed."""
    pixels = np.arange(23, dtype=np.uint8)[:, None, None, None].repeat(8, 2).repeat(8, 3)
    data = Dataset("numbered", pixels, np.arange(23))
    orders = []
    for seed, epoch in ((0, 0), (0, 1), (1, 0), (0, 0)):
        drawn = list(batches.draw(data, replace(PLAIN, seed=seed), epoch, "float64"))
        numbers = np.concatenate([x[:, 0, 0, 0] for x, _ in drawn]) * 255
        labels = np.concatenate([batch_labels for _, batch_labels in drawn])
        if [len(batch_labels) for _, batch_labels in drawn] != [5, 5, 5, 5, 3]:
            yield "23 images are not drawn in batches of 5, 5, 5, 5 and 3"
            return
        if not np.allclose(numbers, labels, atol=1e-3):
            yield "an image does not have its own label, or not its pixels divided by 255"
        if sorted(labels) != list(range(23)):
            yield "not every image is drawn once in an epoch"
        orders.append(labels)
    first, second, other, again = orders
    if (first == np.arange(23)).mean() > 0.5:
        yield "the images are not shuffled"
    if (first == second).mean() > 0.5:
        yield "two epochs have the same order"
    if (first == other).mean() > 0.5:
        yield "two seeds have the same order"
    if not np.array_equal(first, again):
        yield "the same seed and epoch do not have the same order"
    many = [np.concatenate([batch for _, batch in batches.draw(data, PLAIN, epoch, "float64")])
            for epoch in range(100)]  # fmt: skip
    ascents = (np.diff(many, axis=1) > 0).mean(axis=0)
    if ascents.min() < 0.25 or ascents.max() > 0.75:  # five standard deviations
        yield "parts of an epoch are in order"


def weighted_faults() -> Iterator[str]:
    """With sample weights, an epoch has as many images, each by its share rounded up or down."""
    count, epochs = 23, 400
    weights = np.random.default_rng(4).uniform(0, 3, count)
    weights[[2, 11]] = 0
    data = replace(images_of(count, 1), labels=np.arange(count), weights=weights)
    drawn = [[labels for _, labels in batches.draw(data, PLAIN, epoch, "float64")] for epoch in range(epochs)]
    if any([len(labels) for labels in epoch] != [5, 5, 5, 5, 3] for epoch in drawn):
        yield "an epoch with sample weights does not have as many images as one without"
        return
    orders = np.array([np.concatenate(epoch) for epoch in drawn])
    times = np.array([np.bincount(order, minlength=count) for order in orders])
    expected = count * weights / weights.sum()
    if np.abs(times - expected).max() >= 1:
        yield "an image is not drawn as often as its sample weight says, rounded up or down"
    if np.abs(times.mean(axis=0) - expected).max() > 5 * 0.5 / sqrt(epochs):  # five standard deviations
        yield "the mean of how often an image is drawn is not its sample weight's share"
    equal_pairs = (times * (times - 1)).sum(axis=1).mean() / (count * (count - 1))
    if (np.diff(orders, axis=1) == 0).mean() > 1.5 * equal_pairs:
        yield "the copies of an image follow one another"
    part = data.take(np.array([4, 0, 7]))
    if part.weights is None or not np.array_equal(part.weights, weights[[4, 0, 7]]):
        yield "a part of a data set does not have the sample weights of its images"


def drawn_faults() -> Iterator[str]:
    """The training augments: each image, batch, epoch and seed in another way, by the named augmentation."""
    one = images_of(1, 1, size=12).pixels
    data = Dataset("equal", one.repeat(15, axis=0), np.arange(15) % 3)
    found = {}
    for seed, epoch, name in ((0, 0, "gentle"), (0, 1, "gentle"), (1, 0, "gentle"), (0, 0, "strong")):
        config = replace(PLAIN, augment=True, seed=seed, augmentation=name)
        drawn = [x for x, _ in batches.draw(data, config, epoch, "float64")]
        found[seed, epoch, name] = np.concatenate(drawn)
    for x in found.values():
        different = {image.tobytes() for image in x}
        if len(different) < len(x) or np.allclose(x, one / 255, atol=1e-3):
            yield "not every image is changed in a way of its own"
            return
    first, *others = found.values()
    for word, other in zip(("epochs", "seeds", "augmentations"), others, strict=True):
        if {image.tobytes() for image in first} & {image.tobytes() for image in other}:
            yield f"two {word} change an image in the same way"
    rng = np.random.default_rng([0, 0, 1])
    for index in range(3):
        expected = augment(data.batch(slice(0, 5)), rng, AUGMENTATIONS["strong"])
        if not np.allclose(others[2][5 * index : 5 * index + 5], expected, atol=1e-6):
            yield "the augmentation is not the named one"
            return


def moved(position: tuple[int, int], augmentation: Augmentation, seed: int = 0) -> Array:
    """Where a blob is found in augmented images, (DRAWN, 2); positions are from the centre."""
    grid = np.arange(SIDE) - SIDE // 2
    blob = np.exp(-0.5 * ((grid[:, None] - position[0]) ** 2 + (grid - position[1]) ** 2) / 1.5**2)
    images = blob[None, None].repeat(DRAWN, axis=0)
    found = augment(images, np.random.default_rng(seed), augmentation)[:, 0]
    total = found.sum(axis=(1, 2))
    return np.stack([(found.sum(axis=2) @ grid) / total, (found.sum(axis=1) @ grid) / total], axis=1)


def augmentation_faults() -> Iterator[str]:
    """Rotation, scale and translation by their statistics; the elastic distortion by its own limits."""
    right = moved((0, 6), Augmentation(0.3, 0, 0))
    angle = np.arctan2(right[:, 0], right[:, 1])
    if np.abs(moved((0, 0), Augmentation(0.3, 0, 0))).max() > 0.05:
        yield "the centre of a rotated image moves"
    if np.abs(np.hypot(*right.T) - 6).max() > 0.2:
        yield "a rotation changes the distance from the centre"
    yield from _uniform_faults("rotation", angle, 0.3)
    down = moved((6, 0), Augmentation(0.3, 0, 0))
    if np.abs(np.arctan2(-down[:, 1], down[:, 0]) - angle).max() > 0.05:
        yield "rows and columns are not rotated by the same angle"
    corner = moved((5, 5), Augmentation(0, 0.15, 0))
    row, column = (5 / corner).T - 1  # the original is found at scale times the position
    for name, scale in (("rows", row), ("columns", column)):
        yield from _uniform_faults(f"scale of {name}", scale, 0.15)
    yield from _independence_faults("the scales of rows and columns", row, column)
    shift = moved((0, 0), Augmentation(0, 0, 0.1))
    for name, offset in zip(("rows", "columns"), shift.T, strict=True):
        yield from _uniform_faults(f"translation of {name}", offset, 0.1 * SIDE)
    yield from _independence_faults("the translations of rows and columns", *shift.T)
    ones = augment(np.ones((DRAWN, 1, 12, 12)), np.random.default_rng(0), Augmentation(0, 0, 0.25))
    if not (ones[:, 0].reshape(DRAWN, -1).min(axis=1) == 0).mean() > 0.5:
        yield "outside the image is not black"
    if not np.allclose(ones[:, 0, 6, 6], 1):
        yield "a white image is not white in the middle"
    elastic = moved((0, 0), Augmentation(0, 0, 0, 0.1))
    if not 0.05 * SIDE < np.abs(elastic).max() < 0.1 * SIDE:
        yield "the elastic distortion is not within its limit, or missing"


def _uniform_faults(what: str, drawn: Array, limit: float) -> Iterator[str]:
    """Uniform from -limit to limit: its mean, standard deviation and extremes."""
    expected = limit / sqrt(3)
    if not LEAST * expected < drawn.std() < MOST * expected or np.abs(drawn).max() > 1.15 * limit:
        yield f"{what}: a standard deviation of {drawn.std():.3g} instead of {expected:.3g}"
    if abs(drawn.mean()) > 0.2 * expected:
        yield f"{what}: a mean of {drawn.mean():.3g} instead of 0"


def _independence_faults(what: str, a: Array, b: Array) -> Iterator[str]:
    if abs(np.corrcoef(a, b)[0, 1]) > 0.2:
        yield f"{what} are not independent"


def warp_faults() -> Iterator[str]:
    """Augmented images against SciPy's bilinear interpolation, by the numbers that the generator gives."""
    from scipy.ndimage import map_coordinates

    changes = Augmentation(0.4, 0.2, 0.15)
    images = images_of(20, 2, size=9).images.astype("float64")
    found = augment(images, np.random.default_rng(5), changes)
    rng = np.random.default_rng(5)
    angles = rng.uniform(-0.4, 0.4, 20)
    scales, shifts = (rng.uniform(low, high, (2, 20)) for low, high in ((0.8, 1.2), (-1.35, 1.35)))
    for image, result, angle, scale, shift in zip(images, found, angles, scales.T, shifts.T, strict=True):
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        positions = np.indices((9, 9)).reshape(2, -1) - 4
        sources = rotation @ (scale[:, None] * positions) + shift[:, None] + 4
        # With a border, SciPy fades to black over one pixel, too.
        expected = map_coordinates(np.pad(image[0], 1), sources + 1, order=1, mode="constant")
        if not np.allclose(result[0].ravel(), expected, atol=1e-9):
            yield "augmented images are not those of bilinear interpolation"
            return


def initialisation_faults() -> Iterator[str]:
    """Normal weights with the variance of their layer, zero biases; layers and seeds independent."""
    config = VGG7Config(channels=(64, 48, 56, 40), groups=(1, 2, 1, 4), hidden=(150, 120), image_size=12)
    layers = config.layers()
    params, other = (network.initial_params(layers, seed, "float64") for seed in (0, 1))
    gains = dict(
        zip(("conv1", "conv2", "conv3", "conv4", "fc5", "fc6", "fc7"), [sqrt(2)] * 4 + [1] * 3, strict=True)
    )
    weights = {name: p for name, p in params.items() if name.endswith("weight")}
    for name, weight in weights.items():
        expected = gains[name.split(".")[0]] / sqrt(prod(weight.shape[1:]))
        slack = 4 / sqrt(2 * weight.size)  # four standard deviations
        if abs(weight.std() / expected - 1) > slack:
            yield f"{name} has a standard deviation of {weight.std():.4g} instead of {expected:.4g}"
        if abs(weight.mean()) > 4 * expected / sqrt(weight.size):
            yield f"{name} has a mean of {weight.mean():.3g}"
        kurtosis = ((weight / weight.std()) ** 4).mean()
        if abs(kurtosis - 3) > 5 * sqrt(24 / weight.size):
            yield f"{name} is not normal: its fourth moment is {kurtosis:.3g} instead of 3"
        if abs(np.corrcoef(weight.ravel(), other[name].ravel())[0, 1]) > 5 / sqrt(weight.size):
            yield f"{name} is the same for two seeds"
    flat = [weight.ravel() / weight.std() for weight in weights.values()]
    for index, a in enumerate(flat):
        for b in flat[:index]:
            count = min(len(a), len(b))
            if abs(np.corrcoef(a[:count], b[:count])[0, 1]) > 5 / sqrt(count):
                yield "the weights of two layers are not independent"
                return
    if any(p.any() for name, p in params.items() if name.endswith("bias")):
        yield "a bias is not 0"
    model = VGG7(config, seed=1, dtype="float64")
    if not all(np.array_equal(model.params[name], p) for name, p in other.items()):
        yield "a model does not start from the weights of its seed"


def score_faults() -> Iterator[str]:
    """Loss, accuracy and errors are of all images, whose last batch is small."""
    model, data = VGG7(VGG7Config(image_size=8, channels=(2, 3, 4, 5)), dtype="float64"), images_of(13, 10)
    logits = model.logits(data.images)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(13), data.labels]
    errors = int((logits.argmax(axis=1) != data.labels).sum())
    with mock.patch.object(model_module, "INFERENCE_BATCH", 5):
        found = loop.score(model, data)
    if abs(found.loss - losses.mean()) > 1e-12 or abs(found.accuracy - (13 - errors) / 13) > 1e-12:
        yield "the score is not the mean of all images"
    if (found.errors, found.n) != (errors, 13):
        yield "the misclassified images are not counted"


def selection_faults() -> Iterator[str]:
    """The best epoch, early stopping and the judgement of what was learned, from rows of epochs."""
    # The means over five epochs: 3, 2, 4.33, 3.75, 3.4, 3.2, 3.1, 1.4.
    losses = [3, 1, 9, 2, 2, 2, 0.5, 0.5]
    rows = [
        loop.Epoch(i + 1, 2.5 - 0.3 * i, 0.1 * i, loss, 0.9 - 0.1 * i, 1.0) for i, loss in enumerate(losses)
    ]
    best = [loop.State({}, {}, rows[:count]).best_epoch for count in range(1, 9)]
    if best != [1, 2, 2, 2, 2, 2, 2, 8]:
        yield f"the best epochs are {best}"
    config = TrainingConfig(epochs=8, patience=5)
    over = [loop.State({}, {}, rows[:count]).is_over(config) for count in range(9)]
    if over != [False] * 7 + [True, True]:
        yield "the training does not stop when five epochs have not lowered the validation loss"
    labels = np.array([0, 0, 0, 1])  # an entropy of 0.562; with a label smoothing of 0.5, 0.662
    for smoothing, chance in ((0.0, 0.5623), (0.5, 0.6616)):
        for loss, learned in ((0.9 * chance, True), (1.01 * chance, False), (5.0, False)):
            row = loop.Epoch(1, loss, 0.5, 1.0, 0.5, 1.0)
            if loop.has_learned([row], labels, TrainingConfig(label_smoothing=smoothing)) != learned:
                yield f"a loss of {loss:.3g} is judged wrongly, the entropy being {chance}"


def split_faults() -> Iterator[str]:
    """Three parts without a common image, with the shares of all classes, the same each time."""
    pixels = np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(4, 2).repeat(4, 3)
    labels = np.repeat([0, 1, 2, 3], [100, 60, 20, 20])
    data = Dataset("numbered", pixels, labels, 4)
    parts = split(data)
    numbers = [part.pixels[:, 0, 0, 0] for part in parts]
    if sorted(np.concatenate(numbers)) != list(range(200)):
        yield "not every image is in one part of the split"
    counts = [[int((part.labels == label).sum()) for label in range(4)] for part in parts]
    if counts != [[70, 42, 14, 14], [10, 6, 2, 2], [20, 12, 4, 4]]:
        yield f"the parts are not 70, 10 and 20 % of every class: {counts}"
    if any(not np.array_equal(labels[own], part.labels) for own, part in zip(numbers, parts, strict=True)):
        yield "labels and images are split differently"
    if any(not np.array_equal(a, b.pixels[:, 0, 0, 0]) for a, b in zip(numbers, split(data), strict=True)):
        yield "two splits of a data set differ"
    if (np.diff(numbers[0].astype(int)) > 0).all():
        yield "the training part is not shuffled"
    official = split(replace(data, test=images_of(7, 4, size=4)))
    if len(official.test) != 7 or len(official.validation) != 20 or len(official.train) != 180:
        yield "the official test part is not the test set"


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "batches": order_faults,
    "batches weighted": weighted_faults,
    "batches augmented": drawn_faults,
    "augmentation": augmentation_faults,
    "augmentation warp": warp_faults,
    "initialisation": initialisation_faults,
    "means": score_faults,
    "selection": selection_faults,
    "split": split_faults,
}
