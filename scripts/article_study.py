"""The article's three back propagations over many seeds: a table, and two figures.

    python scripts/article_study.py --data-dir DIR [--seeds N] [--jobs N] [--out docs/article]

A finished run is a line of runs.csv and is not done again; delete the file to begin anew.
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

# A process has one thread, whoever calls for it: the runs are what is parallel. Before NumPy is imported.
for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from numpy_vgg7.nn.network import forward  # noqa: E402
from numpy_vgg7.nn.pooling import Flatten  # noqa: E402
from numpy_vgg7.vgg7 import VGG7  # noqa: E402

from numpy_vgg7 import plots  # noqa: E402
from numpy_vgg7.article.protocol import BACKPROPS, EPOCHS, SEED, TESTED, prepare, replay, ulp_apart  # noqa: E402
from numpy_vgg7.atomic import write_text  # noqa: E402
from numpy_vgg7.data.dataset import Dataset  # noqa: E402
from numpy_vgg7.data.mnist import read_t10k  # noqa: E402

COLOURS = {"true": "#2b6cb0", "published": "#dd6b20", "broken": "#c53030"}
CLAIMED = {"published": 42, "broken": 39}  # of 50, in the article
CHAOS_STEPS = 400
SILENT = 0.99  # share of the images that the convolutions pass nothing on of
Z = 1.96  # of a 95 % interval


class Run(NamedTuple):
    """One training. `silent_epoch` is the first whose convolutions pass on nothing, or 0."""

    backprop: str
    seed: int
    epochs: int
    correct: int
    unused_accuracy: float
    first_cost: float
    last_cost: float
    silent_epoch: int
    seconds: float


def silent_share(model: VGG7, data: Dataset) -> float:
    """The share of images of which nothing arrives at the linear layers."""
    cut = 1 + next(i for i, layer in enumerate(model.layers) if isinstance(layer, Flatten))
    flat = forward(model.layers[:cut], model.params, data.images.astype(model.dtype))[-1].out
    return float((~flat.any(axis=1)).mean())


def one_run(task: tuple[Path, str, int, int]) -> Run:
    """Train once and measure."""
    data_dir, backprop, seed, epochs = task
    split, model = prepare(read_t10k(data_dir), seed)
    silent_epoch = 0

    def look(epoch: int, cost: float) -> None:
        nonlocal silent_epoch
        if not silent_epoch and silent_share(model, split.train) >= SILENT:
            silent_epoch = epoch

    done = replay(model, split.train, backprop, epochs, look)
    correct = int((model.predict(split.test.images) == split.test.labels).sum())
    accuracy = float((model.predict(split.unused.images) == split.unused.labels).mean())
    cost = done.cost
    return Run(
        backprop, seed, epochs, correct, accuracy, cost[0], cost[-1], silent_epoch, round(done.seconds, 1)
    )


def finished(path: Path) -> list[Run]:
    """The runs of an earlier call."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [
            Run(
                row["backprop"], int(row["seed"]), int(row["epochs"]), int(row["correct"]),
                float(row["unused_accuracy"]), float(row["first_cost"]),
                float(row["last_cost"]), int(row["silent_epoch"]), float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]  # fmt: skip


def write_runs(path: Path, runs: Sequence[Run]) -> None:
    """All runs so far, in the order of the table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Run._fields)
    writer.writerows(sorted(runs, key=lambda run: (list(BACKPROPS).index(run.backprop), run.seed)))
    write_text(path, text.getvalue())


def interval(correct: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    share, spread = correct / total, Z * Z / total
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * float(np.sqrt(share * (1 - share) / total + spread / (4 * total)))
    return centre - half, centre + half


def table(runs: Sequence[Run]) -> str:
    """Markdown: a line a back propagation."""
    lines = [
        "| back propagation | seeds | right of 50: mean (least to most) | all of them: share (95 %)"
        " | the article says | unused images: mean (least to most) | convolutions fall silent |",
        "|---|---|---|---|---|---|---|",
    ]
    for backprop in BACKPROPS:
        own = [run for run in runs if run.backprop == backprop]
        if not own:
            continue
        right = [run.correct for run in own]
        unused = [run.unused_accuracy for run in own]
        low, high = interval(sum(right), TESTED * len(own))
        pooled = f"{sum(right) / TESTED / len(own):.1%} ({low:.1%} to {high:.1%})"
        claim = "-"
        if backprop in CLAIMED:
            low, high = interval(CLAIMED[backprop], TESTED)
            claim = f"{CLAIMED[backprop]} ({low:.0%} to {high:.0%})"
        fallen = [run.silent_epoch for run in own if run.silent_epoch]
        epochs = " to ".join(str(epoch) for epoch in sorted({min(fallen), max(fallen)})) if fallen else ""
        when = f"{len(fallen)} of {len(own)}" + (f", at epoch {epochs}" if fallen else "")
        lines.append(
            f"| `{backprop}` | {len(own)} | {np.mean(right):.1f} ({min(right)} to {max(right)}) | {pooled}"
            f" | {claim} | {np.mean(unused):.1%} ({min(unused):.1%} to {max(unused):.1%}) | {when} |"
        )
    return "\n".join(lines)


def study_figure(runs: Sequence[Run]) -> Figure:
    """Accuracy on the unused images, a dot a seed; and the score on the 50, beside the article's."""
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    unused, right = figure.subplots(1, 2)
    for place, backprop in enumerate(BACKPROPS):
        own = [run for run in runs if run.backprop == backprop]
        spread = place + np.linspace(-0.22, 0.22, max(1, len(own)))
        colour = COLOURS[backprop]
        unused.scatter(spread, [100 * run.unused_accuracy for run in own], color=colour, alpha=0.8)
        right.scatter(spread, [run.correct for run in own], color=colour, alpha=0.8)
        if backprop in CLAIMED:
            low, high = interval(CLAIMED[backprop], TESTED)
            error = [[CLAIMED[backprop] - 50 * low], [50 * high - CLAIMED[backprop]]]
            right.errorbar(place + 0.36, CLAIMED[backprop], error, fmt="k_", capsize=4, markersize=12)
    for axes, title, unit, top in (
        (unused, "9,350 images that the article leaves unused", "% right", 100),
        (right, "its 50 test images (black: the article's score, 95 %)", "right of 50", 50),
    ):
        axes.set(title=title, ylabel=unit, ylim=(0, top), xticks=range(3), xticklabels=list(BACKPROPS))
        axes.title.set_fontsize(10)
        axes.axhline(top / 10, color="grey", linewidth=1, linestyle=":")
        axes.grid(axis="y", alpha=0.3)
    return figure


def chaos_figure(data: Dataset) -> Figure:
    """How a difference of the last bit in the initial weights grows, for the three versions."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for backprop in BACKPROPS:
        costs = []
        for shift in (False, True):
            split, model = prepare(data, SEED)
            few = split.train.take(np.arange(CHAOS_STEPS))
            model = ulp_apart(model) if shift else model
            done = replay(model, few, backprop, 1, step_costs=CHAOS_STEPS)
            costs.append(np.array(done.step_cost))
        difference = np.maximum(np.abs(costs[1] - costs[0]), 1e-17)
        axes.semilogy(
            range(1, CHAOS_STEPS + 1), difference, color=COLOURS[backprop], label=backprop, linewidth=1
        )
    axes.set(
        title=f"Two trainings whose weights start one rounding apart (seed {SEED})",
        xlabel="step", ylabel="difference of the cost of a step", ylim=(1e-17, 1e2),
    )  # fmt: skip
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, title="back propagation")
    return figure


def main() -> None:
    """Run what is missing, then write the table and the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("docs/article"))
    options = parser.parse_args()
    data = read_t10k(options.data_dir)
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / "runs.csv"
    seeds = [SEED, *range(1, options.seeds)]
    runs = [run for run in finished(log) if run.seed in seeds and run.epochs == options.epochs]
    known = {(run.backprop, run.seed) for run in runs}
    tasks = [
        (options.data_dir, backprop, seed, options.epochs)
        for seed in seeds
        for backprop in BACKPROPS
        if (backprop, seed) not in known
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
