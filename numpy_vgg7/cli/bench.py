"""`numpy-vgg7 bench`."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import track

from numpy_vgg7.bench import children, growth, ours, plots, report, rows
from numpy_vgg7.bench.measure import PEERS, Contender, compare, sgemm_peak
from numpy_vgg7.bench.profile import profile as profile_step
from numpy_vgg7.cli import options
from numpy_vgg7.cli.options import AsJson, messages, print_json, screen
from numpy_vgg7.environment import blas, blas_problems
from numpy_vgg7.plots import write_figure


def bench(
    peer: Annotated[
        str, typer.Option(help="none or torch: also measure PyTorch, in turn with this package.")
    ] = "none",
    cases: Annotated[
        list[str] | None, typer.Option(help="Only these cases, e.g. article-b1,vgg7-b64.", metavar="NAMES")
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads for each contender.")] = 2,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile", help="Instead, show the time of each layer in a training step, on one thread."
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Plot the profile, or measure and plot how time grows with batch size and channels."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure the time of training and inference, memory use and import time, optionally against PyTorch.

    Each contender runs in its own process with the same number of threads; they take turns. Times are
    medians of 20 rounds.
    """
    if peer not in ("none", "torch"):
        raise typer.BadParameter("choose none or torch", param_hint="--peer")
    if plot:
        options.require_matplotlib("bench --plot")
    if profile and (cases or peer != "none"):
        raise typer.BadParameter("cannot be combined with --cases or --peer", param_hint="--profile")
    if profile:
        _profile(plot, as_json)
        return
    chosen = rows.select([name for names in cases or () for name in names.split(",")])
    peers: dict[str, Contender] = {}
    if peer == "torch":
        with options.pytorch("bench --peer torch"):
            from torch_ref.bench import ready
        peers = {name: partial(ready, form=name) for name in PEERS}

    watched = {"console": messages, "disable": not messages.is_terminal}
    peak = sgemm_peak(threads)
    times = [compare(row, ours.ready, peers, threads) for row in track(chosen, "rows", **watched)]  # type: ignore[arg-type]
    points = []
    if plot:
        # Compiling for every size would take minutes and tell nothing new.
        others = {name: make for name, make in peers.items() if name != "compile"}
        points = list(
            track(growth.grow(ours.ready, others, threads), "growth", total=len(growth.plan()), **watched)  # type: ignore[arg-type]
        )
        write_figure(plot, plots.growth(points))
    found = report.Report(
        times=times,
        peak=peak,
        threads=threads,
        import_ratio=children.import_ratio(),
        ours_mb=children.training_memory(ours.__name__, threads),
        torch_mb=children.training_memory("torch_ref.bench", threads) if peers else None,
        blas=blas(),
        growth=points,
    )
    if as_json:
        print_json(report.as_json(found))
        return
    screen.print(report.as_table(found))
    for line in [*report.summary(found), *(f"! {problem}" for problem in blas_problems(found.blas))]:
        screen.print(line, soft_wrap=True, markup=False)


def _profile(plot: Path | None, as_json: bool) -> None:
    stages, case = profile_step(), rows.USUAL.case
    if plot:
        write_figure(plot, plots.profile(stages, case))
    if as_json:
        print_json(report.profile_json(stages, case))
    else:
        screen.print(report.profile_table(stages, case))
