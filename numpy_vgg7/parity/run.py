"""One model against the referee, every way there is: what `parity run` shows."""

from dataclasses import dataclass

import numpy as np

from numpy_vgg7.functional import Arrays
from numpy_vgg7.model import VGG7
from numpy_vgg7.parity.case import Case, product_trace
from numpy_vgg7.parity.checks import Referee
from numpy_vgg7.parity.compare import Comparison, compare
from numpy_vgg7.parity.complex_step import Checked, complex_step
from numpy_vgg7.parity.localise import Culprit, localise
from numpy_vgg7.parity.rounding import Rounding, bounds_used, rounding_errors
from numpy_vgg7.parity.tolerances import COMPLEX_STEP_ENTRIES

COMPLEX_STEP_IMAGES = 1  # of the batch: its cost is hundreds of forward passes
COMPLEX_STEP_PARAMETERS = 1_000_000  # per network: above, fewer entries of each parameter
FEW_ENTRIES = 8


@dataclass(frozen=True)
class Report:
    """Everything about one case. The lanes are empty where only a foreign trace was judged."""

    title: str
    comparison: Comparison
    culprits: tuple[Culprit, ...] = ()
    rounding: tuple[Rounding, ...] = ()
    bounds: dict[str, float] | None = None
    complex_steps: tuple[Checked, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing failed anywhere."""
        return self.comparison.passed and not self.culprits and not self.other_failures

    @property
    def other_failures(self) -> list[str]:
        """Tensors out of bounds in the float32 lane or by the complex step."""
        rounding = [f"{found.name} (float32)" for found in self.rounding if not found.passed]
        return rounding + [f"{found.name} (complex step)" for found in self.complex_steps if not found.passed]

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


def run(title: str, case: Case, product: VGG7, referee: Referee, seed: int) -> Report:
    """Compare `product`, which should be the float64 model of `case`, with the referee of the case."""
    reference = referee(case)
    ours = Case(product, case.images, case.labels, case.sgd)
    comparison = compare(product_trace(ours), reference)
    culprits = _changed_weights(product.params, reference)
    culprits += localise(product.layers, case.sgd, case.labels, reference)
    entries = (
        COMPLEX_STEP_ENTRIES
        if sum(p.size for p in product.params.values()) <= COMPLEX_STEP_PARAMETERS
        else FEW_ENTRIES
    )
    first = slice(0, COMPLEX_STEP_IMAGES)
    return Report(
        title,
        comparison,
        tuple(culprits),
        tuple(rounding_errors(case.astype("float32"), referee)),
        bounds_used(product.layers, product.params, reference),
        tuple(complex_step(Case(product, case.images[first], case.labels[first]), seed, entries)),
    )


def _changed_weights(params: Arrays, reference: Arrays) -> list[Culprit]:
    """Parameters that are not those of the referee: then no layer is to blame."""
    return [
        Culprit(
            "weights", name, f"{name} differs in {int((p != reference[name]).sum())} of {p.size} elements"
        )
        for name, p in params.items()
        if not np.array_equal(p, reference[name])
    ]
