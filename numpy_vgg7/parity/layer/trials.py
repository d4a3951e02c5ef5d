"""What `check_layer` gives to a layer: arrays in several shapes, with random and with extreme values."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from numpy_vgg7.errors import LayerError
from numpy_vgg7.functional import Array, Arrays, Labels

ELEMENTWISE = ("relu", "tanh", "arctan")
LOUD = 5  # the number of the trial with a large upstream gradient
LIKES = ("conv2d", "avg_pool2d", "linear", *ELEMENTWISE, "softmax_cross_entropy")


@dataclass(frozen=True, eq=False)
class Trial:
    """The arguments of one call, in float64: `params` by the user's names, in the user's shapes.

    `roles` maps "weight", "bias" and "labels" to the user's names. `own` is what the layer's own forward pass
    handed to its backward pass: the output of an activation, or the probabilities of a softmax.
    """

    like: str | None
    x: Array
    params: Arrays = field(default_factory=dict)
    roles: dict[str, str] = field(default_factory=dict)
    d_out: Array = field(default_factory=lambda: np.ones(()))  # of a scalar output, 1
    own: Array | None = None
    in_out: bool = False  # the weight of a linear layer is (in, out)
    fortran: bool = False  # arrays are passed in Fortran order
    underflow: bool = False  # the probabilities of some classes are 0

    @property
    def title(self) -> str:
        """The shapes, for messages."""
        return ", ".join(f"{name} {array.shape}" for name, array in {"x": self.x, **self.params}.items())

    @property
    def w(self) -> Array:
        """The weight in PyTorch's layout."""
        weight = self.params[self.roles["weight"]]
        return np.asarray(weight.T if self.in_out else weight)

    @property
    def b(self) -> Array:
        """The bias, (O,); zeros where the layer has none."""
        name = self.roles.get("bias")
        return np.zeros(len(self.w)) if name is None else self.params[name].reshape(-1)

    @property
    def labels(self) -> Labels:
        """Class indices, (N,)."""
        labels = self.params[self.roles["labels"]]
        return np.asarray(labels.argmax(axis=1) if labels.ndim == 2 else labels)

    @property
    def one_hot(self) -> Array:
        """1 at the label of each row, else 0: (N, K)."""
        return np.asarray(np.arange(self.x.shape[1]) == self.labels[:, None], dtype=np.float64)

    @property
    def n(self) -> int:
        """The batch size."""
        return len(self.x)

    @property
    def groups(self) -> int:
        """The groups of a convolution."""
        return int(self.x.shape[1] // self.w.shape[1])


def trial_of(like: str | None, x: Array, params: Arrays) -> Trial:
    """The arguments as they were given, with the role of each parameter.

    LayerError if the shapes are not those of a layer like `like`.
    """
    roles: dict[str, str] = {}
    for name, array in params.items():
        if like in ("conv2d", "linear"):
            full = 4 if like == "conv2d" else 2
            is_weight = array.ndim == full and "weight" not in roles
            roles["weight" if is_weight else "bias"] = name
        elif like == "softmax_cross_entropy":
            roles["labels"] = name
    trial = Trial(like, x, params, roles)
    wrong = _complaint(trial)
    if wrong:
        raise LayerError(f"check_layer, like {like}", wrong, trial.title, "pass arrays with these shapes")
    if like == "linear":
        weight = params[roles["weight"]]
        trial = replace(trial, in_out=weight.shape[1] != x.shape[1])
    return trial


def _complaint(trial: Trial) -> str:
    """What was expected of the shapes, if they are not that."""
    x, params, roles = trial.x, trial.params, trial.roles
    if trial.like == "conv2d":
        weight = params.get(roles.get("weight", ""))
        good = x.ndim == 4 and weight is not None and weight.shape[2:] == (3, 3)
        good = good and weight is not None and x.shape[1] % weight.shape[1] == 0
        good = good and weight is not None and len(weight) % (x.shape[1] // weight.shape[1]) == 0
        outputs = 0 if weight is None else len(weight)
        words = "x (N, C, H, W), a weight (O, C/groups, 3, 3), and possibly a bias (O,)"
    elif trial.like == "linear":
        weight = params.get(roles.get("weight", ""))
        good = x.ndim == 2 and weight is not None and x.shape[1] in weight.shape
        outputs = 0 if weight is None else weight.shape[0 if weight.shape[1] == x.shape[-1] else 1]
        words = "x (N, I), a weight (O, I) or (I, O), and possibly a bias (O,)"
    elif trial.like == "avg_pool2d":
        good = x.ndim == 4 and x.shape[2] % 2 == x.shape[3] % 2 == 0 and not params
        outputs, words = 0, "x (N, C, H, W) with H and W even, and no parameters"
    elif trial.like in ELEMENTWISE:
        good, outputs, words = x.ndim >= 1 and not params, 0, "x of at least one axis, and no parameters"
    elif trial.like == "softmax_cross_entropy":
        labels = params.get(roles.get("labels", ""))
        good = x.ndim == 2 and len(params) == 1 and labels is not None
        good = good and labels is not None and labels.shape in ((len(x),), x.shape)
        good = good and labels is not None and _are_labels(labels, x.shape[1])
        outputs, words = 0, "logits (N, K), and params={'labels': integers in 0..K-1 (N,) or one-hot (N, K)}"
    else:
        return ""
    if "bias" in roles:
        good = good and len(params) == 2 and params[roles["bias"]].size == outputs
    elif "weight" in roles:
        good = good and len(params) == 1
    return "" if good and x.size else words


def _are_labels(labels: Array, classes: int) -> bool:
    if labels.ndim == 2:
        return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())
    whole = np.issubdtype(labels.dtype, np.integer)
    return bool(whole and labels.min() >= 0 and labels.max() < classes)


def trials(given: Trial, dtype: np.dtype, seed: int) -> list[Trial]:
    """The given arguments, then others of the same shapes, then other shapes and extreme values.

    Every number is representable in `dtype`.
    """
    like = given.like
    rng = np.random.default_rng([seed, 11])
    if like is None:
        made = list(_nearby(given, rng))
    elif like == "softmax_cross_entropy":
        sizes = [given.x.shape, (3, 5), (4, 4), (1, 6), (5, 2), (7, 3)]
        made = [given, *(_logits(given, shape, rng) for shape in sizes), *_extreme_logits(given, rng)]
        made.append(_spread_out(_logits(given, (6, 5), rng)))
    else:
        made = [given, *(_random(given, shape, rng) for shape in _shapes(given))]
        made.append(replace(made[2], fortran=True))
        if like in ELEMENTWISE:
            large = np.array([-1e3, -20, -7, -0.5, 0, 0.5, 7, 20, 1e3, -12, 12, 40])
            shape = (len(large),) if given.x.ndim == 1 else (3, 4) + (1,) * (given.x.ndim - 2)
            made.append(replace(given, x=large.reshape(shape)))
    for index, trial in enumerate(made):
        if like not in (None, "softmax_cross_entropy"):
            size = 100 if index == LOUD else 1  # large gradients show that they are cut off
            made[index] = replace(trial, d_out=size * rng.standard_normal(out_shape(trial)))
        made[index] = _rounded(made[index], dtype)
    return made


def out_shape(trial: Trial) -> tuple[int, ...]:
    """The shape of the output of a layer like `trial.like`."""
    shape = trial.x.shape
    if trial.like == "conv2d":
        return (shape[0], len(trial.w), *shape[2:])
    if trial.like == "linear":
        return (shape[0], len(trial.w))
    if trial.like == "avg_pool2d":
        return (*shape[:2], shape[2] // 2, shape[3] // 2)
    return () if trial.like == "softmax_cross_entropy" else shape


def _rounded(trial: Trial, dtype: np.dtype) -> Trial:
    def rounded(array: Array) -> Array:
        exact = np.issubdtype(array.dtype, np.integer)
        return array if exact else array.astype(dtype).astype(np.float64)

    params = {name: rounded(array) for name, array in trial.params.items()}
    return replace(trial, x=rounded(trial.x), params=params, d_out=rounded(trial.d_out))


def _shapes(given: Trial) -> list[tuple[int, ...]]:
    """Shapes of x, for layers with a weight followed by the number of outputs.

    First the given one, then one with pairwise different sizes, one with equal sizes, a batch of one, and
    another.
    """
    if given.like == "conv2d":
        g = given.groups
        other = [size for size in range(3, 30) if size not in (2 * g, 3 * g)]
        same = g * math.ceil(4 / g)
        return [
            (*given.x.shape, len(given.w)),
            (other[0], 2 * g, other[1], other[2], 3 * g),
            (same,) * 5,
            (1, 3 * g, 5, 4, 2 * g),
            (5, g, 3, 6, 4 * g),
        ]
    if given.like == "avg_pool2d":
        return [given.x.shape, (3, 2, 4, 6), (4, 4, 4, 4), (1, 3, 6, 4), (5, 1, 2, 8)]
    if given.like == "linear":
        return [(*given.x.shape, len(given.w)), (3, 5, 4), (4, 4, 4), (1, 6, 2), (5, 2, 7)]
    axes = given.x.ndim
    sizes = [(7, 4, 5, 3), (4, 4, 4, 4), (1, 9, 3, 5), (5, 8, 2, 3)]
    return [given.x.shape, *((*shape, 2, 3, 2, 3)[:axes] for shape in sizes)]


def _random(given: Trial, shape: tuple[int, ...], rng: np.random.Generator) -> Trial:
    """Random arguments of the given shape."""
    if given.like in ("conv2d", "linear"):
        *of_x, outputs = shape
        x = rng.standard_normal(of_x)
        inner = (of_x[1] // given.groups, 3, 3) if given.like == "conv2d" else (of_x[1],)
        weight = rng.standard_normal((outputs, *inner))
        params = {}
        for role, name in given.roles.items():
            if role == "weight":
                params[name] = np.ascontiguousarray(weight.T) if given.in_out else weight
            else:
                params[name] = rng.standard_normal(outputs).reshape(_bias_shape(given.params[name], outputs))
        params = {name: params[name] for name in given.params}
        return replace(given, x=x, params=params)
    x = rng.standard_normal(shape)
    if given.like == "relu":
        x *= 4
        x.flat[::5] = 0
    elif given.like in ELEMENTWISE:
        x *= 1.5
    return replace(given, x=x)


def _bias_shape(bias: Array, outputs: int) -> tuple[int, ...]:
    """(O,), (1, O), (O, 1, 1) or (1, O, 1, 1) with another number of outputs."""
    axis = {1: 0, 2: 1, 3: 0, 4: 1}[bias.ndim]
    return tuple(outputs if number == axis else 1 for number in range(bias.ndim))


def _with_labels(given: Trial, x: Array, labels: Labels) -> Trial:
    (name,) = given.params
    old = given.params[name]
    if old.ndim == 2:
        labels = (np.arange(x.shape[1]) == labels[:, None]).astype(old.dtype)
    return replace(given, x=x, params={name: labels.astype(old.dtype)})


def _logits(given: Trial, shape: tuple[int, ...], rng: np.random.Generator) -> Trial:
    return _with_labels(given, 2 * rng.standard_normal(shape), rng.integers(0, shape[1], shape[0]))


def _spread_out(trial: Trial) -> Trial:
    """Logits of some tens: probabilities down to exp(-30) show what is added to them, or a limit."""
    x = 4 * trial.x
    for row, below in enumerate((30, 20, 10)):
        x[row, trial.labels[row]] = x[row].max() - below
    return replace(trial, x=x)


def _extreme_logits(given: Trial, rng: np.random.Generator) -> Iterator[Trial]:
    """Logits near 1000, near -1000, and both in a batch; each label has a probability that is not tiny."""
    labels = rng.integers(0, 5, 4)
    near = rng.standard_normal((4, 5))
    yield _with_labels(given, near + 1000, labels)
    yield _with_labels(given, near + np.array([[1000], [-1000], [0], [-1000]]), labels)
    spread = np.full((4, 5), -1000.0)
    spread[np.arange(4), labels] = 1000
    yield replace(_with_labels(given, spread, labels), underflow=True)


def _nearby(given: Trial, rng: np.random.Generator) -> Iterator[Trial]:
    """Arguments near the given ones, where the layer is unknown: its domain may be limited.

    They are moved a little, since there is no derivative at a kink. Rows are repeated for other batch sizes.
    """

    def moved(array: Array) -> Array:
        if np.issubdtype(array.dtype, np.integer) or (array is not given.x and np.isin(array, (0, 1)).all()):
            return array  # labels, one-hot labels, masks
        step = rng.standard_normal(array.shape)
        scale = float(np.abs(array).max(initial=0)) or 1.0
        at_zero = np.abs(step) if array.min(initial=0) >= 0 else step
        return np.where(array == 0, 0.05 * scale * at_zero, array * (1 + 0.02 * np.clip(step, -4, 4)))

    def of_rows(rows: Array) -> Trial:
        x = moved(given.x)
        x = x[rows] if len(rows) else x
        params = {}
        for name, array in given.params.items():
            whole = np.issubdtype(array.dtype, np.integer)
            per_row = array.shape == given.x.shape or (whole and array.shape[:1] == given.x.shape[:1])
            params[name] = array[rows] if per_row and len(rows) else moved(array)
        return replace(given, x=x, params=params)

    yield of_rows(np.arange(0))
    yield of_rows(np.arange(0))
    if given.x.ndim >= 2:
        yield of_rows(np.zeros(1, dtype=int))
        yield of_rows(np.arange(given.n + 2) % given.n)
