"""Mistakes of the optimizer that show only after several steps, where the first is right."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

from numpy_vgg7 import network
from numpy_vgg7.functional import Array, Arrays, Labels
from numpy_vgg7.network import Layers, parameter_groups, parameter_shapes
from numpy_vgg7.optim import SGD
from numpy_vgg7.parity.compare import judge
from numpy_vgg7.parity.diagnosis.context import wrong
from numpy_vgg7.parity.localise import Culprit

MOMENTA = (0.9, 0.5, 0.99)
DECAYS = (0.9, 0.95, 0.99, 0.5)
Schedule = Callable[[int], float]  # the factor on the learning rates by step, from 0


def later_steps(layers: Layers, sgd: SGD, labels: Labels, trace: Arrays) -> list[Culprit]:
    """Parameters that are wrong after the last step in the trace, though nothing else is."""
    params = {name: trace[name] for name in parameter_shapes(layers)}
    counts = {int(name.rpartition(".step")[2]) for name in trace if ".step" in name} - {1}
    if not counts:
        return []
    steps = max(counts)
    ours = {name: trace[f"{name}.step{steps}"] for name in params if f"{name}.step{steps}" in trace}

    def trained(count: int, rules: SGD, schedule: Schedule, damped: float = 0.0) -> Iterator[Arrays]:
        """The parameters after each step. `damped` is the momentum of a running mean of the gradients."""
        now = {name: p.copy() for name, p in params.items()}
        velocity, groups = rules.init(now), parameter_groups(layers)
        mean: Arrays = {}
        for step in range(count):
            _, gradients = network.loss_and_gradients(layers, now, trace["input"], labels)
            mean = {n: damped * mean.get(n, g) + (1 - damped) * g for n, g in gradients.items()}
            rules.step(now, mean, velocity, groups, schedule(step))
            yield {name: p.copy() for name, p in now.items()}

    plain = list(trained(steps + 2, sgd, lambda step: 1.0))
    right = plain[steps - 1]
    bad = [n for n in ours if not judge(f"{n}.step{steps}", ours[n], right[n]).passed]
    culprits = []
    others = _others(plain, params, steps, sgd, trained) if bad else iter(())
    seen: list[tuple[str, Arrays]] = []
    for name in bad:
        words = _explained(name, ours[name], right[name], seen, others)
        tensor = f"{name}.step{steps}"
        culprits.append(Culprit("optimiser", tensor, f"{tensor} {words}"))
    return culprits


def _explained(
    name: str,
    suspect: Array,
    truth: Array,
    seen: list[tuple[str, Arrays]],
    others: Iterator[tuple[str, Arrays]],
) -> str:
    """The first rule that gives this parameter; rules are tried once for all parameters."""
    found = wrong(suspect, truth)
    for words, result in seen:
        if found.is_(result[name]):
            return words
    for words, result in others:
        seen.append((words, result))
        if found.is_(result[name]):
            return words
    return "is wrong, though it is right after the first step; no known mistake gives these numbers"


def _others(
    plain: list[Arrays],
    params: Arrays,
    steps: int,
    sgd: SGD,
    trained: Callable[..., Iterator[Arrays]],
) -> Iterator[tuple[str, Arrays]]:
    """Wrong ways to make several steps, the cheap ones first."""
    for count, result in enumerate(plain, 1):
        if count != steps:
            yield f"is what it should be after {count} steps: their number is wrong", result
    yield (
        f"moved {steps} times by the first gradient: gradients are not computed again",
        {name: start + steps * (plain[0][name] - start) for name, start in params.items()},
    )
    last = trained(steps, replace(sgd, momentum=1.0), lambda step: 1.0)
    yield "moved by the sum of all gradients so far: they are never set to zero", list(last)[-1]
    for momentum in MOMENTA:
        for nesterov in (False, True):
            rules = replace(sgd, momentum=momentum, nesterov=nesterov)
            name = "Nesterov's momentum" if nesterov else "momentum"
            yield f"moved with a {name} of {momentum:g}", list(trained(steps, rules, lambda step: 1.0))[-1]
    for momentum in MOMENTA:
        words = f"moved with a momentum of {momentum:g}, dampened by {momentum:g} after the first step"
        yield words, list(trained(steps, sgd, lambda step: 1.0, momentum))[-1]
    for decay in DECAYS:
        words = f"moved with learning rates that are multiplied by {decay:g} after each step"
        yield words, list(trained(steps, sgd, partial(pow, decay)))[-1]
    words = "moved with learning rates that are divided by the number of the step"
    yield words, list(trained(steps, sgd, lambda step: 1 / (step + 1)))[-1]
