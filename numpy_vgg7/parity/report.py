"""A report on the screen and as JSON."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table
from rich.text import Text

from numpy_vgg7.parity.compare import TensorResult
from numpy_vgg7.parity.own_tests import Outcome, by_place
from numpy_vgg7.parity.prove import Verdict
from numpy_vgg7.parity.run import Report
from numpy_vgg7.parity.tolerances import COMPLEX_STEP, LANE64

MOST_FAILURES = 20  # in the short table
MOST_CULPRITS = 10  # places in the summary


def as_json(report: Report) -> dict[str, Any]:
    """Stable keys; an infinite error, where nothing could be compared, is null."""
    ratios = [found.ratio for found in report.rounding]
    lane64 = [_tensor(tensor) for tensor in report.comparison.tensors]
    return check_json(report) | {
        "max_relative_error": _number(report.comparison.max_relative_error),
        "lane64": {"max_relative_error": _number(report.comparison.max_relative_error), "tensors": lane64},
        "lane32": {"max_error_ratio": max(ratios), "median_error_ratio": float(np.median(ratios))},
        "complex_step": {"max_relative_error": max(c.max_relative_error for c in report.complex_steps)},
        "definition": {
            "max_relative_error": _number(report.definition.max_relative_error) if report.definition else None
        },
        "forward": [
            {
                "program": found.program,
                "dtype": found.dtype,
                "passed": found.passed,
                "worst": found.worst,
                "max_relative_error": _number(found.max_relative_error),
            }
            for found in report.forward
        ],
    }


def check_json(report: Report) -> dict[str, Any]:
    """The part that a foreign trace has, too. Each tensor is listed once, with all that is known of it."""
    ratios = {found.name: found.ratio for found in report.rounding}
    steps = {f"{found.name}.grad": found.max_relative_error for found in report.complex_steps}
    definition = {found.name: found for found in (report.definition.tensors if report.definition else ())}
    tensors = []
    for tensor in report.comparison.tensors:
        figures = {
            "outside": tensor.outside,
            "worst": tensor.worst or None,
            "note": tensor.note or None,
            "bound_used": (report.bounds or {}).get(tensor.name),
            "float32_error_ratio": ratios.get(tensor.name),
            "complex_step_error": steps.get(tensor.name),
            "definition_error": definition[tensor.name].max_relative_error if definition else None,
        }
        # A figure that a command never has is left out; one that this tensor alone lacks is null.
        figures = {key: value for key, value in figures.items() if key in _figures(report)}
        tensors.append(
            _tensor(tensor) | {k: _number(v) if isinstance(v, float) else v for k, v in figures.items()}
        )
    return {
        "passed": report.passed,
        "first_divergence": report.comparison.first_divergence,
        "culprit": report.culprit,
        "diagnosis": report.diagnosis,
        "dtype": report.dtype,
        "seed": report.seed,
        "notes": list(report.notes),
        "culprits": [asdict(culprit) for culprit in report.culprits],
        "tensors": tensors,
    }


def _figures(report: Report) -> set[str]:
    sources = {
        "bound_used": report.bounds,
        "float32_error_ratio": report.rounding,
        "complex_step_error": report.complex_steps,
        "definition_error": report.definition,
    }
    return {"outside", "worst", "note"} | {key for key, source in sources.items() if source}


def _tensor(tensor: TensorResult) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "kind": tensor.kind,
        "passed": tensor.passed,
        "max_relative_error": _number(tensor.max_relative_error),
    }


def as_table(report: Report, failures_only: bool = False) -> Table:
    """One row per tensor, or one per tensor that fails."""
    failed = sum(not tensor.passed for tensor in report.comparison.tensors)
    first = f"the first {MOST_FAILURES} failures (--all lists every tensor)"
    short = first if failed > MOST_FAILURES else "failures"
    title = short if failures_only else report.title
    table = Table(title=title, title_justify="left")
    table.add_column("tensor", no_wrap=True)
    table.add_column("kind")
    table.add_column("relative error" if report.dtype == "float32" else "float64 error", justify="right")
    if report.rounding:
        table.add_column("float32, x PyTorch's", justify="right")
    if report.bounds:
        table.add_column("% of bound", justify="right")
    table.add_column("")
    ratios = {found.name: f"{found.ratio:.2f}" for found in report.rounding}
    shares = {name: f"{100 * share:.2g}" for name, share in (report.bounds or {}).items()}
    for tensor in report.comparison.tensors:
        passed = tensor.passed and tensor.name not in report.over_bound
        if failures_only and (passed or table.row_count >= MOST_FAILURES):
            continue
        verdict = Text("PASS", "green") if passed else Text("FAIL", "bold red")
        error = tensor.note or f"{tensor.max_relative_error:.1e}"
        figures = [ratios.get(tensor.name, "")] if report.rounding else []
        figures += [shares.get(tensor.name, "")] if report.bounds else []
        table.add_row(tensor.name, tensor.kind, error, *figures, verdict)
    return table


def summary(report: Report) -> list[str]:
    """The verdict in a few lines."""
    count, worst = len(report.comparison.tensors), report.comparison.max_relative_error
    tensors, agree = ("1 tensor", "agrees") if count == 1 else (f"{count} tensors", "agree")
    lines = list(report.notes)
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
    for found in report.forward:
        error = f"worst relative error {found.max_relative_error:.1e} (bound {found.bound:.0e})"
        lines.append(f"{found.program}: {error}, forward pass, {found.dtype}")
    if report.passed:
        how = f"worst relative error {worst:.1e} (bound {LANE64:.0e})"
        if report.dtype == "float32":
            share = max((report.bounds or {}).values(), default=0.0)
            how = f"within at most {100 * share:.2g} % of their rounding bounds"
        return [*lines, f"PASS: {tensors} {agree}, {how}"]
    failed = [tensor for tensor in report.comparison.tensors if not tensor.passed]
    first = report.comparison.first_divergence
    if not failed:
        lines.append(f"FAIL: {tensors} {agree} in {report.dtype}, but see below")
    else:
        lines.append(f"FAIL: {len(failed)} of {tensors}; first divergence: {first}")
        tensor = failed[0]
        elements = "1 element" if tensor.outside == 1 else f"{tensor.outside} elements"
        lines.append(f"  {tensor.note or f'{elements} out of bounds, worst at {tensor.worst}'}")
    lines += _culprit_lines(report)
    lines += [f"also out of bounds: {failure}" for failure in report.other_failures]
    return lines


def _culprit_lines(report: Report) -> list[str]:
    """A line for each place that is wrong, each fault once."""
    by_place: dict[str, dict[str, None]] = {}
    for culprit in report.culprits:
        by_place.setdefault(culprit.place, {})[culprit.diagnosis] = None
    lines = [f"culprit: {place}: {'; '.join(words)}" for place, words in by_place.items()]
    more = len(lines) - MOST_CULPRITS
    return lines[:MOST_CULPRITS] + ([f"and {more} more (--json lists all culprits)"] if more > 0 else [])


def prove_json(verdicts: Sequence[Verdict], failures: Sequence[str], control_seeds: int) -> dict[str, Any]:
    """Stable keys. `failures` are those of the control."""
    return {
        "total": len(verdicts),
        "caught": sum(verdict.caught for verdict in verdicts),
        "blamed_right": sum(verdict.blamed_right for verdict in verdicts),
        "control_passed": not failures,
        "control_failures": list(failures),
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
        by = ", ".join(verdict.caught_by) or Text("no check", "bold red")
        place = verdict.culprit.place if verdict.culprit else "-"
        located = place if verdict.blamed_right else Text(f"{place}, not {verdict.mutant.place}", "red")
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


def own_tests_json(names: Sequence[str], found: Sequence[Outcome]) -> dict[str, Any]:
    """Stable keys."""
    return {
        "tests": list(names),
        "total": len(found),
        "caught": sum(outcome.caught for outcome in found),
        "mutants": [
            {
                "name": outcome.mutant.name,
                "caught": outcome.caught,
                "caught_by": list(outcome.failed),
                "expected": outcome.mutant.place,
                "messages": outcome.failed,
            }
            for outcome in found
        ],
    }


def own_tests_table(found: Sequence[Outcome]) -> Table:
    """One row per bug."""
    table = Table(title="Known bugs, and which of your tests fail", title_justify="left")
    for column in ("bug", "place", "", "failed tests"):
        table.add_column(column)
    for outcome in found:
        verdict = Text("caught", "green") if outcome.caught else Text("missed", "bold red")
        failed = ", ".join(outcome.failed)
        table.add_row(outcome.mutant.name, outcome.mutant.place, verdict, failed)
    return table


def own_tests_summary(file: Path, names: Sequence[str], found: Sequence[Outcome]) -> list[str]:
    """How many bugs were caught, in all, by place and by test."""
    caught = sum(outcome.caught for outcome in found)
    tests = "1 test" if len(names) == 1 else f"{len(names)} tests"
    parts = [f"{kind} {some} of {total}" for kind, (some, total) in by_place(found).items()]
    lines = [f"{caught} of {len(found)} bugs caught by {tests} in {file}", f"by place: {', '.join(parts)}"]
    idle = [name for name in names if not any(name in outcome.failed for outcome in found)]
    return [*lines, *([f"caught nothing: {', '.join(idle)}"] if idle else [])]


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
