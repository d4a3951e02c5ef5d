"""VGG7, the model a user holds."""

import os
from collections.abc import Callable
from contextvars import copy_context
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import numpy as np

from numpy_vgg7 import blas
from numpy_vgg7.config import DTYPES, VGG7Config
from numpy_vgg7.engine.executor import Executor, Result
from numpy_vgg7.engine.gemm import materialize
from numpy_vgg7.errors import ConfigError, WeightsError
from numpy_vgg7.functional import Array, Arrays, Labels, softmax
from numpy_vgg7.inputs import as_images, as_labels
from numpy_vgg7.limits import MOST_THREADS, require_memory
from numpy_vgg7.network import initial_params, parameter_groups
from numpy_vgg7.optim import SGD
from numpy_vgg7.suggestions import instead

if TYPE_CHECKING:
    from numpy_vgg7.training.fit import Held, History, OnEpoch
    from numpy_vgg7.training.loop import Score

Found = TypeVar("Found")

# Images at a time, so that a large set needs no more memory than a batch; fewer where their arrays, which are
# as long as the batch, would take more bytes than this: for images of more than about 128x128 pixels.
INFERENCE_BATCH, INFERENCE_BYTES = 256, 2**28


def require_finite(outputs: Array) -> None:
    """Raise WeightsError unless all outputs of a network are finite: no class is the answer then."""
    if not np.isfinite(outputs).all():
        fix = "the parameters are not finite or too large: take those of a training that has not diverged"
        raise WeightsError("outputs of the network", "finite numbers", "NaN or infinity", fix)


class VGG7:
    """A VGG7 with its parameters.

    `params` maps PyTorch's names to arrays in PyTorch's layout ("conv1.weight" -> (out, in/groups, 3, 3),
    "fc5.weight" -> (out, in)). Images are (N, H, W) or (N, 1, H, W) with pixels in 0..1, or bytes up to
    255. Other forms are converted with an InputWarning, see `inputs.as_pixels`.

    A batch of more than a few images is split over `threads`. While it runs, the BLAS has one thread. Calls
    from several threads take turns. The memory for the last few batch sizes is kept until `release`.

    A KeyboardInterrupt leaves a model that can be used. One during a training step, as one in `fit`, leaves
    `params` and the velocity between those before and after the step; nothing else changes them. A forked
    process can use the model at once, whatever other threads did with it: a fork waits for their batches.
    """

    def __init__(self, config: VGG7Config, seed: int = 0, dtype: str = "float32", threads: int = 1) -> None:
        if not isinstance(config, VGG7Config):
            fix = 'give one, such as VGG7Config.preset("vgg7"); VGG7.load reads a file'
            raise ConfigError("config", "a VGG7Config", repr(config), fix)
        if dtype not in DTYPES:
            raise ConfigError("dtype", " or ".join(DTYPES), dtype, instead(dtype, DTYPES))
        if type(seed) is not int or seed < 0:
            raise ConfigError("seed", "a whole number >= 0", seed, "correct it")
        self.config = config
        self.seed = seed
        self.dtype = dtype
        self.layers = config.layers()
        count = config.parameter_count()
        fix = "use fewer channels or hidden units, or smaller images"
        require_memory(f"network of {count:,} parameters", 2 * count * np.dtype(dtype).itemsize, fix)
        self.params = initial_params(self.layers, seed, dtype)
        self._forget()
        self.threads = threads

    def __repr__(self) -> str:
        c = self.config
        shape = [f"{name} {'-'.join(map(str, getattr(c, name)))}" for name in ("channels", "hidden")]
        count = sum(parameter.size for parameter in self.params.values())
        images = f"{c.image_size}x{c.image_size} pixels, {c.classes} classes"
        return f"<VGG7: {images}, {', '.join(shape)}, {count:,} parameters, {self.dtype}>"

    @property
    def threads(self) -> int:
        """How many threads share a batch."""
        return self._threads

    @threads.setter
    def threads(self, count: int) -> None:
        if type(count) is not int or not 1 <= count <= MOST_THREADS:
            raise ConfigError("threads", f"a whole number from 1 to {MOST_THREADS}", count, "choose one")
        self._threads = count
        self.release()

    @property
    def parameter_groups(self) -> dict[str, list[str]]:
        """The names of the parameters with a learning rate of their own: "conv" and "fc"."""
        return parameter_groups(self.layers)

    def _forget(self) -> None:
        """Begin with no executor, and a lock that nobody holds."""
        self._lock = Lock()
        self._executor: Executor | None = None
        _models.add(self)

    def _new_executor(self) -> Executor:
        return Executor(self.layers, self.threads)

    def _exclusively(self, use: Callable[[Executor], Found]) -> Found:
        """Let only this thread use the executor, with a BLAS of one thread.

        After an interrupt or another error, arrays of the plans may be half written: the plans are dropped.
        What the executor changes of NumPy's settings ends with the copy of the context.
        """
        limit = blas.single_threaded()
        try:
            with self._lock, limit:
                self._executor = self._executor or self._new_executor()
                try:
                    return copy_context().run(use, self._executor)
                except BaseException:
                    self._executor.release()
                    raise
        finally:
            limit.end()  # again, in case an interrupt arrived before the end of the block began

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles have an executor and a lock of their own."""
        return {key: value for key, value in vars(self).items() if key not in ("_executor", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    def logits(self, images: Array) -> Array:
        """The last layer's output, (N, classes). Raises WeightsError where it is not finite."""
        x = as_images(images, self.config.image_size, self.dtype, whole_set=False)
        logits = np.concatenate([self.forward(x[some]) for some in self.inference_batches(len(x))])
        require_finite(logits)
        return logits

    def predict_proba(self, images: Array) -> Array:
        """The probability of each class, (N, classes); each row sums to 1."""
        return softmax(self.logits(images))

    def predict(self, images: Array) -> Labels:
        """The most probable class of each image, (N,)."""
        labels: Labels = self.logits(images).argmax(axis=1)
        return labels

    def loss_and_gradients(self, images: Array, labels: Array) -> tuple[float, Arrays]:
        """The mean cross-entropy of a batch and its gradients, keyed like `params`."""
        x, labels = self._batch(images, labels)

        def copied(executor: Executor) -> tuple[float, Arrays]:
            result = executor.forward_backward(self.params, x, labels)
            gradients = materialize(result.gradients)
            return float(result.loss), {name: np.array(gradients[name], order="C") for name in self.params}

        return self._exclusively(copied)

    def trace(self, images: Array, labels: Array) -> Arrays:
        """Everything that the engine computes for one batch, by name, in the order of computation.

        The names are those of `network.trace`, which computes the same by the definition.
        """
        x, labels = self._batch(images, labels)
        return self._exclusively(lambda executor: executor.trace(self.params, x, labels))

    def inference_batches(self, count: int) -> list[slice]:
        """`count` images in batches that take little memory, whatever the size of the images."""
        numbers = self.config.values_kept() * np.dtype(self.dtype).itemsize
        size = max(1, min(INFERENCE_BATCH, INFERENCE_BYTES // numbers))
        return [slice(start, start + size) for start in range(0, count, size)]

    def forward(self, x: Array) -> Array:
        """`logits` for callers whose images (N, 1, H, W) are already checked."""
        return self._exclusively(lambda executor: executor.logits(self.params, x).copy())

    def forward_backward(self, x: Array, labels: Labels) -> Result:
        """Loss and gradients for callers whose images and labels are already checked.

        The arrays of the result may be overwritten by the next call of any method.
        """
        return self._exclusively(lambda executor: executor.forward_backward(self.params, x, labels))

    def train_step(
        self,
        x: Array,
        labels: Labels,
        sgd: SGD,
        velocity: Arrays,
        lr_scale: float = 1.0,
        label_smoothing: float = 0.0,
    ) -> Result:
        """`forward_backward` and one step of `sgd`. Changes `params` and `velocity`."""
        return self._exclusively(
            lambda executor: executor.train_step(
                self.params, x, labels, sgd, velocity, lr_scale, label_smoothing
            )
        )

    def fit(
        self,
        images: Array,
        labels: Labels,
        *,
        validation: "Held" = None,
        test: "Held" = None,
        on_epoch: "OnEpoch | None" = None,
        settings: str = "default",
        **changes: Any,
    ) -> "History":
        """Train on images and labels, starting from the current weights, and return the history.

        images, labels: of any form that `train` accepts.
        validation: (images, labels), or the share of the images to hold out, such as 0.1. The model then
        ends with the weights of the epoch with the lowest smoothed validation loss, else with the last.
        test: the same for a test set, which is scored in the end.
        on_epoch: called with each `Epoch`, such as `print`.
        settings, changes: the training is `TrainingConfig.preset(settings, **changes)`, for example "fast"
        and `epochs=3`. The default of `seed` is that of the model.

        It is the loop of `numpy-vgg7 train`: the same data, seed and settings give the same weights. Raises
        DataError, ConfigError, and TrainingError if the loss is no longer finite.
        """
        from numpy_vgg7.training.fit import fit

        return fit(self, images, labels, validation, test, on_epoch, settings, changes)

    def evaluate(self, images: Array, labels: Labels) -> "Score":
        """The mean loss, the accuracy and the number of errors on a labelled set. Raises DataError."""
        from numpy_vgg7.training.fit import evaluate

        return evaluate(self, images, labels)

    def score(self, images: Array, labels: Labels) -> float:
        """The accuracy on a labelled set, in 0..1. Raises DataError."""
        return self.evaluate(images, labels).accuracy

    def release(self) -> None:
        """Return the memory that batches have used to the system."""
        with self._lock:
            self._executor = None

    def save(self, path: str | Path) -> None:
        """Write a safetensors file with the configuration, checksums and a probe inside."""
        from numpy_vgg7.weights import save

        save(Path(path), self)

    @classmethod
    def load(cls, path: str | Path) -> "VGG7":
        """Read a file that `save` wrote. Raises WeightsError if it is damaged or not complete."""
        from numpy_vgg7.weights import load

        return load(Path(path))

    @classmethod
    def from_params(cls, config: VGG7Config, params: Arrays, threads: int = 1) -> "VGG7":
        """A model around copies of existing parameters. Raises WeightsError if they don't fit."""
        from numpy_vgg7.weights import check_tensors

        check_tensors(params, config, "parameters")
        model = cls(config, dtype=next(iter(params.values())).dtype.name, threads=threads)
        model.params = {name: params[name].astype(model.dtype, order="C", copy=True) for name in model.params}
        return model

    def _batch(self, images: Array, labels: Array) -> tuple[Array, Labels]:
        x = as_images(images, self.config.image_size, self.dtype, whole_set=False)
        return x, as_labels(labels, len(x), self.config.classes)


_models: WeakSet[VGG7] = WeakSet()


def _after_fork() -> None:
    """Other threads, which may have held the lock of a model, do not exist in the new process."""
    for model in list(_models):
        model._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
