"""The article's experiment: its network, random numbers and protocol, and its three back propagations.

Jae Duk Seo, "Only Numpy: Implementing Mini VGG (VGG 7) and SoftMax Layer with Interactive Code", Towards Data
Science, 7 February 2018.

The faults are those of the catalogue of bugs, put into the product while it trains. Everything is float64.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from numpy_vgg7.article.summation import in_script_layout, in_script_order
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.mutants import CATALOGUE

SEED, EPOCHS = 5678, 150
TESTED, LEARNED = 50, 600  # images: the first and the following of the shuffled file
RATES = SGD(lr_conv=0.0001, lr_fc=0.01)
STEP_COSTS = 200

_PUBLISHED = (
    "pool omits 1/(k*k) (the article's)",
    "dX rotated by 180 degrees (the article's)",
)
# The gradient; the article's corrected version of it; and its first version.
BACKPROPS: dict[str, tuple[str, ...]] = {
    "true": (),
    "published": _PUBLISHED,
    "broken": (*_PUBLISHED, "second kernel updated from the first (the article's typo)"),
}


@dataclass(frozen=True)
class Split:
    """The shuffled file: what is tested on, learned from, and never used by the article."""

    test: Dataset
    train: Dataset
    unused: Dataset


@dataclass
class Replay:
    """A training as it goes on; costs are in the article's binary form, a mean over images an epoch."""

    backprop: str
    cost: list[float]
    step_cost: list[float]
    seconds: float = 0.0


def prepare(data: Dataset, seed: int = SEED) -> tuple[Split, VGG7]:
    """Shuffle and draw as the article's script does, from NumPy's legacy generator, in its order.

    Raises ConfigError where there are fewer images than the protocol takes.
    """
    if len(data) <= TESTED + LEARNED:
        raise ConfigError(
            "images",
            expected=f"more than {TESTED + LEARNED}",
            found=str(len(data)),
            fix="use the whole t10k file",
        )
    if not 0 <= seed < 2**32:
        raise ConfigError("seed", expected="0 to 4294967295", found=str(seed), fix="choose another")
    rng = np.random.RandomState(seed)
    order = np.arange(len(data))
    rng.shuffle(order)  # what sklearn.utils.shuffle does
    parts = (slice(0, TESTED), slice(TESTED, TESTED + LEARNED), slice(TESTED + LEARNED, None))
    split = Split(*(data.take(order[part]) for part in parts))
    kernels = [rng.standard_normal((3, 3)) for _ in range(6)]
    weights = [rng.standard_normal(shape) for shape in ((98, 1024), (1024, 512), (512, 10))]
    return split, model_of(kernels, [weights[0], weights[1], 0.2 * weights[2]])


def model_of(kernels: list[Array], weights: list[Array]) -> VGG7:
    """The network around the script's arrays: its kernels are flipped, its weights are (in, out)."""
    w1, w2, w3a, w3b, w4a, w4b = (kernel[::-1, ::-1] for kernel in kernels)
    params: Arrays = {
        "conv1.weight": w1[None, None],
        "conv2.weight": w2[None, None],
        "conv3.weight": np.stack([w3a, w3b])[:, None],
        "conv4.weight": np.stack([w4a, w4b])[:, None],
    }
    params |= {f"fc{number}.weight": weight.T for number, weight in enumerate(weights, 5)}
    return _scripted(params)


def replay(
    model: VGG7,
    train: Dataset,
    backprop: str = "true",
    epochs: int = EPOCHS,
    progress: Callable[[int, float], None] = lambda epoch, cost: None,
    step_costs: int = STEP_COSTS,
) -> Replay:
    """Train `model` in place, one image at a time in a fixed order. Raises ConfigError.

    `step_costs` of the first steps are kept one by one.

    The faults are put into the code of the whole process while this runs: train nothing beside it.
    """
    if backprop not in BACKPROPS:
        known = ", ".join(BACKPROPS)
        raise ConfigError("backprop", expected=f"one of {known}", found=backprop, fix="choose one")
    began = time.perf_counter()
    run = Replay(backprop, [], [])
    images, labels = train.images.astype(model.dtype), train.labels
    velocity = RATES.init(model.params)
    model.release()  # what was recorded has no faults
    faults = [mutant for mutant in CATALOGUE if mutant.name in BACKPROPS[backprop]]
    with ExitStack() as stack:
        stack.callback(model.release)  # what is recorded has them
        for fault in faults:
            for patch in fault.patches:  # which may be recorded and replayed: they compute nothing on the way
                stack.enter_context(patch.applied())
        stack.enter_context(np.errstate(over="ignore", invalid="ignore", divide="ignore"))
        for epoch in range(epochs):
            total = 0.0
            for step in range(len(labels)):
                one = slice(step, step + 1)
                done = model.train_step(images[one], labels[one], RATES, velocity)
                cost = binary_cost(done.probs, labels[one])
                total += cost
                if len(run.step_cost) < step_costs:
                    run.step_cost.append(cost)
            run.cost.append(total / len(labels))
            progress(epoch + 1, run.cost[-1])
    run.seconds = time.perf_counter() - began
    return run


def binary_cost(probs: Array, labels: Labels) -> float:
    """Sum over images and classes of -(y log p + (1 - y) log(1 - p)): the article reports this one.

    It descends the gradient of another, the categorical cross-entropy.
    """
    likely = 1 - probs
    rows = np.arange(len(labels))
    likely[rows, labels] = probs[rows, labels]
    return float(-np.log(likely).sum())


def ulp_apart(model: VGG7) -> VGG7:
    """The same model with every weight moved to the next larger number that there is."""
    return _scripted({name: np.nextafter(weight, np.inf) for name, weight in model.params.items()})


def _scripted(params: Arrays) -> VGG7:
    """The article's network, which adds up in the order of the article's script."""
    model = VGG7.from_params(VGG7Config.preset("article"), params)
    model.layers = in_script_order(model.layers)
    model.params = in_script_layout(model.params)
    return model
