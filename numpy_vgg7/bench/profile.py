"""Where the time of a training step goes: the engine's kernels, timed one by one on one thread."""

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import NamedTuple

from numpy_vgg7 import blas
from numpy_vgg7.bench.measure import ROUNDS, WARM_UP
from numpy_vgg7.bench.rows import RATES, USUAL, Row
from numpy_vgg7.engine.executor import Executor, Result, small_buffers
from numpy_vgg7.engine.kernels import Kernel
from numpy_vgg7.engine.plan import BACKWARD_INPUT, BACKWARD_PARAMS, FORWARD, Run, run_kernel
from numpy_vgg7.engine.update import FusedSGD, step
from numpy_vgg7.functional import Arrays, Labels, cross_entropy, cross_entropy_backward, softmax
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import Layer, parameter_groups

# The names in the output of each method of a kernel, and of the SGD step.
UPDATE = "update"
WORK_OF = {FORWARD: "forward", BACKWARD_INPUT: "d_x", BACKWARD_PARAMS: "gradients", UPDATE: "update"}
WORKS = tuple(WORK_OF.values())


class Stage(NamedTuple):
    """A layer (or the loss), which of its WORKS, and the milliseconds that a step spends there."""

    layer: str
    work: str
    ms: float


def profile(row: Row = USUAL, rounds: int = ROUNDS) -> list[Stage]:
    """The stages of a training step in the order of the layers, medians over `rounds`."""
    images, labels = row.batches()[0]
    model = VGG7(row.config)
    executor = Executor(model.layers)
    velocity = RATES.init(model.params)
    updates: dict[str, FusedSGD] = {}
    spent: dict[tuple[str, str], list[float]] = defaultdict(list)
    with blas.single_threaded(), small_buffers():
        for _ in range(WARM_UP + rounds):
            timer = Timer()
            result = executor.forward_backward(model.params, images, labels, timer.run_for)
            time_loss(timer, result, labels)
            if not updates:
                updates = layer_updates(model, result, velocity)
            for name, update in updates.items():
                timer.time(name, UPDATE, partial(take_step, update))
            for stage, seconds in timer.seconds.items():
                spent[stage].append(seconds)
    layers = [*(layer.name for layer in model.layers), "loss"]
    methods = list(WORK_OF)
    ordered = sorted(spent, key=lambda stage: (layers.index(stage[0]), methods.index(stage[1])))
    return [
        Stage(name, WORK_OF[method], 1e3 * median(spent[name, method][WARM_UP:])) for name, method in ordered
    ]


class Timer:
    """Seconds by layer and method, summed over the shards of a step."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)

    def run_for(self, images: slice) -> Run:
        """How to run the kernels for some images: all alike."""
        return self.kernel

    def kernel(self, kernel: Kernel, method: str) -> None:
        """Run one pass of a kernel, see `engine.plan.Run`."""
        self.time(kernel.layer.name, method, lambda: run_kernel(kernel, method))

    def time(self, layer: str, method: str, call: Callable[[], object]) -> None:
        """Add the time of a call."""
        start = perf_counter()
        call()
        self.seconds[layer, method] += perf_counter() - start


def time_loss(timer: Timer, result: Result, labels: Labels) -> None:
    """Softmax and cross-entropy, which the executor takes from the definition, on arrays of the same size."""
    probs = result.probs
    timer.time("loss", FORWARD, lambda: (softmax(probs), cross_entropy(probs, labels)))
    timer.time("loss", BACKWARD_INPUT, lambda: cross_entropy_backward(probs, labels))


def layer_updates(model: VGG7, result: Result, velocity: Arrays) -> dict[str, FusedSGD]:
    """The step of each layer alone."""

    def update(layer: Layer) -> FusedSGD:
        names = [f"{layer.name}.{key}" for key in layer.shapes()]
        params = {name: model.params[name] for name in names}
        return FusedSGD(RATES, params, result.gradients, velocity, parameter_groups([layer]), shares=1)

    return {layer.name: update(layer) for layer in model.layers if layer.shapes()}


def take_step(update: FusedSGD) -> None:
    """One step, as the executor takes it on one thread."""
    update.set_rates(1.0)
    step(update.conv)
    for task in update.fc_tasks():
        task()
