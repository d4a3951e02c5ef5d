"""`numpy-vgg7 bench`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import print_json, screen
from numpy_vgg7.cli.options import AsJson, track
from numpy_vgg7.limits import MOST_THREADS

if TYPE_CHECKING:
    from numpy_vgg7.bench.measure import Contender
    from numpy_vgg7.bench.rows import Row
    from numpy_vgg7.bench.scaling import Scaling


def _torch() -> "dict[str, Contender]":
    from numpy_vgg7.bench.times import TORCH

    with options.pytorch("bench --peer torch"):
        from torch_ref.bench import ready
    return {form: partial(ready, form=form) for form in TORCH}


def _jax() -> "dict[str, Contender]":
    from numpy_vgg7.bench.times import JAX

    with options.jax("bench --peer jax"):
        from jax_ref.bench import ready
    return {JAX: ready}


MODULES = {"ours": "numpy_vgg7.bench.ours", "torch": "torch_ref.bench", "jax": "jax_ref.bench"}
CHOICES: "dict[str, Callable[[], dict[str, Contender]]]" = {"none": dict, "torch": _torch, "jax": _jax}


def bench(
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="Also measure PyTorch, JAX or both, in turn with this package: torch, jax or torch,jax.",
            metavar="NAMES",
            show_default="none",
        ),
    ] = None,
    cases: Annotated[
        list[str] | None,
        typer.Option(help="Measure only these cases, e.g. article-b1,vgg7-b64.", metavar="NAMES"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=MOST_THREADS, help="Threads for each contender.")] = 2,
    scaling: Annotated[
        bool,
        typer.Option(
            "--scaling",
            help="Also measure this package with 1, 2, 4, ... threads, up to the number of cores.",
        ),
    ] = False,
    profile: Annotated[
        bool,
        typer.Option(
            "--profile",
            help="Instead, show the time that each layer takes in a training step on one thread (of "
            "vgg7-b64, unless --cases is given).",
        ),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option(
            help="Plot the profile; or measure and plot how the time grows with batch size and channels.",
            **options.ANY_FILE,
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Measure speed and memory use, also against PyTorch or JAX.

    The import time is measured as well. Each contender runs in its own process with the same number of
    threads; they take turns. Times are medians of 20 rounds. A row disturbed by other work on the machine is
    measured up to three times, and marked if it still is.
    """
    from numpy_vgg7.bench import children, growth, ours, plots, report, rows
    from numpy_vgg7.bench.processor import processor
    from numpy_vgg7.bench.times import Watch, compare
    from numpy_vgg7.environment import blas, blas_problems
    from numpy_vgg7.files import require_suffix
    from numpy_vgg7.plots import write_figure

    names = _names(peer) or ["none"]
    for name in names:
        options.require_one_of("peer", name, CHOICES)
    if plot:
        require_suffix(plot, ".png")
        options.require_matplotlib("bench --plot")
    if profile and (scaling or names != ["none"]):
        raise typer.BadParameter("cannot be combined with --peer or --scaling", param_hint="--profile")
    chosen = rows.select(_names(cases))
    if profile:
        _profile(
            [row for row in chosen if row.mode == rows.TRAINING] if cases else [rows.USUAL], plot, as_json
        )
        return
    peers = {name: contender for choice in names for name, contender in CHOICES[choice]().items()}

    watch = Watch(threads)
    times = [
        watch.undisturbed(partial(compare, row, ours.ready, peers, threads)) for row in track(chosen, "rows")
    ]
    points = []
    if plot:
        # Compiling for every size would take minutes and tell nothing new.
        others = {name: make for name, make in peers.items() if name != "compile"}
        points = list(track(growth.grow(ours.ready, others, threads), "growth", len(growth.plan())))
        write_figure(plot, plots.growth(points))
    found = report.Report(
        times=times,
        peak=watch.peak,
        threads=threads,
        import_ratio=children.import_ratio(),
        memory={
            name: children.training_memory(module, threads) if name in ("ours", *names) else None
            for name, module in MODULES.items()
        },
        blas=blas(),
        processor=processor(),
        growth=points,
        scaling=_scaling(chosen) if scaling else None,
    )
    if as_json:
        print_json(report.as_json(found))
        return
    screen.print(report.as_table(found))
    if found.scaling:
        screen.print(report.scaling_table(found.scaling))
    for line in [*report.summary(found), *(f"! {problem}" for problem in blas_problems(found.blas))]:
        screen.print(line)


def _names(values: list[str] | None) -> list[str]:
    """The names in the values of an option that can be repeated, each of which can have several."""
    return [name for value in values or () for name in value.split(",")]


def _scaling(chosen: "list[Row]") -> "Scaling":
    from numpy_vgg7.bench import ours
    from numpy_vgg7.bench.processor import cores
    from numpy_vgg7.bench.scaling import Scaling, scale, thread_counts
    from numpy_vgg7.bench.times import Watch

    counts = thread_counts(cores())
    watch = Watch(counts[-1])
    found = [watch.undisturbed(partial(scale, row, ours.ready, counts)) for row in track(chosen, "scaling")]
    return Scaling(counts, found, watch.peak)


def _profile(chosen: "list[Row]", plot: Path | None, as_json: bool) -> None:
    from numpy_vgg7.bench import plots, report
    from numpy_vgg7.bench.profile import profile as profile_step
    from numpy_vgg7.plots import write_figure

    profiles = {row.case: profile_step(row) for row in track(chosen, "profiles")}
    if plot:
        write_figure(plot, plots.profile(profiles))
    if as_json:
        print_json(report.profiles_json(profiles))
        return
    for case, stages in profiles.items():
        screen.print(report.profile_table(stages, case))
