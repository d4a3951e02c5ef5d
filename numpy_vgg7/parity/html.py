"""A report as one page that needs nothing else: a heat map of layers x {value, gradient}, then the rows."""

import math
from html import escape

from numpy_vgg7.parity.compare import TensorResult
from numpy_vgg7.parity.report import summary
from numpy_vgg7.parity.run import Report
from numpy_vgg7.parity.tolerances import LANE64

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a202c }
body { margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
h1 { font-size: 1.3rem } h2 { font-size: 1.05rem; margin-top: 2rem }
.verdict { padding: .6rem 1rem; border-left: .4rem solid; background: #f7fafc; overflow-wrap: anywhere }
.pass { border-color: #2f855a } .fail { border-color: #c53030 }
table { border-collapse: collapse } th { text-align: left; font-weight: 600 }
td, th { padding: .15rem .7rem; border-bottom: 1px solid #e2e8f0 }
.map td { text-align: center; min-width: 6rem; border: 2px solid #fff; font-variant-numeric: tabular-nums }
td.number { text-align: right; font-variant-numeric: tabular-nums } .bad { color: #c53030; font-weight: 600 }
"""
COLUMNS = {
    "value": "",
    "gradient": ".grad",
    "weight gradient": ".weight.grad",
    "bias gradient": ".bias.grad",
}


def as_html(report: Report) -> str:
    """The page."""
    results = {tensor.name: tensor for tensor in report.comparison.tensors}
    layers = [
        tensor.name
        for tensor in report.comparison.tensors
        if tensor.kind == "value" and "." not in tensor.name
    ]
    named = {name.removesuffix(".grad").split(".")[0] for name in results}
    layers += sorted(named - set(layers))
    heat = "".join(
        f"<tr><th>{escape(layer)}</th>"
        + "".join(
            _cell(results.get(layer + suffix)) for suffix in ("", ".grad", ".weight.grad", ".bias.grad")
        )
        + "</tr>"
        for layer in layers
    )
    rows = "".join(_row(tensor) for tensor in report.comparison.tensors)
    verdict = "<br>".join(escape(line) for line in summary(report))
    header = "".join(f"<th>{column}</th>" for column in COLUMNS)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(report.title)}</title>\n<style>{STYLE}</style>\n<h1>{escape(report.title)}</h1>\n"
        f'<p class="verdict {"pass" if report.passed else "fail"}">{verdict}</p>\n'
        f"<h2>Where: largest relative error, float64 (bound {LANE64:.0e})</h2>\n"
        f'<table class="map"><tr><th>layer</th>{header}</tr>{heat}</table>\n'
        "<h2>Every tensor</h2>\n<table><tr><th>tensor</th><th>kind</th><th>relative error</th>"
        f"<th>out of bounds</th><th>worst element</th></tr>{rows}</table>\n</html>\n"
    )


def _cell(tensor: TensorResult | None) -> str:
    if tensor is None:
        return "<td></td>"
    text = f"{tensor.max_relative_error:.0e}" if math.isfinite(tensor.max_relative_error) else "fail"
    return f'<td style="background:{_colour(tensor)}" title="{escape(tensor.name)}">{text}</td>'


def _colour(tensor: TensorResult) -> str:
    """Green where it passes, paler towards the bound; from orange to red by the size of the error."""
    error = max(tensor.max_relative_error, 1e-17)
    if tensor.passed:
        return f"hsl(145 45% {55 + 30 * min(1.0, (17 + math.log10(error)) / 5):.0f}%)"
    severity = 1.0 if not math.isfinite(error) else min(1.0, max(0.0, (12 + math.log10(error)) / 12))
    return f"hsl({40 - 40 * severity:.0f} 85% {75 - 15 * severity:.0f}%)"


def _row(tensor: TensorResult) -> str:
    error = tensor.note or f"{tensor.max_relative_error:.1e}"
    style = "number" if tensor.passed else "number bad"
    outside = str(tensor.outside) if tensor.outside else ""
    return (
        f"<tr><td>{escape(tensor.name)}</td><td>{tensor.kind}</td>"
        f'<td class="{style}">{escape(error)}</td><td class="number">{outside}</td>'
        f"<td>{escape(tensor.worst) if tensor.outside else ''}</td></tr>"
    )
