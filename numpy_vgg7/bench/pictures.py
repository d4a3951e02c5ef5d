"""Pictures of a benchmark: how time grows, and where it goes. Needs matplotlib."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from numpy_vgg7.bench.growth import BATCH_SIZE, CHANNELS, Point
from numpy_vgg7.bench.measure import PEERS
from numpy_vgg7.bench.profile import WORKS, Stage
from numpy_vgg7.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS = "#dd6b20"
BLUES = ("#2b6cb0", "#63b3ed", "#2c5282")  # of the peers
WORK_COLOURS = ("#2b6cb0", "#dd6b20", "#f6ad55", "#a0aec0")


def write(path: Path, figure: "Figure") -> None:
    """Write a picture as a PNG file. Raises OutputError."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    write_bytes(path, picture.getvalue())


def growth(points: Sequence[Point]) -> "Figure":
    """Milliseconds of a training step over batch size and over channels, logarithmic."""
    figure = _figure(9, 3.8)
    titles = {BATCH_SIZE: "images in a batch", CHANNELS: "channels, times those of vgg7 (batch of 64)"}
    for axes, (axis, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        own = [point for point in points if point.axis == axis]
        sizes = [point.size for point in own]
        for name, colour in zip(PEERS, BLUES, strict=True):
            times = [point.times.peers[name] for point in own if name in point.times.peers]
            if len(times) == len(sizes):
                axes.plot(sizes, times, color=colour, marker=".", label=f"PyTorch, {name}")
        axes.plot(sizes, [point.times.ours for point in own], color=OURS, marker="o", label="numpy-vgg7")
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set(xlabel=title, ylabel="ms a training step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def profile(stages: Sequence[Stage], case: str) -> "Figure":
    """A bar a layer, in the order of the forward pass, made of its works."""
    layers = list(dict.fromkeys(stage.layer for stage in stages))
    figure = _figure(8, 0.28 * len(layers) + 1.4)
    axes = figure.subplots()
    ends = dict.fromkeys(layers, 0.0)
    for work, colour in zip(WORKS, WORK_COLOURS, strict=True):
        own = {stage.layer: stage.ms for stage in stages if stage.work == work}
        starts = [ends[layer] for layer in own]
        axes.barh(list(own), list(own.values()), left=starts, color=colour, label=work)
        for layer, ms in own.items():
            ends[layer] += ms
    axes.invert_yaxis()
    axes.set(title=f"One training step of {case} on one thread: {sum(ends.values()):.1f} ms", xlabel="ms")
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False)
    return figure


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # no pyplot: no global state, no display needed

    return Figure(figsize=(width, height), layout="constrained")
