"""Measure the figures that numpy_vgg7/parity/tolerances.py gives for each tolerance.

python scripts/tolerances.py [SEEDS]
"""

import sys
from collections.abc import Iterator

import numpy as np
from rich.console import Console
from rich.table import Table

from numpy_vgg7.parity import tolerances
from numpy_vgg7.parity.case import Case, definition_trace, product_trace
from numpy_vgg7.parity.checks import Suite
from numpy_vgg7.parity.compare import compare
from numpy_vgg7.parity.complex_step import complex_step
from numpy_vgg7.parity.kernel_alone import run_kernels_alone
from numpy_vgg7.parity.localise import run_alone
from numpy_vgg7.parity.rounding import rounding_errors
from torch_ref.trace import trace as referee
from torch_ref.training import train_batches


def cases(seeds: int) -> Iterator[Case]:
    """The cases of `parity prove`."""
    for seed in range(seeds):
        suite = Suite(seed, referee, train_batches)
        yield from (suite.uneven(), suite.even(), suite.single(), suite.article())


def element_error(ours: np.ndarray, reference: np.ndarray) -> float:
    """Largest relative error of the elements that are not small."""
    size = np.abs(reference)
    large = size > tolerances.ELEMENT64_FLOOR * size.max()
    return float((np.abs(ours - reference)[large] / size[large]).max()) if large.any() else 0.0


def measure(seeds: int) -> dict[str, tuple[float, float]]:
    """The worst that was seen, and the tolerance, by name."""
    worst = dict.fromkeys(("LANE64", "ELEMENT64", "LOCAL64", "COMPLEX_STEP", "LANE32"), 0.0)
    for case in cases(seeds):
        ours, reference = product_trace(case), referee(case)
        traces = (ours, definition_trace(case))
        errors = [compare(trace, reference).max_relative_error for trace in traces]
        worst["LANE64"] = max(worst["LANE64"], *errors)
        elements = max(element_error(ours[name], reference[name]) for name in reference)
        worst["ELEMENT64"] = max(worst["ELEMENT64"], elements)
        alone = run_alone(case.model.layers, case.sgd, case.labels, reference)
        for local in (*alone, *run_kernels_alone(case.model.layers, reference)):
            right = reference[local.tensor]
            error = float(np.abs(local.computed - right).max() / np.abs(right).max())
            worst["LOCAL64"] = max(worst["LOCAL64"], error)
        for checked in complex_step(case, definition_trace(case), 0, entries=8):
            worst["COMPLEX_STEP"] = max(worst["COMPLEX_STEP"], checked.max_relative_error)
        for found in rounding_errors(case.astype("float32"), referee):
            worst["LANE32"] = max(worst["LANE32"], found.ratio)
    return {name: (value, getattr(tolerances, name)) for name, value in worst.items()}


def main() -> None:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    table = Table(title=f"{4 * seeds} networks")
    for column in ("tolerance", "worst seen", "allowed"):
        table.add_column(column)
    for name, (value, allowed) in measure(seeds).items():
        table.add_row(name, f"{value:.1e}", f"{allowed:.0e}")
    Console().print(table)


if __name__ == "__main__":
    main()
