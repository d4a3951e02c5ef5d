"""A report on the screen and as JSON."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.table import Table

from numpy_vgg7.parity.prove import Verdict
from numpy_vgg7.parity.run import Report
from numpy_vgg7.parity.tolerances import COMPLEX_STEP, LANE64


def as_json(report: Report) -> dict[str, Any]:
    """Stable keys; an infinite error, where nothing could be compared, is null."""
    ratios = [found.ratio for found in report.rounding]
    lane64 = check_json(report)["tensors"]
    return check_json(report) | {
        "max_relative_error": _number(report.comparison.max_relative_error),
        "lane64": {"max_relative_error": _number(report.comparison.max_relative_error), "tensors": lane64},
        "lane32": {"max_error_ratio": max(ratios), "median_error_ratio": float(np.median(ratios))},
        "complex_step": {"max_relative_error": max(c.max_relative_error for c in report.complex_steps)},
        "definition": {
            "max_relative_error": _number(report.definition.max_relative_error) if report.definition else None
        },
    }


def check_json(report: Report) -> dict[str, Any]:
    """The part that a foreign trace has, too."""
    return {
        "passed": report.passed,
        "first_divergence": report.comparison.first_divergence,
        "culprit": report.culprit,
        "diagnosis": report.diagnosis,
        "tensors": [
            {
                "name": tensor.name,
                "kind": tensor.kind,
                "passed": tensor.passed,
                "max_relative_error": _number(tensor.max_relative_error),
            }
            for tensor in report.comparison.tensors
        ],
    }


def as_table(report: Report) -> Table:
    """One row per tensor."""
    table = Table(title=report.title, title_justify="left")
    table.add_column("tensor", no_wrap=True)
    table.add_column("kind")
    table.add_column("float64 error", justify="right")
    if report.rounding:
        table.add_column("float32, x PyTorch's", justify="right")
        table.add_column("% of bound", justify="right")
    table.add_column("")
    ratios = {found.name: f"{found.ratio:.2f}" for found in report.rounding}
    shares = {name: f"{100 * share:.2g}" for name, share in (report.bounds or {}).items()}
    for tensor in report.comparison.tensors:
        passed = tensor.passed and tensor.name not in report.over_bound
        verdict = "[green]PASS[/]" if passed else "[bold red]FAIL[/]"
        error = tensor.note or f"{tensor.max_relative_error:.1e}"
        lane32 = (ratios.get(tensor.name, ""), shares.get(tensor.name, "")) if report.rounding else ()
        table.add_row(tensor.name, tensor.kind, error, *lane32, verdict)
    return table


def summary(report: Report) -> list[str]:
    """The verdict in a few lines."""
    count, worst = len(report.comparison.tensors), report.comparison.max_relative_error
    lines = []
    if report.rounding:
        ratios = [found.ratio for found in report.rounding]
        lines.append(
            f"float32: our rounding error is {max(ratios):.2f} times PyTorch's on the worst tensor, "
            f"{np.median(ratios):.2f} on the median"
        )
    if report.complex_steps:
        steepest = max(found.max_relative_error for found in report.complex_steps)
        lines.append(f"complex step: worst relative error {steepest:.1e} (bound {COMPLEX_STEP:.0e})")
    if report.definition:
        worst_of_definition = report.definition.max_relative_error
        lines.append(f"definition: worst relative error {worst_of_definition:.1e} (bound {LANE64:.0e})")
    if report.passed:
        bound = f"(bound {LANE64:.0e})"
        return [*lines, f"PASS: {count} tensors agree, worst relative error {worst:.1e} {bound}"]
    failed = [tensor for tensor in report.comparison.tensors if not tensor.passed]
    first = report.comparison.first_divergence
    if not failed:
        lines.append(f"FAIL: {count} tensors agree in float64, but see below")
    else:
        lines.append(f"FAIL: {len(failed)} of {count} tensors; first divergence: {first}")
        tensor = failed[0]
        elements = "1 element" if tensor.outside == 1 else f"{tensor.outside} elements"
        lines.append(f"  {tensor.note or f'{elements} out of bounds, worst at {tensor.worst}'}")
    if report.culprit:
        lines.append(f"culprit: {report.culprit}: {report.diagnosis}")
    lines += [f"also out of bounds: {failure}" for failure in report.other_failures]
    return lines


def prove_json(verdicts: Sequence[Verdict], control_passed: bool, control_seeds: int) -> dict[str, Any]:
    """Stable keys."""
    return {
        "total": len(verdicts),
        "caught": sum(verdict.caught for verdict in verdicts),
        "blamed_right": sum(verdict.blamed_right for verdict in verdicts),
        "control_passed": control_passed,
        "control_seeds": control_seeds,
        "mutants": [
            {
                "name": verdict.mutant.name,
                "caught": verdict.caught,
                "caught_by": list(verdict.caught_by),
                "blamed": verdict.culprit.place if verdict.culprit else None,
                "expected": verdict.mutant.place,
                "diagnosis": verdict.culprit.diagnosis if verdict.culprit else None,
            }
            for verdict in verdicts
        ],
    }


def prove_table(verdicts: Sequence[Verdict]) -> Table:
    """One row per bug."""
    table = Table(title="Known bugs, and where the harness found them", title_justify="left")
    for column in ("bug", "caught by", "located at", "diagnosis"):
        table.add_column(column)
    for verdict in verdicts:
        by = ", ".join(verdict.caught_by) or "[bold red]no check[/]"
        place = verdict.culprit.place if verdict.culprit else "-"
        located = place if verdict.blamed_right else f"[red]{place}, not {verdict.mutant.place}[/]"
        words = verdict.culprit.diagnosis.split("; ")[0] if verdict.culprit else ""
        table.add_row(verdict.mutant.name, by, located, words)
    return table


def needed_table(missed: dict[str, list[str]]) -> Table:
    """The bugs that only one kind of check catches."""
    table = Table(title="Bugs that no other check catches", title_justify="left")
    table.add_column("check", no_wrap=True)
    table.add_column("bugs", justify="right")
    table.add_column("for example")
    for kind, names in missed.items():
        table.add_row(kind, str(len(names)), names[0] if names else "-")
    return table


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
