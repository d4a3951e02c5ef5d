"""`check_layer`: is one hand-written layer right, forward and backward? It answers in words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from numpy_vgg7.errors import LayerError
from numpy_vgg7.functional import Array, Arrays
from numpy_vgg7.parity.layer.call import Layer, ResultError, Run
from numpy_vgg7.parity.layer.mistakes import Mistake
from numpy_vgg7.parity.layer.report import Finding, LayerReport
from numpy_vgg7.parity.layer.trials import LIKES, Trial, out_shape, trial_of, trials
from numpy_vgg7.parity.layer.truth import OwnDerivative, definition, own_derivative, own_gradient, tolerances
from numpy_vgg7.parity.layer.words import Evidence, description, explanations, matching
from numpy_vgg7.suggestions import instead

MOST_ELEMENTS = 300  # up to which the derivative of an unknown layer is computed element by element


def check_layer(
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    x: Any,
    params: Mapping[str, Any] | None = None,
    like: str | None = None,
    seed: int = 0,
) -> LayerReport:
    """Check a hand-written layer and say in words what is wrong with it.

    `forward` is called as `forward(x, *params)`, in the order of `params`, and returns `out` or
    `(out, cache)`. `backward` is called as `backward(d_out, cache)` if there is a cache, else as
    `backward(x, *params, d_out)`; arguments with usual names, as `d_out`, `x`, `out`, `cache` or those of
    `params`, may have another order. An object that keeps its cache may have `backward(d_out)`. It returns
    the gradients as a tuple `(d_x, d_w, d_b)`, as a dict by names, or as a single array.

    With `like`, both are compared with the definition in `numpy_vgg7.functional`: in the shapes given, and in
    others, with equal and with pairwise different sizes. Without, `backward` is compared with the derivative
    of `forward`, by complex steps, or by central differences if `forward` cannot take complex numbers.
    Upstream gradients are random, but 1 where the output is a scalar.

    - "conv2d": x (N, C, H, W), params: a weight (O, C/groups, 3, 3) and possibly a bias (O,); padding 1.
    - "avg_pool2d": x (N, C, H, W), H and W even; windows of 2x2.
    - "linear": x (N, I), params: a weight (O, I), or (I, O) where that is not square, and possibly a bias.
    - "relu", "tanh", "arctan": x of any shape.
    - "softmax_cross_entropy": x are logits (N, K), `params={"labels": labels}` integers (N,) or one-hot
      (N, K). `forward` returns the mean loss, or `(loss, probs)` or `(loss, cache)`; `backward` returns
      d_logits from `(probs, labels)`, `(d_out, cache)`, or `(logits, labels)`, with or without a d_out behind
      them.

    All is done in the dtype of x, float32 or float64; tolerances follow from rounding in that dtype.
    LayerError if the arguments, or those of `backward`, do not fit.
    """
    given, dtype = _given(like, x, params or {})
    names = [name for name, array in given.params.items() if array.dtype.kind == "f"]
    if like == "softmax_cross_entropy":
        names = []
    layer = Layer(forward, backward, dtype, names)
    made = trials(given, dtype, seed)
    session = _Session(layer, like, dtype, names)
    for trial in made:
        session.runs.append(layer.run(trial))
        session.calls += 1
    session.repeat()
    findings = session.findings()
    cause = next((run.error for run in session.runs if run.error), None)
    notes = tuple(dict.fromkeys(session.notes))
    calls = session.calls
    return LayerReport(like, dtype.name, calls, tuple(_merged(findings)), notes, cause)


def _given(like: str | None, x: Any, params: Mapping[str, Any]) -> tuple[Trial, np.dtype]:
    """The arguments as arrays of float64 or integers, and the dtype that the layer computes in."""
    if like is not None and like not in LIKES:
        expected = f"None or one of {', '.join(LIKES)}"
        raise LayerError("check_layer, like", expected, repr(like), instead(like, LIKES))
    arrays: Arrays = {name: np.asarray(array) for name, array in {"x": x, **params}.items()}
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub" or not array.size or not np.isfinite(array).all():
            found = f"{array.size} of {array.dtype}"
            raise LayerError(f"check_layer, {name}", "finite numbers", found, "pass an array of numbers")
    dtype = arrays["x"].dtype if arrays["x"].dtype.kind == "f" else np.dtype(np.float64)
    if dtype not in (np.float32, np.float64):
        raise LayerError("check_layer, x", "float32 or float64", dtype, "convert it")
    whole = {name for name, array in arrays.items() if array.dtype.kind in "iub" and name != "x"}
    if like in ("conv2d", "linear"):
        whole = set()
    converted = {
        name: array.astype(np.int64 if array.dtype.kind == "b" else array.dtype)
        if name in whole
        else array.astype(np.float64)
        for name, array in arrays.items()
    }
    x_array = converted.pop("x")
    return trial_of(like, x_array, converted), np.dtype(dtype.type)


class _Session:
    """The runs of a layer and what follows from them."""

    def __init__(self, layer: Layer, like: str | None, dtype: np.dtype, names: Sequence[str]) -> None:
        self.layer, self.like, self.dtype = layer, like, dtype
        self.names = ["x", *names]
        self.runs: list[Run] = []
        self.calls = 0
        self.history: list[Finding] = []
        self.notes: list[str] = []
        if dtype == np.float32:
            self.notes.append("float32: differences are judged by a bound on rounding errors")

    def repeat(self) -> None:
        """Call the layer again: the same twice, another batch, the same. Earlier calls may have no effect."""
        first, other = self.runs[0], self.runs[1]
        if first.error or other.error:
            return
        self.calls += 4
        again = [self.layer.run(replace(run.trial, own=None)) for run in (first, first, other)]
        kept = {
            name: np.array(array, dtype=np.float64) if array is not None else None
            for name, array in again[1].returned.items()
        }
        again[2] = self.layer.run(replace(first.trial, own=None))
        names = [name for name in self.names if name in first.gradients]
        for place, name in (("forward", "out"), *(("backward", name) for name in names)):
            values = [_tensor(run, name) for run in (first, *again)]
            shown = (name if name == "out" else f"d_{name}",)
            if not all(_near(value, values[0], self.dtype) for value in values):
                words = "the same call gives other numbers when it is repeated: it depends on earlier calls"
                words += " and accumulates over them" if _grows(values, self.dtype) else " or on chance"
                self.history.append(Finding(place, shown, words, True))
            elif not _near(kept[name], values[2], self.dtype):
                words = "what was returned is overwritten by the next call, which uses the same memory"
                self.history.append(Finding(place, shown, words, True))

    def findings(self) -> list[Finding]:
        """All findings, forward first."""
        # A layer that depends on earlier calls gives results of which only the first can be judged.
        broken = {tensor for finding in self.history for tensor in finding.tensors}
        found = list(self.history)
        right = [run for run in self.runs if run.out is not None]
        forward_wrong = "out" in broken
        if self.like is not None and right:
            forward = list(self._of_forward(right[:1] if "out" in broken else right))
            forward_wrong = bool(forward) or forward_wrong
            found += forward
        complete = [run for run in self.runs if run.gradients]
        for name in self.names if complete else []:
            if any(name not in run.gradients for run in complete):
                self.notes.append(f"d_{name} was not checked: the backward pass does not return it")
                continue
            judged = complete[:1] if f"d_{name}" in broken else complete
            found += self._of_gradient(name, judged, forward_wrong)
        for place in ("backward", "forward"):
            found = self._with_errors(place, found)
        wrong = {tensor for finding in found for tensor in finding.tensors}
        impure = dict.fromkeys(pair for run in self.runs for pair in run.impure)
        return [
            *(Finding(place, (), words, True) for place, name, words in impure if name not in wrong),
            *found,
        ]

    def _with_errors(self, place: str, found: list[Finding]) -> list[Finding]:
        """The findings with the exceptions that the layer raised, unless one of them explains these."""
        failed = [run for run in self.runs if run.failed == place]
        if not failed:
            return found
        error, shapes = failed[0].error, failed[0].trial.title
        kind = "" if isinstance(error, ResultError) else f"raises {type(error).__name__}: "
        extent = "" if len(failed) == len(self.runs) else f" in {len(failed)} of {len(self.runs)} trials"
        words = f"{kind}{error}{extent} (with {shapes})"
        if self.like is None and extent and self.runs[0].error is None:
            self.notes.append(f"other batch sizes were not checked: {place} {words}")
            return found
        if place == "backward" and all(_of_other_shape(run) for run in failed):
            self.notes.append(f"backward was not checked, since the output has another shape: it {words}")
            return found
        for index, finding in enumerate(found):
            if finding.place == place:
                told = replace(finding, words=f"{finding.words}; {words}")
                return [*found[:index], told, *found[index + 1 :]]
        return [Finding(place, (), words, isinstance(error, ResultError)), *found]

    def _of_forward(self, runs: list[Run]) -> Iterator[Finding]:
        lost = [run for run in runs if run.trial.underflow and not self._finite(run)]
        evidence = [self._evidence(run, "out", run.out, None) for run in runs if run not in lost]
        if lost and not any(item.wrong for item in evidence):
            self.notes.append(
                "where a probability underflows to 0 (logits of 1000 and -1000 in a row) the loss is not "
                "finite: take the logarithm of the label's probability only, or of softmax in one step"
            )
        yield from self._judged("forward", "out", "out", evidence)

    def _of_gradient(self, name: str, runs: list[Run], forward_wrong: bool) -> Iterator[Finding]:
        """A gradient against the definition, and against what follows from a wrong forward pass."""
        if self.like is None:
            yield from self._of_unknown(name, runs)
            return
        role = self._role(name, runs[0].trial)
        comparable = [run for run in runs if not _of_other_shape(run)]
        evidence = [self._evidence(run, role, run.gradients[name], None) for run in comparable]
        if evidence and not any(item.wrong for item in evidence):
            return
        if forward_wrong:
            own = [self._evidence(run, role, run.gradients[name], run.trial.own) for run in comparable]
            if own and not any(item.wrong for item in own):
                self.notes.append(f"d_{name} follows from the output of this forward pass")
                return
            sampled = [run for run in runs if self._finite(run)]
            if sampled and all(self._own(name, run).agrees for run in sampled):
                self.notes.append(f"d_{name} is the derivative of this forward pass")
                return
        if not evidence:
            words = (
                "is not the derivative of this forward pass, whose output has another shape than it should"
            )
            yield Finding("backward", (f"d_{name}",), words, False)
            return
        yield from self._judged("backward", f"d_{name}", role, evidence)

    def _judged(self, place: str, shown: str, role: str, evidence: list[Evidence]) -> Iterator[Finding]:
        if not any(item.wrong for item in evidence):
            return
        # Formulas that are the same but for rounding may differ where a probability is 0.
        clear = [item for item in evidence if np.isfinite(item.found).all() or not item.trial.underflow]
        words = explanations(self.like or "", role, clear, self.dtype)
        if words:
            yield Finding(place, (shown,), _either(words), True)
        elif all(_went_through_less(item, self.dtype) for item in evidence if item.wrong):
            yield Finding(place, (shown,), "went through a dtype of lower precision", True)
        else:
            yield Finding(place, (shown,), description(evidence), False)

    def _of_unknown(self, name: str, runs: list[Run]) -> Iterator[Finding]:
        """A gradient against the derivative of the layer's own forward pass."""
        judged = [(run, self._own(name, run)) for run in runs]
        if any(own.method != "complex step" for _, own in judged):
            self.notes.append("the forward pass cannot take complex numbers: central differences were used")
        if all(own.agrees for _, own in judged):
            return
        evidence = []
        for run, _ in judged:
            at = run.trial.x if name == "x" else run.trial.params[name]
            if at.size > MOST_ELEMENTS:
                continue
            function = self._function(name, run.trial)
            truth = own_gradient(function, at, run.trial.d_out)
            exact = judged[0][1].method == "complex step"
            scale = float(np.abs(truth).max(initial=0)) or 1.0
            tolerance = scale * (1e-10 if exact and self.dtype == np.float64 else 1e-4)
            evidence.append(Evidence(run.trial, run.gradients[name], truth, tolerance))
        shown = (f"d_{name}",)
        words = matching(self._unknown_mistakes(name), evidence, self.dtype)
        if words:
            yield Finding("backward", shown, _either(words), True)
        elif any(item.wrong for item in evidence):
            yield Finding("backward", shown, description(evidence), False)
        else:
            yield Finding("backward", shown, "is not the derivative of the forward pass", False)

    def _unknown_mistakes(self, name: str) -> Iterator[Mistake]:
        """What can be recognized without a definition."""

        def truth(trial: Trial, d_out: Array | None = None) -> Array:
            at = trial.x if name == "x" else trial.params[name]
            return own_gradient(self._function(name, trial), at, trial.d_out if d_out is None else d_out)

        yield Mistake("zero everywhere", lambda t: np.zeros_like(truth(t)))
        yield Mistake("the sign is wrong", lambda t: -truth(t))
        yield Mistake(
            "the upstream gradient is not multiplied: d_out has no effect",
            lambda t: truth(t, np.ones_like(t.d_out)),
        )
        yield Mistake("the slope is missing: it is d_out itself", lambda t: t.d_out)
        yield Mistake("divided by the batch size N", lambda t: truth(t) / t.n)
        yield Mistake("multiplied by the batch size N: the factor 1/N is missing", lambda t: truth(t) * t.n)
        yield Mistake("transposed", lambda t: truth(t).T)
        if name != "x":
            yield Mistake("not summed over the batch", lambda t: t.d_out)
        yield Mistake("{c} times what it should be", lambda t: np.zeros_like(truth(t)), truth)

    def _function(self, name: str, trial: Trial) -> Callable[[Array], Array]:
        """The output as a function of one argument."""

        def function(at: Array) -> Array:
            x = at if name == "x" else trial.x
            params = {key: at if key == name else array for key, array in trial.params.items()}
            return self.layer.out_of(x.copy(), {key: array.copy() for key, array in params.items()})

        return function

    def _own(self, name: str, run: Run) -> OwnDerivative:
        at = run.trial.x if name == "x" else run.trial.params[name]
        function = self._function(name, run.trial)
        smooth = at != 0 if self.like == "relu" else np.ones(at.shape)
        return own_derivative(function, at, run.trial.d_out, run.gradients[name], self.dtype, smooth)

    def _finite(self, run: Run) -> bool:
        return run.out is not None and bool(np.isfinite(run.out).all())

    def _role(self, name: str, trial: Trial) -> str:
        return next((role for role, user in trial.roles.items() if user == name), name)

    def _evidence(self, run: Run, role: str, found: Array | None, own: Array | None) -> Evidence:
        """A tensor in PyTorch's layout, beside the definition: of a bias (1, O), for example, (O,)."""
        assert found is not None
        trial = run.trial
        if role == "out":
            trial = replace(trial, own=None, d_out=np.zeros(out_shape(trial)))
        if role == "bias" and found.shape == trial.params[trial.roles["bias"]].shape:
            found = found.reshape(-1)
        if role == "weight" and trial.in_out and found.ndim == 2:
            found = found.T
        truth = definition(replace(trial, own=own))[role]
        tolerance = tolerances(trial, self.dtype)[role] if found.shape == truth.shape else 0.0
        return Evidence(trial, found, truth, tolerance)


def _of_other_shape(run: Run) -> bool:
    """Whether the output has a wrong shape, so that the upstream gradient has it, too."""
    return (
        run.trial.like is not None and run.out is not None and run.trial.d_out.shape != out_shape(run.trial)
    )


def _tensor(run: Run, name: str) -> Array | None:
    return run.out if name == "out" else run.gradients.get(name)


def _grows(values: Sequence[Array | None], dtype: np.dtype) -> bool:
    """Whether the second of two calls in a row gives the sum of the first and of what is right."""
    right, before, after = values[:3]
    if right is None or before is None or after is None or not right.shape == before.shape == after.shape:
        return False
    return _near(after, before + right, dtype)


def _near(a: Array | None, b: Array | None, dtype: np.dtype) -> bool:
    """Whether two results of the same call agree; threads may add in another order."""
    if a is None or b is None or a.shape != b.shape:
        return False
    largest = float(np.abs(b[np.isfinite(b)]).max(initial=0))
    return bool(np.allclose(a, b, rtol=0, atol=1e4 * np.finfo(dtype).eps * largest, equal_nan=True))


def _went_through_less(item: Evidence, dtype: np.dtype) -> bool:
    """Whether numbers that are nearly right have no more digits than a smaller dtype has."""
    found, truth = item.found, item.truth
    if found.shape != truth.shape or not item.deviation <= 1e-2 * float(np.abs(truth).max(initial=0)):
        return False
    smaller = [name for name in (np.float16, np.float32) if np.dtype(name).itemsize < dtype.itemsize]
    return any(np.array_equal(found.astype(name).astype(np.float64), found) for name in smaller)


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else "; or, with the same numbers: ".join(words[:3])


def _merged(findings: list[Finding]) -> Iterator[Finding]:
    """Findings of the same words, as one: a mistake that forward and backward share is one mistake."""
    groups: dict[str, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.words, []).append(finding)
    for words, group in groups.items():
        places = list(dict.fromkeys(finding.place for finding in group))
        tensors = tuple(dict.fromkeys(tensor for finding in group for tensor in finding.tensors))
        yield Finding(" and ".join(places), tensors, words, group[0].named)
