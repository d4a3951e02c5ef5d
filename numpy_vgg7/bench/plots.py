"""Plots of a benchmark: how time grows with size, and where it goes. Needs matplotlib."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from numpy_vgg7.bench.growth import BATCH_SIZE, CHANNELS, Point
from numpy_vgg7.bench.profile import WORKS, Stage
from numpy_vgg7.bench.times import JAX, TORCH
from numpy_vgg7.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OURS = "#dd6b20"
# Label and colour of each peer.
PEERS = {
    name: (f"PyTorch, {name}", blue)
    for name, blue in zip(TORCH, ("#2b6cb0", "#63b3ed", "#2c5282"), strict=True)
} | {JAX: ("JAX", "#38a169")}
WORK_COLOURS = ("#2b6cb0", "#dd6b20", "#f6ad55", "#a0aec0")


def growth(points: Sequence[Point]) -> "Figure":
    """Milliseconds of a training step over batch size and over channels, logarithmic."""
    figure = new_figure(9, 3.8)
    titles = {BATCH_SIZE: "images in a batch", CHANNELS: "channels, times those of vgg7 (batch of 64)"}
    for axes, (axis, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        points_of_axis = [point for point in points if point.axis == axis]
        sizes = [point.size for point in points_of_axis]
        for name, (label, colour) in PEERS.items():
            times = [point.times.peers[name] for point in points_of_axis if name in point.times.peers]
            if len(times) == len(sizes):
                axes.plot(sizes, times, color=colour, marker=".", label=label)
        axes.plot(
            sizes, [point.times.ours for point in points_of_axis], color=OURS, marker="o", label="numpy-vgg7"
        )
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.set(xlabel=title, ylabel="ms per training step")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def profile(profiles: Mapping[str, Sequence[Stage]]) -> "Figure":
    """For each case one bar per layer, in the order of the forward pass, divided into its works."""
    layers = {case: list(dict.fromkeys(stage.layer for stage in stages)) for case, stages in profiles.items()}
    figure = new_figure(8, sum(0.28 * len(names) + 1.4 for names in layers.values()))
    for axes, (case, stages) in zip(
        figure.subplots(len(profiles), squeeze=False)[:, 0], profiles.items(), strict=True
    ):
        ends = dict.fromkeys(layers[case], 0.0)
        for work, colour in zip(WORKS, WORK_COLOURS, strict=True):
            times = {stage.layer: stage.ms for stage in stages if stage.work == work}
            starts = [ends[layer] for layer in times]
            axes.barh(list(times), list(times.values()), left=starts, color=colour, label=work)
            for layer, ms in times.items():
                ends[layer] += ms
        axes.invert_yaxis()
        axes.set(title=f"One training step of {case} on one thread: {sum(ends.values()):.1f} ms", xlabel="ms")
        axes.grid(axis="x", alpha=0.3)
        axes.legend(frameon=False)
    return figure
