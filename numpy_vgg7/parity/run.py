"""One model against the reference, by all comparisons: what `parity run` shows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from numpy_vgg7.functional import Arrays
from numpy_vgg7.model import VGG7
from numpy_vgg7.parity.case import Case, definition_trace, product_trace
from numpy_vgg7.parity.checks import Referee
from numpy_vgg7.parity.compare import Comparison, compare
from numpy_vgg7.parity.complex_step import Checked, complex_step
from numpy_vgg7.parity.engine_check import locate
from numpy_vgg7.parity.forward import ForwardReference, ForwardResult, compare_forward
from numpy_vgg7.parity.kernel_alone import localise_kernels
from numpy_vgg7.parity.localise import Culprit, localise
from numpy_vgg7.parity.rounding import Rounding, bounds_used, rounding_errors
from numpy_vgg7.parity.tolerances import COMPLEX_STEP_ENTRIES

COMPLEX_STEP_IMAGES = 1  # of the batch: its cost is hundreds of forward passes
COMPLEX_STEP_PARAMETERS = 1_000_000  # per network: above, fewer entries of each parameter
FEW_ENTRIES = 8


@dataclass(frozen=True)
class Report:
    """Everything about one case. What follows the culprits is empty where only a foreign trace was judged,
    but for `bounds` if it is float32."""

    title: str
    comparison: Comparison
    culprits: tuple[Culprit, ...] = ()
    rounding: tuple[Rounding, ...] = ()
    bounds: dict[str, float] | None = None
    complex_steps: tuple[Checked, ...] = ()
    definition: Comparison | None = None  # `comparison` is the engine's
    notes: tuple[str, ...] = ()  # what was judged, and what was not
    seed: int | None = None
    dtype: str = "float64"
    forward: tuple[ForwardResult, ...] = ()  # other references for the values of the forward pass

    @property
    def passed(self) -> bool:
        """Whether nothing failed anywhere."""
        return self.comparison.passed and not self.culprits and not self.other_failures

    @property
    def other_failures(self) -> list[str]:
        """Tensors out of bounds in float32, by the complex step, in the definition, or by `forward`."""
        definition = self.definition.tensors if self.definition else ()
        rounding = [f"{found.name} (float32)" for found in self.rounding if not found.passed]
        failed = {found.name for found in self.comparison.tensors if not found.passed}
        over = [name for name in self.over_bound if name not in failed]
        rounding += [f"{name} (float32, rounding bound)" for name in over]
        steps = [f"{found.name} (complex step)" for found in self.complex_steps if not found.passed]
        steps += [f"{found.name} (definition)" for found in definition if not found.passed]
        return rounding + steps + [f"{r.worst} ({r.program})" for r in self.forward if not r.passed]

    @property
    def over_bound(self) -> list[str]:
        """Tensors with a rounding error in float32 that is larger than its bound, or NaN."""
        return [name for name, share in (self.bounds or {}).items() if not share <= 1]

    @property
    def culprit(self) -> str | None:
        """The first place that is wrong by itself."""
        return self.culprits[0].place if self.culprits else None

    @property
    def diagnosis(self) -> str | None:
        """What is wrong there, and what else is, each fault once."""
        if not self.culprits:
            return None
        return "; ".join(dict.fromkeys(culprit.diagnosis for culprit in self.culprits))

    def assert_ok(self) -> None:
        """Raise an AssertionError that says what is wrong, unless everything passed."""
        if not self.passed:
            from numpy_vgg7.parity.report import summary

            raise AssertionError("\n".join(summary(self)))


def run(
    title: str,
    case: Case,
    product: VGG7,
    referee: Referee,
    seed: int,
    forward: Sequence[ForwardReference] = (),
    notes: tuple[str, ...] = (),
) -> Report:
    """Compare `product`, which should be the float64 model of `case`, with the reference trace of the case.

    The definition is compared as well, with the parameters of `case`; and the values of the forward pass with
    those of `forward`.
    """
    reference = referee(case)
    found = product_trace(replace(case, model=product))
    comparison, definition = compare(found, reference), compare(definition_trace(case), reference)
    culprits = _changed_weights(product.params, reference)
    culprits += localise(product.layers, case.sgd, case.labels, reference)
    if not comparison.passed and not culprits:
        failed = [tensor for tensor in comparison.tensors if not tensor.passed]
        culprits = [*localise_kernels(product.layers, reference)] or [locate(case, found, reference, failed)]
    entries = (
        COMPLEX_STEP_ENTRIES
        if sum(p.size for p in product.params.values()) <= COMPLEX_STEP_PARAMETERS
        else FEW_ENTRIES
    )
    first = slice(0, COMPLEX_STEP_IMAGES)
    few = Case(product, case.images[first], case.labels[first])
    return Report(
        title,
        comparison,
        tuple(culprits),
        tuple(rounding_errors(case.astype("float32"), referee)),
        bounds_used(product.layers, product.params, reference),
        tuple(complex_step(few, product.trace(few.images, few.labels), seed, entries)),
        definition,
        notes=notes,
        seed=seed,
        forward=compare_forward(case, product, forward),
    )


def _changed_weights(params: Arrays, reference: Arrays) -> list[Culprit]:
    """Parameters that are not those of the reference: then no layer is wrong."""
    return [
        Culprit(
            "weights", name, f"{name} differs in {int((p != reference[name]).sum())} of {p.size} elements"
        )
        for name, p in params.items()
        if not np.array_equal(p, reference[name])
    ]
