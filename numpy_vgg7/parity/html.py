"""A report as one page that needs nothing else: a heat map of layers and checks, then every tensor."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from numpy_vgg7.environment import environment
from numpy_vgg7.pages import render
from numpy_vgg7.parity.compare import TensorResult
from numpy_vgg7.parity.report import summary
from numpy_vgg7.parity.run import Report
from numpy_vgg7.parity.second import PREFIX as SECOND
from numpy_vgg7.parity.tolerances import LANE32, LANE64

# The cells of a layer: the worst of the tensors with these endings.
COLUMNS = {
    "value": ("",),
    "gradient": (".grad",),
    "weight gradient": (".weight.grad",),
    "bias gradient": (".bias.grad",),
    "1 step": (".weight.step1", ".bias.step1"),
    "10 steps": (".weight.step10", ".bias.step10"),
}
FLOAT32 = ("", ".grad", ".weight.grad", ".bias.grad", ".weight.step1", ".bias.step1")


class Cell(NamedTuple):
    """A cell of the heat map, with the names of its tensors."""

    text: str
    colour: str
    names: str


def as_html(report: Report) -> str:
    """The page."""
    heads, rows = _heat_map(report)
    return render(
        "parity.html",
        title=report.title,
        passed=report.passed,
        verdict=summary(report),
        legend=_legend(report),
        heads=heads,
        rows=rows,
        tensors=report.comparison.tensors,
        origin=_origin(report),
    )


def _legend(report: Report) -> str:
    how = "judged by rounding bounds" if report.dtype == "float32" else f"bound {LANE64:.0e}"
    words = [f"Errors are relative to the largest element, {report.dtype} ({how})."]
    if report.rounding:
        words.append(f"The float32 error is a multiple of PyTorch's (bound {LANE32:.0f}).")
    if report.bounds:
        words.append("The last column is the percentage that is used of the rounding bounds of float32.")
    return " ".join(words)


def _heat_map(report: Report) -> tuple[list[str], dict[str, list[Cell | None]]]:
    """The heads of the columns, and the cells of each layer."""
    results = {tensor.name: tensor for tensor in report.comparison.tensors}
    ratios = {found.name: found.ratio for found in report.rounding}
    shares = report.bounds or {}
    columns = {head: ends for head, ends in COLUMNS.items() if any(n.endswith(ends) for n in results)}
    heads = [*columns, *(["float32 error"] if ratios else []), *(["float32 bound, %"] if shares else [])]
    rows = {}
    for layer in _layers(results):
        cells = [
            _cell([results[layer + e] for e in endings if layer + e in results])
            for endings in columns.values()
        ]
        if ratios:
            cells.append(_figure(_of(layer, ratios), LANE32, ".1f", 1))
        if shares:
            cells.append(_figure(_of(layer, shares), 1.0, ".2g", 100))
        rows[layer] = cells
    return heads, rows


def _layers(names: Iterable[str]) -> list[str]:
    """Layers in the order of computation, those of the second batch last."""
    found: dict[str, None] = {}
    for name in names:
        prefix = SECOND if name.startswith(SECOND) else ""
        found[prefix + name.removeprefix(prefix).split(".")[0]] = None
    return list(found)


def _of(layer: str, figures: dict[str, float]) -> dict[str, float]:
    return {layer + ending: figures[layer + ending] for ending in FLOAT32 if layer + ending in figures}


def _cell(tensors: list[TensorResult]) -> Cell | None:
    if not tensors:
        return None
    # One that fails stands for the cell; NaN never does.
    worst = max(tensors, key=lambda tensor: (not tensor.passed, tensor.max_relative_error))
    error = worst.max_relative_error
    text = f"{error:.0e}" if error and math.isfinite(error) else "fail" if error else "0"
    return Cell(text, _colour(worst.passed, error), ", ".join(tensor.name for tensor in tensors))


def _figure(values: dict[str, float], bound: float, style: str, unit: float) -> Cell | None:
    """The largest of several figures, each good up to a bound."""
    if not values:
        return None
    worst = max(values.values(), key=lambda value: math.inf if math.isnan(value) else value)
    text = f"{worst * unit:{style}}" if math.isfinite(worst) else "fail"
    colour = f"hsl(145 45% {85 - 25 * worst / bound:.0f}%)" if worst <= bound else "hsl(10 85% 68%)"
    return Cell(text, colour, ", ".join(values))


def _colour(passed: bool, error: float) -> str:
    """Green where it passes, paler towards the bound; from orange to red by the size of the error."""
    error = max(error, 1e-17)
    if passed:
        return f"hsl(145 45% {60 + 25 * min(1.0, (17 + math.log10(error)) / 5):.0f}%)"
    severity = 1.0 if not math.isfinite(error) else min(1.0, max(0.0, (12 + math.log10(error)) / 12))
    return f"hsl({40 - 40 * severity:.0f} 85% {75 - 10 * severity:.0f}%)"


def _origin(report: Report) -> str:
    """Versions and seed, by which the report can be made again."""
    found = environment()
    packages = [f"{name} {found['packages'][name]}" for name in ("numpy-vgg7", "numpy", "torch")]
    seed = "unknown" if report.seed is None else str(report.seed)
    blas, python = found["blas"], found["python"]
    return (
        f"seed {seed}; Python {python}; {'; '.join(packages)}; BLAS {blas['name']} {blas['version']} "
        f"({blas['kernel']}); {found['platform']}"
    ).replace("torch None", "torch not installed")
