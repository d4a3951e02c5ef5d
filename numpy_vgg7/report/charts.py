"""Charts as SVG inside a page. Their colours are variables of the page's style, so they follow its scheme."""

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from numpy_vgg7.plots import BLUE, GREY, ORANGE, draw_curve, draw_line, finish_curve, new_figure, use_log
from numpy_vgg7.report.run import Run
from numpy_vgg7.report.scores import Scores

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The page has these colours in its variables --series0, --series1, ..., in another shade on dark.
SERIES = (BLUE, ORANGE, "#2f855a", "#97266d", "#6b46c1", "#975a16", "#0987a0", "#c53030")
DASHES = ("solid", "dashed", "dotted")  # of the first eight runs of a comparison, of the next, of the next
VARIABLES = {colour: f"series{index}" for index, colour in enumerate(SERIES)}
VARIABLES |= {GREY: "soft", "#000000": "text", "#b0b0b0": "line"}  # the last two are matplotlib's own
FEW = 10  # images of a bin, whose accuracy is noisy: its bar is pale
WIDTH, HEIGHT = 4.6, 3.0  # inches
# Of the axes, in shares of the figure. A computed layout would take as long as the rest.
MARGINS = {"left": 0.16, "right": 0.965, "bottom": 0.15, "top": 0.98}
LEGEND_ABOVE = {"top": 0.91}


class Chart(NamedTuple):
    """A chart, and what it shows in words."""

    title: str
    svg: "Markup"


def curves(run: Run) -> list[Chart]:
    """Loss and accuracy over epochs, with the best epoch marked."""
    charts = []
    for kind in ("loss", "accuracy"):
        figure, axes = _axes()
        draw_curve(axes, kind, run.history)
        parts = [
            f"{part} from {getattr(run.history[0], key):.4f} to {getattr(run.history[-1], key):.4f}, "
            f"{getattr(run.best, key):.4f} in the best epoch"
            for part, key in (("training", f"train_{kind}"), ("validation", f"validation_{kind}"))
        ]
        words = f"{kind.capitalize()} over {len(run.history)} epochs: {'; '.join(parts)} ({run.best.epoch})."
        charts.append(Chart(kind.capitalize(), inline(figure, kind, words)))
    return charts


def reliability(scores: Scores) -> list[Chart]:
    """The accuracy over the confidence, and how many images have which confidence."""
    filled = [row for row in scores.calibration if row.images]
    centres = [(row.low + row.high) / 2 for row in filled]
    width = 0.94 * (filled[0].high - filled[0].low)
    figure, axes = _axes(**LEGEND_ABOVE)
    for row, bar in zip(
        filled, axes.bar(centres, [row.accuracy for row in filled], width, color=BLUE), strict=True
    ):
        bar.set_alpha(1 if row.images >= FEW else 0.35)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfectly calibrated")
    means = [row.confidence for row in filled], [row.accuracy for row in filled]
    axes.plot(*means, color=ORANGE, marker="o", linestyle="", clip_on=False, label="mean confidence")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="confidence", ylabel="accuracy")
    axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0)
    words = f"Reliability diagram: expected calibration error {scores.calibration_error:.4f}. " + "; ".join(
        f"confidence {row.confidence:.2f}: accuracy {row.accuracy:.2f}" for row in filled
    )
    charts = [Chart("Reliability", inline(figure, "reliability", words))]

    figure, axes = _axes()
    axes.bar(centres, [row.images for row in filled], width, color=BLUE)
    axes.set(xlim=(0, 1), xlabel="confidence", ylabel="images")
    use_log(axes)
    words = "Images by confidence: " + "; ".join(
        f"{row.low:.1f} to {row.high:.1f}: {row.images}" for row in filled
    )
    return [*charts, Chart("Images by confidence", inline(figure, "confidence", words))]


class Mark(NamedTuple):
    """How the lines of a run of a comparison look."""

    colour: str
    dashes: str

    @property
    def variable(self) -> str:
        """The variable of the page for the colour."""
        return VARIABLES[self.colour]


def mark(index: int) -> Mark:
    """That of the first, second, ... run."""
    return Mark(SERIES[index % len(SERIES)], DASHES[index // len(SERIES) % len(DASHES)])


def compared(runs: Sequence[Run]) -> list[Chart]:
    """The curves of several runs over one another, with the best epochs marked."""
    charts = []
    for part, kind in (
        ("validation", "loss"),
        ("validation", "accuracy"),
        ("train", "loss"),
        ("train", "accuracy"),
    ):
        key, title = f"{part}_{kind}", f"{part.replace('train', 'training').capitalize()} {kind}"
        figure, axes = _axes()
        for index, run in enumerate(runs):
            colour, dashes = mark(index)
            draw_line(axes, [getattr(row, key) for row in run.history], color=colour, linestyle=dashes)
            axes.plot([run.best.epoch], [getattr(run.best, key)], color=colour, marker="o")
        finish_curve(axes, kind)
        values = "; ".join(f"{run.name}: {getattr(run.best, key):.4f}" for run in runs)
        charts.append(Chart(title, inline(figure, key, f"{title} over epochs. In the best epoch: {values}.")))
    return charts


def _axes(**margins: float) -> "tuple[Figure, Axes]":
    figure = new_figure(WIDTH, HEIGHT)
    figure.set_layout_engine("none")
    axes = figure.subplots(gridspec_kw=MARGINS | margins)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def inline(figure: "Figure", name: str, words: str) -> "Markup":
    """A figure as an SVG element, with ids that no figure of another name has; the same bytes each time."""
    from markupsafe import Markup, escape
    from matplotlib import rc_context

    file, no_dates = io.StringIO(), dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):  # text stays text
        figure.savefig(file, format="svg", transparent=True, metadata=no_dates)
    svg = file.getvalue()
    start = re.search(r'<svg.*?(viewBox="[^"]*").*?>\s*<defs>.*?</defs>', svg, re.DOTALL)
    assert start, "matplotlib writes a viewBox and a style, which is in that of the page"
    svg = svg[start.end() :]
    svg = re.sub(r' id="[^"]*_\d+"', "", svg)  # of groups, which nothing refers to
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "system-ui, sans-serif", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(f'<svg {start[1]} role="img" aria-label="{escape(words)}">{svg}')
