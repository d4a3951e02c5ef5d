"""Runs batches in three rounds: the features (the layers up to `Flatten`) forward, the classifier (the other
layers) forward and backward, the features backward. Inference is the forward part of the first two.

In each round, threads take tasks, a range of images each. The gradients of several tasks are added up in the
order of the images, so no result depends on the scheduling.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from operator import is_
from typing import NamedTuple

import numpy as np

from numpy_vgg7 import functional
from numpy_vgg7.engine.gemm import FactoredGradient, Gradients, materialize
from numpy_vgg7.engine.kernels import KERNELS, Kernel, KernelTable, Linear
from numpy_vgg7.engine.layout import FeatureMaps
from numpy_vgg7.engine.plan import FORWARD, BatchPlan, Run, Task, add_gradients, run_kernel
from numpy_vgg7.engine.threads import ThreadPool, Work, run_in_order
from numpy_vgg7.engine.update import FusedSGD, step
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.limits import available_memory, require_memory
from numpy_vgg7.network import Layers, parameter_groups, trace_names
from numpy_vgg7.optim import SGD

SHARES = 4  # of the classifier's update, for each thread: the thread that finishes first takes the next one
# Numbers that NumPy copies at a time where its operands are not contiguous. With the default of 8,192 it
# copies rows that need no copy, and leaves the first-level cache.
BUFFER_SIZE = 2048
# Plans that are kept: for training and validation, each with a smaller last batch.
MAX_PLANS = 4

RunFor = Callable[[slice], Run]  # how to run the kernels for some images


class Result(NamedTuple):
    """What a batch gives. The arrays belong to the executor and may change with its next call."""

    loss: Array  # a scalar: the mean cross-entropy
    probs: Array  # (N, classes)
    gradients: Gradients  # by parameter name


class Executor:
    """Runs a network on batches of any size. Not for several threads at once."""

    def __init__(self, layers: Layers, threads: int = 1, kernels: KernelTable = KERNELS) -> None:
        self._layers, self._threads, self._kernels = layers, threads, kernels
        self._pool = ThreadPool(threads) if threads > 1 else None
        self._groups = parameter_groups(layers)
        self._plans: OrderedDict[tuple[object, ...], BatchPlan] = OrderedDict()
        self._params: list[Array] = []

    def logits(self, params: Arrays, x: Array) -> Array:
        """The output of the last layer, (N, classes), for images (N, 1, H, W)."""
        plan = self._plan(params, x, training=False)

        def classify(task: Task) -> None:
            (part,) = task.parts
            part.plan.forward()
            np.copyto(plan.logits[part.images], part.plan.out)

        with small_buffers():
            self._run([partial(_features_forward, plan, task, x) for task in plan.features])
            self._run([partial(classify, task) for task in plan.classifier])
        return plan.logits

    def forward_backward(
        self, params: Arrays, x: Array, labels: Labels, run_for: RunFor = lambda images: run_kernel
    ) -> Result:
        """Loss and gradients of a batch: images (N, 1, H, W), labels (N,). `run_for` can time the kernels."""
        plan = self._plan(params, x, training=True)
        return self._forward_backward(plan, x, labels, run_for=run_for)

    def train_step(
        self,
        params: Arrays,
        x: Array,
        labels: Labels,
        sgd: SGD,
        velocity: Arrays,
        lr_scale: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> Result:
        """`forward_backward` and a step of `sgd`, which changes `params` and `velocity`.

        Where several tasks share the classifier, its weights are updated during the features' backward pass,
        unless the norm of all gradients must be known before.
        """
        plan = self._plan(params, x, training=True)
        update = plan.update
        if update is None or not update.fits(sgd, velocity):
            shares = SHARES * self._threads if len(plan.classifier) > 1 else 1
            update = FusedSGD(sgd, params, plan.gradients, velocity, self._groups, shares)
            plan.update = update
        update.set_rates(lr_scale)
        concurrent = len(plan.classifier) > 1 and sgd.clip_norm is None
        during = update.fc_tasks() if concurrent else []
        result = self._forward_backward(plan, x, labels, during, label_smoothing=label_smoothing)
        with small_buffers():
            if sgd.clip_norm is not None:
                update.set_clip()
            step(update.conv)
            if not concurrent:
                self._run(update.fc_tasks())
        return result

    def trace(self, params: Arrays, x: Array, labels: Labels) -> Arrays:
        """Everything that the kernels compute for a batch, by the names of `network.trace`, as copies.

        The kernels run as in training; their results are copied before the next kernel overwrites them.
        """
        plan = self._new_plan(params, x, training=True, to_input=True)
        recorder = Recorder()
        result = self._forward_backward(plan, x, labels, run_for=recorder.run_for)
        gradients = {name: np.array(g) for name, g in materialize(result.gradients).items()}
        d_first = [(part.images.start, part.plan.d_x) for task in plan.features for part in task.parts]
        recorder.add("input.grad", [(start, as_nchw(d_x)) for start, d_x in d_first])
        found = params | recorder.joined() | {f"{name}.grad": g for name, g in gradients.items()}
        found |= {"input": x, "probs": result.probs, "loss": result.loss}
        return {name: np.array(found[name], order="C") for name in trace_names(self._layers)}

    def release(self) -> None:
        """Drop all plans, and with them their memory."""
        self._plans.clear()
        self._params = []

    def _plan(self, params: Arrays, x: Array, training: bool) -> BatchPlan:
        """The plan for batches of this shape. New parameter arrays need new plans."""
        current = list(params.values())
        if len(current) != len(self._params) or not all(map(is_, current, self._params)):
            self.release()
            self._params = current
        key = x.shape, training
        if key in self._plans:
            self._plans.move_to_end(key)
        else:
            self._plans[key] = self._new_plan(params, x, training)
            self._limit_memory()
        return self._plans[key]

    def _new_plan(self, params: Arrays, x: Array, training: bool, to_input: bool = False) -> BatchPlan:
        """A plan, which takes no memory before it is used. Raises ConfigError if there is not enough."""
        there = available_memory()
        plan = BatchPlan(self._layers, params, x.shape, self._threads, training, to_input, self._kernels)
        if plan.arena.size > there:
            there += sum(other.arena.size for other in self._plans.values())
            self._plans.clear()
            n, _, height, width = x.shape
            what = f"a batch of {n:,} {width}x{height} image" + ("s" if n > 1 else "")
            require_memory(what, plan.arena.size, "use smaller images or batches", there=there)
        return plan

    def _limit_memory(self) -> None:
        """Drop the least recently used plans until few are left, at most twice as large as the largest."""
        sizes = [plan.arena.size for plan in self._plans.values()]
        limit = 2 * max(sizes)
        while len(sizes) > MAX_PLANS or sum(sizes) > limit:
            self._plans.popitem(last=False)
            sizes.pop(0)

    def _forward_backward(
        self,
        plan: BatchPlan,
        x: Array,
        labels: Labels,
        extra_tasks: Sequence[Work] = (),
        run_for: RunFor = lambda images: run_kernel,
        label_smoothing: float = 0.0,
    ) -> Result:
        """The three rounds. `extra_tasks` need the classifier's gradients and run in the last round."""

        def classify(task: Task) -> None:
            (part,) = task.parts
            part.plan.forward(run_for(part.images))
            np.copyto(plan.logits[part.images], part.plan.out)
            plan.probs[part.images] = functional.softmax(plan.logits[part.images])
            d_logits = functional.cross_entropy_backward(
                plan.probs[part.images], labels[part.images], len(labels), label_smoothing
            )
            np.copyto(part.plan.d_out, d_logits)
            part.plan.backward(run_for(part.images))
            np.copyto(plan.d_flat[part.images], part.plan.d_x)
            _keep_factors(part.plan.kernels, plan.factors, part.images)

        def features_backward(task: Task) -> None:
            for part in task.parts:
                np.copyto(part.plan.d_out, plan.d_flat[part.images])
                part.plan.backward(run_for(part.images))
                if part is not task.parts[0]:
                    add_gradients(task.parts[0].plan.gradients, part.plan.gradients)

        with small_buffers():
            self._run([partial(_features_forward, plan, task, x, run_for) for task in plan.features])
            self._run([partial(classify, task) for task in plan.classifier])
            _add_tasks(plan.classifier)
            self._run([*(partial(features_backward, task) for task in plan.features), *extra_tasks])
            _add_tasks(plan.features)
        loss = functional.cross_entropy(plan.logits, labels, label_smoothing)
        return Result(loss, plan.probs, plan.gradients)

    def _run(self, tasks: Sequence[Work]) -> None:
        if self._pool and len(tasks) > 1:
            self._pool.run(tasks)
        else:
            run_in_order(tasks)


class small_buffers:  # noqa: N801 - used like a function
    """NumPy with buffers of BUFFER_SIZE numbers inside a block, in this thread and in the workers it uses."""

    # A class for the reason given in `blas.single_threaded`.

    def __enter__(self) -> None:
        self.before = np.setbufsize(BUFFER_SIZE)

    def __exit__(self, *exception: object) -> None:
        np.setbufsize(self.before)


def _features_forward(
    plan: BatchPlan, task: Task, x: Array, run_for: RunFor = lambda images: run_kernel
) -> None:
    task.prepare()
    for part in task.parts:
        np.copyto(part.plan.x.nchw, x[part.images])
        part.plan.forward(run_for(part.images))
        np.copyto(plan.flat[part.images], part.plan.out)


def _keep_factors(kernels: Sequence[Kernel], factors: dict[str, FactoredGradient], images: slice) -> None:
    """Copy the factors of some images' weight gradients to those of the whole batch."""
    for kernel in kernels:
        if isinstance(kernel, Linear):
            left, right = factors[f"{kernel.layer.name}.weight"]
            np.copyto(left[images], kernel.d_out)
            if not np.shares_memory(right, kernel.x):  # the first layer reads `flat`, which is its factor
                np.copyto(right[images], kernel.x)


def _add_tasks(tasks: Sequence[Task]) -> None:
    """Add up the gradients of all tasks in those of the first, which the plan hands out."""
    first, *others = (task.parts[0].plan.gradients for task in tasks)
    for other in others:
        add_gradients(first, other)


class Recorder:
    """Copies what kernels compute, by name and first image."""

    def __init__(self) -> None:
        self._found: dict[str, dict[int, Array]] = defaultdict(dict)

    def run_for(self, images: slice) -> Run:
        """Run the kernels for some images, and copy their outputs and the gradients that they are given."""

        def run(kernel: Kernel, method: str) -> None:
            name = kernel.layer.name
            if method != FORWARD:
                self._found[f"{name}.grad"].setdefault(images.start, as_nchw(kernel.d_out).copy())
            run_kernel(kernel, method)
            if method == FORWARD:
                self._found[name][images.start] = as_nchw(kernel.out).copy()

        return run

    def add(self, name: str, parts: Sequence[tuple[int, Array]]) -> None:
        """Add arrays by their first image."""
        self._found[name] = dict(parts)

    def joined(self) -> Arrays:
        """The arrays of all parts, in the order of the images."""
        return {
            name: np.concatenate([parts[start] for start in sorted(parts)])
            for name, parts in self._found.items()
        }


def as_nchw(data: FeatureMaps | Array) -> Array:
    """(N, C, H, W) of feature maps; other arrays as they are."""
    return data.nchw if isinstance(data, FeatureMaps) else data
