"""Does anything change its arguments, or a result that it returned before?"""

from collections.abc import Callable, Iterator

import numpy as np

from numpy_vgg7 import functional as F
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.network import Flatten, Layer, forward, layer_params
from numpy_vgg7.parity.case import Case
from numpy_vgg7.parity.localise import Culprit


def impurities(case: Case, seed: int) -> Iterator[Culprit]:
    """Whatever each layer of the definition, the loss and the engine do to arrays that are not theirs."""
    rng = np.random.default_rng([seed, 5])
    tape = forward(case.model.layers, case.model.params, case.images)
    for layer, x, out in tape:
        d_out = rng.standard_normal(out.shape)
        for direction, words in _of_layer(layer, layer_params(layer, case.model.params), x, d_out):
            yield Culprit(f"{layer.name} {direction}", layer.name, words)
    probs = F.softmax(tape[-1].out)
    kept = probs.copy()
    F.cross_entropy_backward(probs, case.labels)
    if not np.array_equal(probs, kept):
        yield Culprit("loss backward", "probs", "the returned probabilities are overwritten")
    for words in _of_engine(case):
        yield Culprit("engine", "results", words)


def _of_layer(layer: Layer, params: Arrays, x: Array, d_out: Array) -> Iterator[tuple[str, str]]:
    """What a layer does wrong, each with its direction."""
    given = {"x": x.copy(), "upstream": d_out.copy(), **{key: value.copy() for key, value in params.items()}}
    own = {key: given[key] for key in params}
    out = layer.forward(own, given["x"])
    if not np.array_equal(given["x"], x):
        yield "forward", "its input is overwritten"
    d_x, gradients = layer.backward(own, given["x"], out, given["upstream"])
    if not np.array_equal(given["upstream"], d_out):
        yield "backward", "the gradient that it is given is overwritten"
    if any(not np.array_equal(own[key], params[key]) for key in params):
        yield "backward", "its parameters are overwritten"
    results = [*gradients.values()]
    if not isinstance(layer, Flatten):  # which returns the same numbers in another shape
        results += [out, d_x]
    arrays = [*results, *given.values()]
    for index, result in enumerate(results):
        if any(np.shares_memory(result, other) for other in arrays[index + 1 :]):
            yield "backward", "a result shares memory with another array"
    found = {"out": out, "d_x": d_x, **gradients}
    kept = {key: value.copy() for key, value in found.items()}
    other_x, other_d = x[::-1] * 0.5 + 0.25, d_out[::-1] * 2 - 1
    other_out = layer.forward(params, other_x)
    layer.backward(params, other_x, other_out, other_d)
    if any(not np.array_equal(found[key], value) for key, value in kept.items()):
        yield "backward", "results of a batch are overwritten by the next one"
    again = layer.forward(params, x.copy())
    d_again, gradients = layer.backward(params, x.copy(), again, d_out.copy())
    for key, fresh in {"out": again, "d_x": d_again, **gradients}.items():
        if fresh.shape != kept[key].shape or not np.array_equal(fresh, kept[key]):
            direction = "forward" if key == "out" else "backward"
            yield direction, f"{key} is stale: it depends on the previous batch"
            return


def _of_engine(case: Case) -> Iterator[str]:
    """Results of a model's methods must stay as they are when it is called again, and its arguments too."""
    model = case.copy().model
    methods: dict[str, Callable[[Array, Labels], Arrays]] = {
        "loss_and_gradients": lambda images, labels: model.loss_and_gradients(images, labels)[1],
        "trace": model.trace,
        "logits": lambda images, labels: {"logits": model.logits(images)},
        "forward": lambda images, labels: {"logits": model.forward(images)},
        "predict_proba": lambda images, labels: {"probs": model.predict_proba(images)},
    }
    images, labels = case.images.copy(), case.labels.copy()
    results = {name: method(images, labels) for name, method in methods.items()}
    given = {"images": images, "labels": labels, **model.params}
    right = {"images": case.images, "labels": case.labels, **case.model.params}
    if any(not np.array_equal(given[name], array) for name, array in right.items()):
        yield "images, labels or parameters are overwritten"
    kept = {name: {key: array.copy() for key, array in found.items()} for name, found in results.items()}
    other = case.images[::-1] * 0.5 + 0.25, case.labels[::-1]
    for method in methods.values():
        method(*other)
    model.train_step(*other, case.sgd, case.sgd.init(model.params))
    for name, found in results.items():
        if any(not np.array_equal(array, kept[name][key]) for key, array in found.items()):
            yield f"what {name} returned is overwritten by a later call"
