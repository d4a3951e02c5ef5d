"""A report as one page that needs nothing else: a heat map of layers and checks, then every tensor."""

import math
from collections.abc import Iterable
from html import escape

from numpy_vgg7.environment import environment
from numpy_vgg7.parity.compare import TensorResult
from numpy_vgg7.parity.report import summary
from numpy_vgg7.parity.run import Report
from numpy_vgg7.parity.second import PREFIX as SECOND
from numpy_vgg7.parity.tolerances import LANE32, LANE64

# Cells have dark text on light colours in both schemes.
STYLE = """
:root { color-scheme: light dark; --text: #1a202c; --page: #fff; --box: #f7fafc; --line: #e2e8f0;
  --good: #2f855a; --bad: #c53030 }
@media (prefers-color-scheme: dark) {
  :root { --text: #e2e8f0; --page: #171923; --box: #2d3748; --line: #4a5568; --good: #68d391; --bad: #fc8181 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page) }
body { margin: 2rem auto; max-width: 64rem; padding: 0 1rem }
h1 { font-size: 1.3rem; overflow-wrap: anywhere } h2 { font-size: 1.05rem; margin-top: 2rem }
.verdict { padding: .6rem 1rem; border-left: .4rem solid; background: var(--box); overflow-wrap: anywhere }
.pass { border-color: var(--good) } .fail { border-color: var(--bad) }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 600 }
td, th { padding: .15rem .7rem; border-bottom: 1px solid var(--line) }
.map td { text-align: center; min-width: 4rem; border: 2px solid var(--page); color: #1a202c }
.map th:first-child { white-space: nowrap }
.number { text-align: right } .bad { color: var(--bad); font-weight: 600 }
footer { margin-top: 2rem; font-size: .85rem; overflow-wrap: anywhere }
@media (max-width: 600px) {
  body { margin: 1rem auto; padding: 0 .6rem }
  td, th { padding: .15rem .35rem; font-size: .8rem } .map td { min-width: 2.9rem }
}
"""
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


def as_html(report: Report) -> str:
    """The page."""
    verdict = "<br>".join(escape(line) for line in summary(report))
    rows = "".join(_row(tensor) for tensor in report.comparison.tensors)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>{STYLE}</style>\n<h1>{escape(report.title)}</h1>\n"
        f'<p class="verdict {"pass" if report.passed else "fail"}">{verdict}</p>\n'
        f"<h2>Where: largest error of each layer</h2>\n<p>{_legend(report)}</p>\n"
        f'<div class="wide"><table class="map">{_heat_map(report)}</table></div>\n'
        '<h2>Every tensor</h2>\n<div class="wide"><table><tr><th>tensor</th><th>kind</th>'
        f"<th>relative error</th><th>out of bounds</th><th>worst element</th></tr>{rows}</table></div>\n"
        f"<footer>{escape(_origin(report))}</footer>\n</html>\n"
    )


def _legend(report: Report) -> str:
    how = "judged by rounding bounds" if report.dtype == "float32" else f"bound {LANE64:.0e}"
    words = [f"Errors are relative to the largest element, {report.dtype} ({how})."]
    if report.rounding:
        words.append(f"The float32 error is a multiple of PyTorch's (bound {LANE32:.0f}).")
    if report.bounds:
        words.append("The last column is the percentage that is used of the rounding bounds of float32.")
    return " ".join(words)


def _heat_map(report: Report) -> str:
    results = {tensor.name: tensor for tensor in report.comparison.tensors}
    ratios = {found.name: found.ratio for found in report.rounding}
    shares = report.bounds or {}
    columns = {head: ends for head, ends in COLUMNS.items() if any(n.endswith(ends) for n in results)}
    heads = [*columns, *(["float32 error"] if ratios else []), *(["float32 bound, %"] if shares else [])]
    lines = ["<tr><th>layer</th>" + "".join(f"<th>{head}</th>" for head in heads) + "</tr>"]
    for layer in _layers(results):
        cells = [
            _cell([results[layer + e] for e in endings if layer + e in results])
            for endings in columns.values()
        ]
        if ratios:
            cells.append(_figure(_of(layer, ratios), LANE32, ".1f", 1))
        if shares:
            cells.append(_figure(_of(layer, shares), 1.0, ".2g", 100))
        lines.append(f"<tr><th>{escape(layer)}</th>{''.join(cells)}</tr>")
    return "".join(lines)


def _layers(names: Iterable[str]) -> list[str]:
    """Layers in the order of computation, those of the second batch last."""
    found: dict[str, None] = {}
    for name in names:
        prefix = SECOND if name.startswith(SECOND) else ""
        found[prefix + name.removeprefix(prefix).split(".")[0]] = None
    return list(found)


def _of(layer: str, figures: dict[str, float]) -> list[float]:
    return [figures[layer + ending] for ending in FLOAT32 if layer + ending in figures]


def _cell(tensors: list[TensorResult]) -> str:
    if not tensors:
        return "<td></td>"
    # One that fails stands for the cell; NaN never does.
    worst = max(tensors, key=lambda tensor: (not tensor.passed, tensor.max_relative_error))
    error = worst.max_relative_error
    text = f"{error:.0e}" if error and math.isfinite(error) else "fail" if error else "0"
    names = ", ".join(tensor.name for tensor in tensors)
    return f'<td style="background:{_colour(worst.passed, error)}" title="{escape(names)}">{text}</td>'


def _figure(values: list[float], bound: float, style: str, unit: float) -> str:
    """The largest of several figures, each good up to a bound."""
    if not values:
        return "<td></td>"
    worst = max(values, key=lambda value: math.inf if math.isnan(value) else value)
    text = f"{worst * unit:{style}}" if math.isfinite(worst) else "fail"
    colour = f"hsl(145 45% {85 - 25 * worst / bound:.0f}%)" if worst <= bound else "hsl(10 85% 68%)"
    return f'<td style="background:{colour}">{text}</td>'


def _colour(passed: bool, error: float) -> str:
    """Green where it passes, paler towards the bound; from orange to red by the size of the error."""
    error = max(error, 1e-17)
    if passed:
        return f"hsl(145 45% {60 + 25 * min(1.0, (17 + math.log10(error)) / 5):.0f}%)"
    severity = 1.0 if not math.isfinite(error) else min(1.0, max(0.0, (12 + math.log10(error)) / 12))
    return f"hsl({40 - 40 * severity:.0f} 85% {75 - 10 * severity:.0f}%)"


def _row(tensor: TensorResult) -> str:
    error = tensor.note or f"{tensor.max_relative_error:.1e}"
    style = "number" if tensor.passed else "number bad"
    outside = str(tensor.outside) if tensor.outside else ""
    return (
        f"<tr><td>{escape(tensor.name)}</td><td>{tensor.kind}</td>"
        f'<td class="{style}">{escape(error)}</td><td class="number">{outside}</td>'
        f"<td>{escape(tensor.worst) if tensor.outside else ''}</td></tr>"
    )


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
