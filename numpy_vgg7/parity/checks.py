"""The kinds of checks, each with what it alone can see. `parity prove` shows that all of them are needed."""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from numpy_vgg7.config import VGG7Config
from numpy_vgg7.errors import VGG7Error
from numpy_vgg7.functional import Array, Arrays, cross_entropy, cross_entropy_backward, softmax
from numpy_vgg7.model import VGG7
from numpy_vgg7.network import Layer, forward, layer_params
from numpy_vgg7.parity.case import Case, product_trace, random_case, random_model
from numpy_vgg7.parity.compare import compare
from numpy_vgg7.parity.complex_step import complex_step, local_complex_step
from numpy_vgg7.parity.localise import Culprit, localise
from numpy_vgg7.parity.rounding import rounding_errors

Referee = Callable[[Case], Arrays]  # the trace that a case should have, by an independent implementation
ULPS = 4  # by which a row of softmax may miss 1
ENTRIES = 4  # of each parameter, for the complex step


class Finding(NamedTuple):
    """Something that a check saw: which tensor, and the place that it blames if it knows."""

    tensor: str
    culprit: Culprit | None = None


@dataclass(frozen=True)
class Suite:
    """The cases of one seed: architectures that complement each other, random numbers in them."""

    seed: int
    referee: Referee

    def case(self, config: VGG7Config, batch: int, dtype: str = "float64") -> Case:
        """A case of this seed."""
        return random_case(random_model(config, self.seed, dtype), batch, self.seed)

    def uneven(self, dtype: str = "float64", batch: int = 5) -> Case:
        """Dimensions pairwise different, so that a wrong axis is a mismatch; groups; the arctan."""
        config = VGG7Config(
            image_size=12,
            classes=7,
            channels=(3, 4, 6, 8),
            groups=(1, 1, 2, 1),
            hidden=(11, 9),
            activations=("relu", "relu", "relu", "relu", "tanh", "tanh", "arctan"),
        )
        return self.case(config, batch, dtype)

    def even(self) -> Case:
        """Dimensions all equal, so that a wrong axis shows in nothing but the numbers."""
        return self.case(VGG7Config(image_size=8, classes=16, channels=(4,) * 4, hidden=(16, 16)), 4)

    def single(self) -> Case:
        """One image: what is wrong only where a batch is no batch."""
        return self.case(VGG7Config(image_size=8, channels=(2, 3, 4, 5), hidden=(6, 7)), 1)

    def article(self) -> Case:
        """The article's channels, where conv1 and conv2 have one shape, and no biases."""
        config = VGG7Config.preset("article", image_size=8, hidden=(12, 10))
        return self.case(config, 3)

    def kinks(self) -> Case:
        """Pre-activations that are exactly zero (black pixels, no bias), and a dead channel."""
        case = self.even()
        for name, parameter in case.model.params.items():
            if name.startswith("conv") and name.endswith("bias"):
                parameter[:] = 0
        case.model.params["conv3.bias"][0] = -100
        images = case.images.copy()
        images[:, :, :, images.shape[3] // 2 :] = 0
        return replace(case, images=images)


def values_and_gradients(suite: Suite) -> Iterator[Finding]:
    """float64 trace: every value and gradient against the referee."""
    for case in (suite.uneven(), suite.even(), suite.single(), suite.article()):
        yield from _mismatches(case, suite.referee(case), ("value", "gradient"))


def optimiser_step(suite: Suite) -> Iterator[Finding]:
    """Optimiser step: every parameter after one step and after ten, where the gradients are right."""
    for case in (suite.uneven(), suite.article()):
        findings = list(_mismatches(case, suite.referee(case), ("value", "gradient", "update")))
        if all(".step" in finding.tensor for finding in findings):  # else the gradients are to blame
            yield from findings


def kinks(suite: Suite) -> Iterator[Finding]:
    """Kinks: the float64 trace where ReLU has no derivative."""
    case = suite.kinks()
    yield from _mismatches(case, suite.referee(case), ("value", "gradient"))


def complex_steps(suite: Suite) -> Iterator[Finding]:
    """Complex step: gradients by a referee that shares nothing with the other one."""
    case = suite.uneven()
    for name in local_complex_step(case, suite.seed):
        yield Finding(name, Culprit(f"{name} backward", name, "fails the complex step of its layer alone"))
    for checked in complex_step(case, suite.seed, ENTRIES):
        if not checked.passed:
            yield Finding(f"{checked.name}.grad")


def rounding(suite: Suite) -> Iterator[Finding]:
    """float32 lane: rounding errors against the referee's."""
    case = suite.uneven("float32", batch=32)
    for found in rounding_errors(case, suite.referee):
        if not found.passed:
            place = f"{found.name.split('.')[0]} {'backward' if '.grad' in found.name else 'forward'}"
            words = f"{found.name} rounds {found.ratio:.1f} times as coarsely as the referee's"
            yield Finding(found.name, Culprit(place, found.name, words))


def extreme_logits(suite: Suite) -> Iterator[Finding]:
    """Extreme logits: softmax and cross-entropy stay finite, sum to 1 and ignore a common shift."""
    rng = np.random.default_rng([suite.seed, 4])
    for dtype in ("float32", "float64"):
        logits = rng.integers(-10_000, 10_000, (5, 7)).astype(dtype)
        labels = rng.integers(7, size=5)
        with np.errstate(all="ignore"):
            probs, loss = softmax(logits), cross_entropy(logits, labels)
            shifted = softmax(logits + 4096)
        sums_off = np.abs(probs.sum(axis=1) - 1).max() > ULPS * np.finfo(dtype).eps
        if not np.isfinite(probs).all() or not np.isfinite(loss) or sums_off:
            yield Finding("probs", Culprit("loss forward", "probs", "is not finite for large logits"))
        elif not np.array_equal(probs, shifted):
            words = "changes when a constant is added to all logits"
            yield Finding("probs", Culprit("loss forward", "probs", words))


def purity(suite: Suite) -> Iterator[Finding]:
    """Purity: nothing is changed, shared or left over from another batch."""
    for case in (suite.even(), suite.single()):
        rng = np.random.default_rng([suite.seed, 5])
        tape = forward(case.model.layers, case.model.params, case.images)
        inputs = [case.images, *(step.out for step in tape)]
        for step, x in zip(tape, inputs, strict=False):
            own = layer_params(step.layer, case.model.params)
            d_out = rng.standard_normal(step.out.shape)
            for direction, words in _impurities(step.layer, own, x, d_out):
                place = f"{step.layer.name} {direction}"
                yield Finding(step.layer.name, Culprit(place, step.layer.name, words))
        probs = softmax(tape[-1].out)
        kept = probs.copy()
        cross_entropy_backward(probs, case.labels, len(case.labels))
        if not np.array_equal(probs, kept):
            words = "the returned probabilities are overwritten"
            yield Finding("probs", Culprit("loss backward", "probs", words))


def interchange(suite: Suite) -> Iterator[Finding]:
    """Interchange: weights survive every file format bit for bit, and share no memory."""
    from numpy_vgg7.weights import read_foreign, save

    model = suite.even().model
    copied = VGG7.from_params(model.config, model.params)
    for name, parameter in model.params.items():
        if np.shares_memory(copied.params[name], parameter):
            yield Finding(
                name, Culprit("weights", name, f"{name} shares memory with what it was copied from")
            )
    with tempfile.TemporaryDirectory() as folder:
        for suffix in (".safetensors", ".npz"):
            path = Path(folder) / f"w{suffix}"
            try:
                save(path, model)
                back = read_foreign(path)[0].params
            except VGG7Error as error:
                tensor = error.what.split(": ")[-1]
                words = f"{tensor} in {suffix}: expected {error.expected}, found {error.found}"
                yield Finding(tensor, Culprit("weights", tensor, words))
                continue
            for name, parameter in model.params.items():
                if not np.array_equal(back[name], parameter) or back[name].dtype != parameter.dtype:
                    yield Finding(name, Culprit("weights", name, f"{name} comes back changed from {suffix}"))


CHECKS: dict[str, Callable[[Suite], Iterator[Finding]]] = {
    "float64 trace": values_and_gradients,
    "optimiser step": optimiser_step,
    "kinks": kinks,
    "complex step": complex_steps,
    "float32 lane": rounding,
    "extreme logits": extreme_logits,
    "purity": purity,
    "interchange": interchange,
}


def _mismatches(case: Case, reference: Arrays, kinds: tuple[str, ...]) -> Iterator[Finding]:
    """Tensors of these kinds that fail, all with the first place that is wrong by itself."""
    failed = [t for t in compare(product_trace(case), reference).tensors if not t.passed and t.kind in kinds]
    # A dead channel has gradients of zero in the reference; that is what the kinks are about.
    failed = [tensor for tensor in failed if not tensor.note.startswith("vacuous")]
    if failed:
        culprits = localise(case.model.layers, case.sgd, case.labels, reference)
        culprit = culprits[0] if culprits else None
        if culprit is None and all(tensor.kind == "update" for tensor in failed):
            words = f"{failed[0].name} is wrong though every gradient and the first step are right"
            culprit = Culprit("optimiser", failed[0].name, words)
        if culprit and len(culprits) > 1:
            others = dict.fromkeys(c.diagnosis for c in culprits if c.tensor.endswith(".grad"))
            words = "; ".join(dict.fromkeys([culprit.diagnosis, *others]))
            culprit = replace(culprit, diagnosis=words)
        yield from (Finding(tensor.name, culprit) for tensor in failed)


def _impurities(layer: Layer, params: Arrays, x: Array, d_out: Array) -> Iterator[tuple[str, str]]:
    """Ways in which a layer touches what is not its own, each with its direction."""
    given = {"x": x.copy(), **{key: value.copy() for key, value in params.items()}}
    out, cache = layer.forward(params, given["x"])
    if not np.array_equal(given["x"], x):
        yield "forward", "its input is overwritten"
    upstream = d_out.copy()
    d_x, gradients = layer.backward(params, cache, upstream)
    if not np.array_equal(upstream, d_out):
        yield "backward", "the gradient that it is given is overwritten"
    if any(not np.array_equal(params[key], given[key]) for key in params):
        yield "backward", "its parameters are overwritten"
    arrays = [*gradients.values(), *params.values(), upstream, given["x"]]
    for index, gradient in enumerate(gradients.values()):
        if any(np.shares_memory(gradient, other) for other in arrays[index + 1 :]):
            yield "backward", "a gradient shares memory with another array"
    kept = {"out": out.copy(), "d_x": d_x.copy(), **{k: g.copy() for k, g in gradients.items()}}
    other_x, other_d = x[::-1] * 0.5 + 0.25, d_out[::-1] * 2 - 1
    _, other_cache = layer.forward(params, other_x)
    layer.backward(params, other_cache, other_d)
    found = {"out": out, "d_x": d_x, **gradients}
    if any(not np.array_equal(found[key], value) for key, value in kept.items()):
        yield "backward", "results of a batch are overwritten by the next one"
    again, cache = layer.forward(params, x.copy())
    d_again, gradients = layer.backward(params, cache, d_out.copy())
    fresh = {"out": again, "d_x": d_again, **gradients}
    for key, value in kept.items():
        if fresh[key].shape != value.shape or not np.array_equal(fresh[key], value):
            direction = "forward" if key == "out" else "backward"
            yield direction, f"{key} is stale: it depends on the previous batch"
            return
