"""Plots of a training: curves, confusion matrix, kernels and misclassified images. Needs matplotlib."""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from numpy_vgg7.data import Dataset
from numpy_vgg7.files import make_folder, write_bytes
from numpy_vgg7.functional import Array, Labels
from numpy_vgg7.model import VGG7
from numpy_vgg7.training.loop import Epoch, State

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MAX_MISCLASSIFIED = 24  # images in one figure
BLUE, ORANGE, GREY = "#2b6cb0", "#dd6b20", "#718096"
UNITS = {"loss": "cross-entropy (nats)", "accuracy": "accuracy"}


def available() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def write_plots(folder: Path, model: VGG7, test: Dataset, probs: Array, history: Sequence[Epoch]) -> None:
    """Write four plots of a training into a folder, as PNG files. Raises OutputError.

    probs: what the model gives for the test set, (N, classes).
    """
    figures = {
        "curves.png": curves(history),
        "confusion.png": confusion(test, probs.argmax(axis=1), model.config.classes),
        "kernels.png": kernels(model),
        "misclassified.png": misclassified(test, probs),
    }
    write(folder, figures)


def write(folder: Path, figures: Mapping[str, "Figure"]) -> None:
    """Write figures by file name into a folder, which is created if it is missing. Raises OutputError."""
    make_folder(folder)
    for name, figure in figures.items():
        write_figure(folder / name, figure)


def write_figure(path: Path, figure: "Figure") -> None:
    """Write one figure as a PNG file. Raises OutputError."""
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120)
    write_bytes(path, png.getvalue())


def new_figure(width: float, height: float) -> "Figure":
    """An empty figure, in inches."""
    if "matplotlib" not in sys.modules:
        _import_matplotlib()
    from matplotlib.figure import Figure  # no pyplot: no global state, no display needed

    return Figure(figsize=(width, height), layout="constrained")


def _import_matplotlib() -> None:
    """Import matplotlib, which fails where MPLBACKEND is no backend, though none is needed here."""
    backend = os.environ.pop("MPLBACKEND", None)
    from matplotlib import rcParams

    if backend:
        os.environ["MPLBACKEND"] = backend
        with suppress(ValueError):
            rcParams["backend"] = backend  # as the import would have done, for pyplot


def curves(history: Sequence[Epoch]) -> "Figure":
    """Loss (log scale) and accuracy over epochs, training and validation."""
    figure = new_figure(9, 3.6)
    for axes, kind in zip(figure.subplots(1, 2), UNITS, strict=True):
        draw_curve(axes, kind, history)
        axes.set(title=kind.capitalize())
    return figure


def draw_curve(axes: "Axes", kind: str, history: Sequence[Epoch]) -> None:
    """Loss (log scale) or accuracy over epochs, training and validation, with the best epoch marked."""
    for part, colour in (("train", BLUE), ("validation", ORANGE)):
        values = [getattr(row, f"{part}_{kind}") for row in history]
        draw_line(axes, values, color=colour, label=part)
    best = State({}, {}, list(history)).best_epoch
    axes.axvline(best, color=GREY, linestyle=":", label=f"best: epoch {best}")
    axes.legend(frameon=False)
    finish_curve(axes, kind)


def draw_line(axes: "Axes", values: Sequence[float], **style: Any) -> None:
    """A line over epochs, with markers where there are few."""
    axes.plot(range(1, len(values) + 1), values, marker="." if len(values) < 3 else "", **style)


def finish_curve(axes: "Axes", kind: str) -> None:
    """Label the axes of a loss or an accuracy over epochs."""
    axes.set(xlabel="epoch", ylabel=UNITS[kind])
    axes.locator_params(axis="x", integer=True, min_n_ticks=1)
    axes.grid(alpha=0.3)
    if kind == "loss":
        use_log(axes)


def use_log(axes: "Axes") -> None:
    """A logarithmic y axis with plain numbers, 0.01 instead of a power of ten."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""  # no text for ticks that would be too close

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(Plain())
    axes.yaxis.set_minor_formatter(Plain())


def cost(costs: Sequence[float], title: str) -> "Figure":
    """The article's cost over epochs."""
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    axes.plot(range(1, len(costs) + 1), costs, color=BLUE, marker="." if len(costs) < 3 else "")
    axes.set(title=title, xlabel="epoch", ylabel="binary cost per image", ylim=(0, None))
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    return figure


def confusion(data: Dataset, predicted: Labels, classes: int) -> "Figure":
    """The number of images of each class (row) predicted as each class (column)."""
    from sklearn.metrics import confusion_matrix

    counts = confusion_matrix(data.labels, predicted, labels=np.arange(classes))
    figure = new_figure(5.2, 4.8)
    axes = figure.subplots()
    axes.imshow(np.log1p(counts), cmap="Blues")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if count > counts.max() / 4 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=9)
    wrong = int(counts.sum() - np.trace(counts))
    axes.set(
        title=f"{wrong} of {counts.sum()} images misclassified",
        xlabel="predicted", ylabel="true", xticks=range(classes), yticks=range(classes),
    )  # fmt: skip
    return figure


def kernels(model: VGG7) -> "Figure":
    """The 3x3 kernels of conv1, and those of conv2 for its first input channel."""
    rows = [model.params["conv1.weight"][:16, 0], model.params["conv2.weight"][:16, 0]]
    columns = max(len(row) for row in rows)
    figure = new_figure(max(3.0, 0.6 * columns), 2.2)
    grid = figure.subplots(2, columns, squeeze=False)
    for name, cells, row in zip(("conv1", "conv2"), grid, rows, strict=True):
        limit = float(max(np.abs(row).max(), 1e-12))
        for cell in cells:
            cell.set_axis_off()
        for cell, kernel in zip(cells, row, strict=False):
            cell.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
        cells[0].set_title(name, fontsize=9, loc="left")
    figure.suptitle("Kernels: red positive, blue negative", fontsize=10)
    return figure


def misclassified(data: Dataset, probs: Array) -> "Figure":
    """The misclassified images, the most confident predictions first."""
    predicted = probs.argmax(axis=1)
    wrong = np.flatnonzero(predicted != data.labels)
    count = len(wrong)
    wrong = wrong[np.argsort(-probs[wrong].max(axis=1), kind="stable")][:MAX_MISCLASSIFIED]
    columns = min(8, max(1, len(wrong)))
    rows = max(1, -(-len(wrong) // columns))
    figure = new_figure(max(3.6, 1.2 * columns), 1.5 * rows + 0.5 if count else 0.6)
    if count == 0:
        figure.suptitle("No test image is misclassified", fontsize=10)
        return figure
    for cell in figure.subplots(rows, columns, squeeze=False).flat:
        cell.set_axis_off()
    for cell, index in zip(figure.axes, wrong, strict=False):
        cell.imshow(data.batch(np.array([index]))[0, 0], cmap="gray", vmin=0, vmax=1)
        title = f"{data.labels[index]} → {predicted[index]}\n{probs[index].max():.0%}"
        cell.set_title(title, fontsize=8)
    shown = "" if count == len(wrong) else f", the {len(wrong)} most confident"
    images = "image" if count == 1 else "images"
    figure.suptitle(f"{count} misclassified test {images}{shown}: true → predicted", fontsize=10)
    return figure
