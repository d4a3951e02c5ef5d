"""A classifier for scikit-learn: `VGG7Classifier`, whose training is that of `VGG7.fit`."""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from joblib.parallel import get_active_backend
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_non_negative, validate_data

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.data import Dataset, Splits
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.functional import Array, Labels, log_softmax, softmax
from numpy_vgg7.inputs import SMALLEST
from numpy_vgg7.model import VGG7
from numpy_vgg7.training import loop
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.fit import run

# The settings of `TrainingConfig` that are parameters; there is no validation set that `patience` could use.
SETTINGS = [field.name for field in fields(TrainingConfig) if field.name not in ("seed", "patience")]
ARCHITECTURE = ("channels", "hidden")
DIGEST = 16  # bytes that identify a row


class VGG7Classifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A VGG7 as a classifier of scikit-learn.

    `X` is (n, height, width), with one channel before or after these two, or (n, features); `y` has labels of
    any kind.

    image_shape: (height, width) of the images in rows of features. By default, rows of 16, 25, 36, ...
    features are square images, and all others are no images. Images are centred in the smallest square whose
    side is a multiple of 4. Features that are no image fill such a square row by row and are not augmented.
    pixel_range: the values that become 0, which is black, and 1; by default the extremes of `X` in `fit`, or
    in the first call of `partial_fit`. Images should be light on dark.
    preset: of `VGG7Config`; channels, hidden: changes to it.
    dtype: "float32" or "float64".
    random_state: for the initial weights, the order of the rows and the augmentation.
    n_jobs: threads. There is one in a job of joblib, such as one of `GridSearchCV(n_jobs=2)`.
    verbose: print each epoch of `fit`.

    The others are settings of `TrainingConfig`, with its defaults except for the augmentation. All parameters
    are checked in `fit`, which raises ValueError.

    Attributes after `fit`: model_, the `VGG7`; classes_; n_features_in_; feature_names_in_, if `X` has names
    of features; image_shape_, None if the features are no image; pixel_range_; loss_curve_, the mean training
    loss of each epoch; n_iter_, the number of epochs.
    """

    def __init__(
        self,
        preset: str = "vgg7",
        *,
        channels: Sequence[int] | None = None,
        hidden: Sequence[int] | None = None,
        image_shape: tuple[int, int] | None = None,
        pixel_range: tuple[float, float] | None = None,
        epochs: int = 60,
        batch_size: int = 32,
        lr_conv: float = 0.05,
        lr_fc: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 5e-4,
        augment: bool = True,
        augmentation: str = "strong",
        schedule: str = "one-cycle",
        nesterov: bool = True,
        decay_biases: bool = True,
        label_smoothing: float = 0.0,
        clip_norm: float | None = None,
        average: int = 0,
        dtype: str = "float32",
        random_state: int | np.random.RandomState | None = None,
        n_jobs: int | None = None,
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.channels = channels
        self.hidden = hidden
        self.image_shape = image_shape
        self.pixel_range = pixel_range
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr_conv = lr_conv
        self.lr_fc = lr_fc
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.augment = augment
        self.augmentation = augmentation
        self.schedule = schedule
        self.nesterov = nesterov
        self.decay_biases = decay_biases
        self.label_smoothing = label_smoothing
        self.clip_norm = clip_norm
        self.average = average
        self.dtype = dtype
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> "VGG7Classifier":
        """Train a new network. Raises ValueError, and TrainingError if the loss is no longer finite.

        Equal rows with one label count as one row with the sum of their weights, so a weight of 2 is exactly
        the row twice. An epoch draws as many rows as are different, each in proportion to its weight. A
        training that has not learned is a ConvergenceWarning.
        """
        X, y, weights = self._validated(X, y, sample_weight, reset=True)
        self.classes_, labels = np.unique(y, return_inverse=True)
        config = self._start(X)
        self.__dict__.pop("_state", None)
        data = self._dataset(X, labels, weights)
        none = data.take(labels[:0])
        history = run(self.model_, Splits(data, none, none), config, print if self.verbose else None)
        self.loss_curve_ = [row.train_loss for row in history.epochs]
        self.n_iter_ = len(history.epochs)
        if not history.learned:
            warnings.warn(
                "Nothing was learned: the training loss ended no lower than guessing by the frequency of the "
                "classes. Try other learning rates or more epochs.",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> "VGG7Classifier":
        """Train for one more epoch on these rows, with constant learning rates.

        The first call needs all `classes`, unless `fit` was called before. Rows and weights are as in `fit`.
        Raises ValueError, and TrainingError if the loss is no longer finite.
        """
        first = not hasattr(self, "model_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit.")
        if not first and classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"`classes={classes!r}` is not the same as on last call to partial_fit, was: "
                f"{self.classes_!r}"
            )
        X, y, weights = self._validated(X, y, sample_weight, reset=first)
        known = np.unique(classes) if first else self.classes_
        present = np.unique(y)
        if not np.isin(present, known).all():
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {known}. 'y' has {present}."
            )
        self.classes_ = known
        config = self._start(X) if first else self._training(self.model_.seed)
        if not hasattr(self, "_state"):
            self._state = loop.start(self.model_, config)
            self.loss_curve_ = []
        self.n_iter_ = len(self._state.history) + 1
        config = replace(config, epochs=self.n_iter_, schedule="constant", average=0)
        data = self._dataset(X, np.searchsorted(known, y), weights)
        none = data.take(data.labels[:0])
        for _ in loop.train(self.model_, Splits(data, none, none), config, self._state, lambda *batch: None):
            self.loss_curve_.append(self._state.history[-1].train_loss)
        return self

    def predict(self, X: Any) -> Array:
        """The most probable class of each row, (n,)."""
        best = self._logits(X).argmax(axis=1)
        predicted: Array = self.classes_[best]
        return predicted

    def predict_proba(self, X: Any) -> Array:
        """The probability of each class, (n, classes), in the order of `classes_`."""
        return softmax(self._logits(X))

    def predict_log_proba(self, X: Any) -> Array:
        """The logarithm of `predict_proba`."""
        return log_softmax(self._logits(X))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _validated(self, X: Any, y: Any, sample_weight: Any, reset: bool) -> tuple[Array, Array, Array]:
        """Rows, class labels and weights, without rows of weight 0."""
        X, shape = flattened(X)
        X, y = validate_data(self, X, y, reset=reset)
        check_classification_targets(y)
        if reset:
            self.image_shape_ = self._find_image_shape(X.shape[1], shape)
        self._check_shape(shape)
        weights = np.ones(len(X))
        if sample_weight is not None:
            weights = check_array(
                sample_weight, ensure_2d=False, dtype=np.float64, input_name="sample_weight"
            )
            if weights.shape != (len(X),):
                raise ValueError(f"sample_weight.shape == {weights.shape}, expected {(len(X),)}!")
            check_non_negative(weights, "`sample_weight`")
            if not weights.any():
                raise ValueError("Sample weights must contain at least one non-zero number.")
        used = weights > 0
        return (X, y, weights) if used.all() else (X[used], y[used], weights[used])

    def _find_image_shape(self, features: int, shape: tuple[int, int] | None) -> tuple[int, int] | None:
        """The height and width of the images; None if the features are no image."""
        if self.image_shape is None:
            side = math.isqrt(features)
            square = (side, side) if side >= SMALLEST and side * side == features else None
            return shape or square
        given = np.shape(self.image_shape) == (2,) and tuple(map(int, self.image_shape))
        if not given or min(given) < 1 or math.prod(given) != features:
            raise ValueError(
                "The 'image_shape' parameter of VGG7Classifier must be a pair (height, width) with a product "
                f"of {features}, the number of features. Got {self.image_shape!r} instead."
            )
        return given[0], given[1]

    def _check_shape(self, shape: tuple[int, int] | None) -> None:
        if shape and shape != self.image_shape_:
            raise ValueError(
                f"X has images of shape {shape}, but VGG7Classifier is expecting images of shape "
                f"{self.image_shape_}."
            )

    def _start(self, X: Array) -> TrainingConfig:
        """Make the model for these rows and `classes_`, and return the settings of its training."""
        if len(self.classes_) < 2:
            raise ValueError(
                "VGG7Classifier needs samples of at least 2 classes in the data, but the data contains only "
                f"one class: {self.classes_[0]!r}"
            )
        self.pixel_range_ = self._find_pixel_range(X)
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        config = self._training(seed)
        height, width = self.image_shape_ or (math.isqrt(X.shape[1] - 1) + 1,) * 2
        changes = {
            name: plain(getattr(self, name)) for name in ARCHITECTURE if getattr(self, name) is not None
        }
        with parameter_errors():
            network = VGG7Config.preset(
                self.preset, image_size=-(-max(height, width) // 4) * 4, classes=len(self.classes_), **changes
            )
            self.model_ = VGG7(network, seed, self.dtype, self._threads())
        return config

    def _training(self, seed: int) -> TrainingConfig:
        """The settings of the training."""
        settings = {name: plain(getattr(self, name)) for name in SETTINGS}
        with parameter_errors():
            config = TrainingConfig(seed=seed, **settings)
        return config if self.image_shape_ else replace(config, augment=False)

    def _threads(self) -> int:
        """`n_jobs`, or 1 in a job of joblib, whose other jobs use the other cores."""
        backend, _ = get_active_backend()
        return 1 if backend.nesting_level else effective_n_jobs(self.n_jobs)

    def _find_pixel_range(self, X: Array) -> tuple[float, float]:
        if self.pixel_range is None:
            return float(X.min()), float(X.max())
        given = np.shape(self.pixel_range) == (2,) and tuple(map(float, self.pixel_range))
        if not given or not -math.inf < given[0] < given[1] < math.inf:
            raise ValueError(
                "The 'pixel_range' parameter of VGG7Classifier must be None or a pair of increasing numbers. "
                f"Got {self.pixel_range!r} instead."
            )
        return given[0], given[1]

    def _dataset(self, X: Array, labels: Labels, weights: Array) -> Dataset:
        """The training set of the loop."""
        X, labels, different = distinct(X, labels, weights)
        return Dataset("X", self._images(X), labels, len(self.classes_), weights=different)

    def _images(self, X: Array) -> Array:
        """The images (n, 1, size, size) of rows of features."""
        low, high = self.pixel_range_
        size = self.model_.config.image_size
        positions = np.arange(X.shape[1])
        if self.image_shape_:
            top, left = ((size - side) // 2 for side in self.image_shape_)
            height, width = self.image_shape_
            pixels = np.arange(size * size).reshape(size, size)
            positions = pixels[top : top + height, left : left + width].ravel()
        images = np.zeros((len(X), size * size), self.model_.dtype)
        for some in self.model_.inference_batches(len(X)):
            images[some, positions] = (X[some] - low) / ((high - low) or 1)
        return images.reshape(-1, 1, size, size)

    def _logits(self, X: Any) -> Array:
        check_is_fitted(self, "model_")
        X, shape = flattened(X)
        X = validate_data(self, X, reset=False)
        self._check_shape(shape)
        batches = self.model_.inference_batches(len(X))
        return np.concatenate([self.model_.forward(self._images(X[some])) for some in batches])


def flattened(X: Any) -> tuple[Any, tuple[int, int] | None]:
    """Images as rows, and their height and width; everything but images as it is, and None."""
    if isinstance(X, (list, tuple)):
        X = np.asarray(X)
    if getattr(X, "ndim", 2) not in (3, 4):
        return X, None
    X = np.asarray(X)
    if X.ndim == 4:
        channel = 1 if X.shape[1] == 1 else 3
        if X.shape[channel] != 1:
            raise ValueError(
                f"Found array with shape {X.shape}. VGG7Classifier expected images with one channel: "
                "(n, height, width), (n, 1, height, width) or (n, height, width, 1)."
            )
        X = X.squeeze(channel)
    return X.reshape(len(X), -1), X.shape[1:]


def distinct(X: Array, labels: Labels, weights: Array) -> tuple[Array, Labels, Array | None]:
    """Every row and label once, with the sum of its weights; None for weights that are equal.

    The result does not depend on the order of the rows, but if all differ and have equal weights, they keep
    their order.
    """
    zero = X.dtype.type(0)  # its sum with -0 is 0: equal numbers get equal bytes
    digests = [
        blake2b((row + zero).tobytes() + label.tobytes(), digest_size=DIGEST).digest()
        for row, label in zip(X, labels, strict=True)
    ]
    keys = np.frombuffer(b"".join(digests), f"V{DIGEST}")
    _, first, index = np.unique(keys, return_index=True, return_inverse=True)
    if len(first) == len(X) and (weights == weights[0]).all():
        return X, labels, None
    sums = np.bincount(index, weights)
    return X[first], labels[first], None if (sums == sums[0]).all() else sums


def plain(value: Any) -> Any:
    """NumPy's numbers and arrays, which grids of parameters have, as Python's."""
    return value.tolist() if isinstance(value, (np.generic, np.ndarray)) else value


@contextmanager
def parameter_errors() -> Iterator[None]:
    """ConfigError as the ValueError that scikit-learn raises for an invalid parameter."""
    try:
        yield
    except ConfigError as error:
        raise ValueError(
            f"The {error.what!r} parameter of VGG7Classifier must be {error.expected}. "
            f"Got {error.found} instead."
        ) from error
