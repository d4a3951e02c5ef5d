"""The article's experiment: its data, its random numbers, and its training with three gradients.

Jae Duk Seo, "Only Numpy: Implementing Mini VGG (VGG 7) and SoftMax Layer with Interactive Code", Towards Data
Science, 7 February 2018.

The faults of the article's gradients are bugs of the catalogue `parity.mutants`, applied to the engine while
it trains. All arithmetic is in float64.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from numpy_vgg7.article import EPOCHS, SEED
from numpy_vgg7.article.summation import ArticleVGG7
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.data.mnist import read_pixels
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.mutants import CATALOGUE
from numpy_vgg7.suggestions import instead

TEST_IMAGES, TRAINING_IMAGES = 50, 600  # the first of the shuffled file, and those that follow
ARTICLE_SGD = SGD(lr_conv=0.0001, lr_fc=0.01)
STEP_COSTS = 200

_PUBLISHED = (
    "pool omits 1/(k*k) (the article's)",
    "dX rotated by 180 degrees (the article's)",
)
# The correct gradient; the article's corrected version; and its first version. Names of mutants.
BACKPROPS: dict[str, tuple[str, ...]] = {
    "true": (),
    "published": _PUBLISHED,
    "broken": (*_PUBLISHED, "second kernel updated from the first (the article's typo)"),
}


@dataclass(frozen=True)
class Split:
    """The shuffled file in three parts: test images, training images, and those the article never uses."""

    test: Dataset
    train: Dataset
    unused: Dataset


@dataclass
class History:
    """The costs of a training run, in the article's binary form.

    cost: the mean per image, for each epoch. step_cost: the cost of each of the first steps.
    """

    cost: list[float] = field(default_factory=list)
    step_cost: list[float] = field(default_factory=list)
    seconds: float = 0.0


def read_data(folder: Path) -> Dataset:
    """MNIST's test file with the pixel values that the article's script gets. Raises DataError.

    TensorFlow's reader of 2018 multiplies by 1/255 in float32. Dividing by 255, as `read_t10k` does, gives
    another last bit for some pixels, which changes the cost by 8e-8 at the first step.
    """
    pixels, labels = read_pixels(folder)
    return Dataset("t10k", pixels[:, None].astype(np.float32) * np.float32(1 / 255), labels)


def prepare(data: Dataset, seed: int = SEED) -> tuple[Split, VGG7]:
    """Shuffle the data and draw the weights as the article's script does, from NumPy's legacy generator.

    Raises ConfigError if there are fewer images than the protocol needs, or `seed` is out of range.
    """
    needed = TEST_IMAGES + TRAINING_IMAGES
    if len(data) <= needed:
        raise ConfigError("images", f"more than {needed}", len(data), "use the complete t10k file")
    if not 0 <= seed < 2**32:
        raise ConfigError("seed", "0 to 4294967295", seed, "choose another")
    rng = np.random.RandomState(seed)
    order = np.arange(len(data))
    rng.shuffle(order)  # as sklearn.utils.shuffle does
    parts = np.split(order, [TEST_IMAGES, needed])
    split = Split(*(data.take(part) for part in parts))
    kernels = [rng.standard_normal((3, 3)) for _ in range(6)]
    weights = [rng.standard_normal(shape) for shape in ((98, 1024), (1024, 512), (512, 10))]
    return split, model_from_script(kernels, [weights[0], weights[1], 0.2 * weights[2]])


def model_from_script(kernels: list[Array], weights: list[Array]) -> VGG7:
    """The network with the script's arrays: kernels of true convolutions, weights of shape (in, out).

    A true convolution is a cross-correlation with the kernel rotated by 180 degrees.
    """
    w1, w2, w3a, w3b, w4a, w4b = (kernel[::-1, ::-1] for kernel in kernels)
    params: Arrays = {
        "conv1.weight": w1[None, None],
        "conv2.weight": w2[None, None],
        "conv3.weight": np.stack([w3a, w3b])[:, None],
        "conv4.weight": np.stack([w4a, w4b])[:, None],
    }
    params |= {f"fc{number}.weight": weight.T for number, weight in enumerate(weights, 5)}
    return ArticleVGG7.from_params(VGG7Config.preset("article"), params)


def next_larger(model: VGG7) -> VGG7:
    """A copy of the model in which every weight is replaced by the next larger floating-point number."""
    params = {name: np.nextafter(weight, np.inf) for name, weight in model.params.items()}
    return ArticleVGG7.from_params(model.config, params)


def train(
    model: VGG7,
    data: Dataset,
    backprop: str = "true",
    epochs: int = EPOCHS,
    progress: Callable[[int, float], None] = lambda epoch, cost: None,
    step_costs: int = STEP_COSTS,
) -> History:
    """Train `model` in place, one image at a time, in the same order in every epoch. Raises ConfigError.

    `progress` gets the epoch, from 1, and its cost. The costs of the first `step_costs` steps are kept.

    The faults are applied to the engine of the whole process while this runs: train nothing else meanwhile.
    """
    if backprop not in BACKPROPS:
        raise ConfigError(
            "backprop", f"one of {', '.join(BACKPROPS)}", backprop, instead(backprop, BACKPROPS)
        )
    started = time.perf_counter()
    history = History()
    images, labels = data.images.astype(model.dtype), data.labels
    velocity = ARTICLE_SGD.init(model.params)
    with faults(backprop), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        for epoch in range(1, epochs + 1):
            total = 0.0
            for step in range(len(labels)):
                one = slice(step, step + 1)
                result = model.train_step(images[one], labels[one], ARTICLE_SGD, velocity)
                cost = binary_cost(result.probs, labels[one])
                total += cost
                if len(history.step_cost) < step_costs:
                    history.step_cost.append(cost)
            history.cost.append(total / len(labels))
            progress(epoch, history.cost[-1])
    history.seconds = time.perf_counter() - started
    return history


@contextmanager
def faults(backprop: str) -> Iterator[None]:
    """The faults of one of BACKPROPS inside a block."""
    mutants = {mutant.name: mutant for mutant in CATALOGUE}
    with ExitStack() as stack:
        for name in BACKPROPS[backprop]:
            stack.enter_context(mutants[name].applied())
        yield


def binary_cost(probs: Array, labels: Labels) -> float:
    """The cost that the article reports: probs (N, K), labels (N,) -> a sum over images and classes.

    cost = sum over n,k of -(y log p + (1 - y) log(1 - p)), with y = [k = labels[n]]

    It is not the loss whose gradient the article descends, which is the categorical cross-entropy.
    """
    likelihood = 1 - probs
    rows = np.arange(len(labels))
    likelihood[rows, labels] = probs[rows, labels]
    return float(-np.log(likelihood).sum())
