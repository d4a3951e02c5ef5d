"""A comparison as a table on the screen and as JSON."""

import math
from typing import Any

from rich.table import Table

from numpy_vgg7.parity.compare import TOLERANCE, Comparison


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Stable keys; an infinite error, where nothing could be compared, is null."""
    return {
        "passed": comparison.passed,
        "first_divergence": comparison.first_divergence,
        "max_relative_error": _number(comparison.max_relative_error),
        "tensors": [
            {
                "name": tensor.name,
                "kind": tensor.kind,
                "passed": tensor.passed,
                "max_relative_error": _number(tensor.max_relative_error),
            }
            for tensor in comparison.tensors
        ],
    }


def as_table(comparison: Comparison, title: str) -> Table:
    """A row a tensor."""
    table = Table(title=title, title_justify="left")
    table.add_column("tensor")
    table.add_column("kind")
    table.add_column("relative error", justify="right")
    table.add_column("")
    for tensor in comparison.tensors:
        verdict = "[green]PASS[/]" if tensor.passed else "[bold red]FAIL[/]"
        error = tensor.note or f"{tensor.max_relative_error:.1e}"
        table.add_row(tensor.name, tensor.kind, error, verdict)
    return table


def summary(comparison: Comparison) -> str:
    """The verdict in one line."""
    count, worst = len(comparison.tensors), comparison.max_relative_error
    if comparison.passed:
        return f"PASS: {count} tensors agree, worst relative error {worst:.1e} (bound {TOLERANCE:.0e})"
    failed = sum(not tensor.passed for tensor in comparison.tensors)
    return f"FAIL: {failed} of {count} tensors; first divergence: {comparison.first_divergence}"


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
