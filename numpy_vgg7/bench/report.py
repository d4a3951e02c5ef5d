"""A benchmark and a profile on the screen and as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE  # the others are too wide for eighty columns
from rich.table import Table

from numpy_vgg7.bench.growth import Point
from numpy_vgg7.bench.measure import PEERS, Times
from numpy_vgg7.bench.profile import WORKS, Stage


@dataclass(frozen=True)
class Report:
    """All that a benchmark finds; memory in megabytes, None where it wasn't measured."""

    times: list[Times]
    peak: float  # FLOP/s
    threads: int
    import_ratio: float
    ours_mb: float | None
    torch_mb: float | None
    blas: dict[str, Any]
    growth: list[Point]


def as_json(report: Report) -> dict[str, Any]:
    """Stable keys; null where a peer didn't run."""
    return {
        "rows": [
            {
                "case": found.row.case,
                "mode": found.row.mode,
                **_milliseconds(found),
                "ratio_eager": found.ratio_eager,
                "ratio_best": found.ratio_best,
                "peak_fraction": found.peak_fraction(report.peak),
            }
            for found in report.times
        ],
        "sgemm_gflops": report.peak / 1e9,
        "import_ratio": report.import_ratio,
        "memory": {"ours_mb": report.ours_mb, "torch_mb": report.torch_mb},
        "blas": {
            "name": report.blas["name"],
            "kernel": report.blas["kernel"],
            "threads": report.threads,
            "overridden": bool(report.blas["overridden"]),
        },
        "growth": [
            {"axis": point.axis, "size": point.size, **_milliseconds(point.times)} for point in report.growth
        ],
    }


def as_table(report: Report) -> Table:
    """A row a row."""
    title = f"Milliseconds a step, {report.threads} threads; a ratio above 1: we are faster"
    table = Table(title=title, title_justify="left", box=SIMPLE, collapse_padding=True)
    ran = [name for name in PEERS if any(name in found.peers for found in report.times)]
    table.add_column("", no_wrap=True)
    for column in ("ours", *(name.replace("_", "\n") for name in ran)):
        table.add_column(column, justify="right")
    for column in ("ratio\neager", "ratio\nbest") if ran else ():
        table.add_column(column, justify="right")
    table.add_column("% of\nSGEMM", justify="right")
    for found in report.times:
        times = (found.ours, *(found.peers.get(name) for name in ran))
        ratios = (found.ratio_eager, found.ratio_best) if ran else ()
        table.add_row(
            f"{found.row.mode} {found.row.case}",
            *("-" if time is None else f"{time:.3g}" for time in times),
            *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            f"{100 * found.peak_fraction(report.peak):.0f}",
        )
    return table


def summary(report: Report) -> list[str]:
    """What doesn't fit into a table."""
    ours, torch = (None if mb is None else f"{mb:.0f} MB" for mb in (report.ours_mb, report.torch_mb))
    return [
        f"BLAS {report.blas['name']}, kernel {report.blas['kernel']}: SGEMM {report.peak / 1e9:.0f} GFLOP/s",
        f"memory of a training process: {ours or '-'}" + (f", PyTorch {torch}" if torch else ""),
        f"from numpy_vgg7 import VGG7 takes {report.import_ratio:.2f} times as long as import numpy",
    ]


def profile_json(stages: Sequence[Stage], case: str) -> dict[str, Any]:
    """Stable keys."""
    return {
        "case": case,
        "threads": 1,
        "ms": sum(stage.ms for stage in stages),
        "stages": [{"name": f"{stage.layer} {stage.work}", "ms": stage.ms} for stage in stages],
    }


def profile_table(stages: Sequence[Stage], case: str) -> Table:
    """A row a layer."""
    total = sum(stage.ms for stage in stages)
    title = f"{case}: where {total:.1f} ms of a training step go, one thread"
    table = Table(title=title, title_justify="left")
    table.add_column("layer", no_wrap=True)
    for column in (*WORKS, "ms", "%"):
        table.add_column(column, justify="right")
    for layer in dict.fromkeys(stage.layer for stage in stages):
        times = {stage.work: stage.ms for stage in stages if stage.layer == layer}
        works = (f"{times[work]:.2f}" if work in times else "" for work in WORKS)
        all_of_it = sum(times.values())
        table.add_row(layer, *works, f"{all_of_it:.2f}", f"{100 * all_of_it / total:.0f}")
    return table


def _milliseconds(times: Times) -> dict[str, Any]:
    return {"ours_ms": times.ours, "peers": {name: times.peers.get(name) for name in PEERS}}
