"""The article's three gradients over many seeds: a table and two figures.

    python scripts/article_study.py --data-dir DIR [--seeds N] [--jobs N] [--out docs/article]

Finished runs are kept in runs.csv and not repeated; delete the file to start over.
"""

import argparse
import csv
import io
import os
import sys
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from numpy_vgg7 import blas, network, plots
from numpy_vgg7.article import EPOCHS, SEED, protocol
from numpy_vgg7.article.protocol import BACKPROPS, TEST_IMAGES, next_larger, prepare, read_data
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.files import write_text
from numpy_vgg7.model import VGG7

COLOURS = {"true": "#2b6cb0", "published": "#dd6b20", "broken": "#c53030"}
REPORTED = {"published": 42, "broken": 39}  # correct of 50, in the article
CHAOS_STEPS = 400
DEAD = 0.99  # share of the training images whose features are all zero
Z = 1.96  # for a 95 % confidence interval


class Run(NamedTuple):
    """One training run. `dead_epoch` is the first after which nearly all features are zero, or 0."""

    backprop: str
    seed: int
    epochs: int
    correct: int
    unused_accuracy: float
    first_cost: float
    last_cost: float
    dead_epoch: int
    seconds: float


def dead_share(model: VGG7, data: Dataset) -> float:
    """The share of images whose features are all zero."""
    (end,) = (index for index, layer in enumerate(model.layers) if isinstance(layer, network.Flatten))
    tape = network.forward(model.layers[: end + 1], model.params, data.images.astype(model.dtype))
    return float((~tape[-1].out.any(axis=1)).mean())


def one_run(task: tuple[Path, str, int, int]) -> Run:
    """Train and evaluate once."""
    data_dir, backprop, seed, epochs = task
    split, model = prepare(read_data(data_dir), seed)
    dead_epoch = 0

    def watch(epoch: int, cost: float) -> None:
        nonlocal dead_epoch
        if not dead_epoch and dead_share(model, split.train) >= DEAD:
            dead_epoch = epoch

    with blas.single_threaded():  # the runs are parallel
        history = protocol.train(model, split.train, backprop, epochs, watch)
    correct = int((model.predict(split.test.images) == split.test.labels).sum())
    accuracy = float((model.predict(split.unused.images) == split.unused.labels).mean())
    first, last = history.cost[0], history.cost[-1]
    return Run(backprop, seed, epochs, correct, accuracy, first, last, dead_epoch, round(history.seconds, 1))


def finished_runs(path: Path) -> list[Run]:
    """The runs of earlier calls."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Run(
                row["backprop"], int(row["seed"]), int(row["epochs"]), int(row["correct"]),
                float(row["unused_accuracy"]), float(row["first_cost"]),
                float(row["last_cost"]), int(row["dead_epoch"]), float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def write_runs(path: Path, runs: Sequence[Run]) -> None:
    """Write all runs so far, in the order of the table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Run._fields)
    writer.writerows(sorted(runs, key=lambda run: (list(BACKPROPS).index(run.backprop), run.seed)))
    write_text(path, text.getvalue())


def interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % confidence interval of an accuracy (Wilson 1927)."""
    p, z2 = correct / total, Z * Z / total
    centre = (p + z2 / 2) / (1 + z2)
    half = Z / (1 + z2) * float(np.sqrt(p * (1 - p) / total + z2 / (4 * total)))
    return centre - half, centre + half


def table(runs: Sequence[Run]) -> str:
    """A Markdown table with one row per gradient."""
    lines = [
        "| gradient | seeds | correct of 50: mean (min to max) | accuracy over all seeds (95 % interval)"
        " | article | accuracy on unused images: mean (min to max) | all features dead |",
        "|---|---|---|---|---|---|---|",
    ]
    for backprop in BACKPROPS:
        group = [run for run in runs if run.backprop == backprop]
        if not group:
            continue
        correct = [run.correct for run in group]
        unused = [run.unused_accuracy for run in group]
        low, high = interval(sum(correct), TEST_IMAGES * len(group))
        pooled = f"{sum(correct) / TEST_IMAGES / len(group):.1%} ({low:.1%} to {high:.1%})"
        reported = "-"
        if backprop in REPORTED:
            low, high = interval(REPORTED[backprop], TEST_IMAGES)
            reported = f"{REPORTED[backprop]} ({low:.0%} to {high:.0%})"
        dead = [run.dead_epoch for run in group if run.dead_epoch]
        epochs = " to ".join(str(epoch) for epoch in sorted({min(dead), max(dead)})) if dead else ""
        when = f"{len(dead)} of {len(group)}" + (f", at epoch {epochs}" if dead else "")
        lines.append(
            f"| `{backprop}` | {len(group)} | {np.mean(correct):.1f} ({min(correct)} to {max(correct)})"
            f" | {pooled} | {reported} | {np.mean(unused):.1%} ({min(unused):.1%} to {max(unused):.1%})"
            f" | {when} |"
        )
    return "\n".join(lines)


def study_figure(runs: Sequence[Run]) -> Figure:
    """One dot per seed: the accuracy on the unused images, and the score on the 50 with the article's."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    unused, test = figure.subplots(1, 2)
    for place, backprop in enumerate(BACKPROPS):
        group = [run for run in runs if run.backprop == backprop]
        places = place + np.linspace(-0.22, 0.22, max(1, len(group)))
        colour = COLOURS[backprop]
        unused.scatter(places, [100 * run.unused_accuracy for run in group], color=colour, alpha=0.8)
        test.scatter(places, [run.correct for run in group], color=colour, alpha=0.8)
        if backprop in REPORTED:
            low, high = interval(REPORTED[backprop], TEST_IMAGES)
            error = [[REPORTED[backprop] - TEST_IMAGES * low], [TEST_IMAGES * high - REPORTED[backprop]]]
            test.errorbar(place + 0.36, REPORTED[backprop], error, fmt="k_", capsize=4, markersize=12)
    for axes, title, unit, top in (
        (unused, "9,350 images that the article leaves unused", "accuracy (%)", 100),
        (test, "50 test images (black: the article's score, 95 % interval)", "correct of 50", TEST_IMAGES),
    ):
        axes.set(title=title, ylabel=unit, ylim=(0, top), xticks=range(3), xticklabels=list(BACKPROPS))
        axes.title.set_fontsize(10)
        axes.axhline(top / 10, color="grey", linewidth=1, linestyle=":")
        axes.grid(axis="y", alpha=0.3)
    return figure


def chaos_figure(data: Dataset) -> Figure:
    """How a difference of one rounding error in the initial weights grows with each gradient."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    steps = np.arange(CHAOS_STEPS)
    for backprop in BACKPROPS:
        split, model = prepare(data, SEED)
        few = split.train.take(steps)
        costs = [
            np.array(protocol.train(start, few, backprop, 1, step_costs=CHAOS_STEPS).step_cost)
            for start in (next_larger(model), model)
        ]
        difference = np.maximum(np.abs(costs[1] - costs[0]), 1e-17)
        axes.semilogy(steps + 1, difference, color=COLOURS[backprop], label=backprop, linewidth=1)
    axes.set(
        title=f"Two training runs whose initial weights differ in the last bit (seed {SEED})",
        xlabel="step", ylabel="difference in the cost of a step", ylim=(1e-17, 1e2),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, title="gradient")
    return figure


def main() -> None:
    """Run the missing runs, then write the table and the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("docs/article"))
    options = parser.parse_args()
    data = read_data(options.data_dir)
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "runs.csv"
    seeds = [SEED, *range(1, options.seeds)]
    runs = [run for run in finished_runs(log) if run.seed in seeds and run.epochs == options.epochs]
    done = {(run.backprop, run.seed) for run in runs}
    tasks = [
        (options.data_dir, backprop, seed, options.epochs)
        for seed in seeds
        for backprop in BACKPROPS
        if (backprop, seed) not in done
    ]
    with Pool(options.jobs) as pool:
        for run in pool.imap_unordered(one_run, tasks):
            runs.append(run)
            write_runs(log, runs)
            print(*run, file=sys.stderr, flush=True)
    text = table(runs)
    write_text(options.out / "table.md", text + "\n")
    plots.write(options.out, {"study.png": study_figure(runs), "chaos.png": chaos_figure(data)})
    print(text)


if __name__ == "__main__":
    main()
