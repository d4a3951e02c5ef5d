"""A benchmark and a profile on the screen and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE  # the others are too wide for eighty columns
from rich.table import Table

from numpy_vgg7.bench.growth import Point
from numpy_vgg7.bench.processor import Processor
from numpy_vgg7.bench.profile import WORKS, Stage
from numpy_vgg7.bench.scaling import Scaling
from numpy_vgg7.bench.times import MAX_SPREAD, MIN_PEAK, OURS, PEERS, Measurement, Times

MARK = "*"  # of a disturbed row


@dataclass(frozen=True)
class Report:
    """All that a benchmark finds."""

    times: list[Times]
    peak: float  # FLOP/s
    threads: int
    import_ratio: float
    memory: Mapping[str, float | None]  # megabytes: ours, torch, jax; None where it wasn't measured
    blas: dict[str, Any]
    processor: Processor
    growth: list[Point]
    scaling: Scaling | None

    @property
    def disturbed(self) -> bool:
        """Whether any row was."""
        found = [times.disturbed(self.peak) for times in self.times]
        if self.scaling:
            found += [row.disturbed(self.scaling.peak) for row in self.scaling.rows]
        return any(found)


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
                **_quality(found, report.peak),
            }
            for found in report.times
        ],
        "sgemm_gflops": report.peak / 1e9,
        "import_ratio": report.import_ratio,
        "memory": {f"{name}_mb": megabytes for name, megabytes in report.memory.items()},
        "blas": {
            "name": report.blas["name"],
            "kernel": report.blas["kernel"],
            "threads": report.threads,
            "overridden": bool(report.blas["overridden"]),
        },
        "processor": asdict(report.processor),
        "growth": [
            {"axis": point.axis, "size": point.size, **_milliseconds(point.times)} for point in report.growth
        ],
        "scaling": _scaling_json(report.scaling) if report.scaling else [],
    }


def as_table(report: Report) -> Table:
    """A row a row, below a line with their mode, which leaves space for four peers in eighty columns."""
    title = f"Milliseconds a step, {report.threads} threads; a ratio above 1: we are faster"
    table = Table(title=title, title_justify="left", box=SIMPLE, padding=0)
    ran = [name for name in PEERS if any(name in found.peers for found in report.times)]
    table.add_column("", no_wrap=True)
    for column in (OURS, *(name.replace("_", "\n") for name in ran)):
        table.add_column(column, justify="right")
    for column in ("ratio\neager", "ratio\nbest") if ran else ():
        table.add_column(column, justify="right")
    for column in ("% of\nSGEMM", "spread\n%"):
        table.add_column(column, justify="right")
    modes = []
    for found in report.times:
        if found.row.mode not in modes:
            modes.append(found.row.mode)
            table.add_row(found.row.mode)
        times = (found.ours, *(found.peers.get(name) for name in ran))
        ratios = (found.ratio_eager, found.ratio_best) if ran else ()
        table.add_row(
            f" {_marked(found, report.peak)}",
            *("-" if time is None else f"{time:.3g}" for time in times),
            *("-" if ratio is None else f"{ratio:.2f}" for ratio in ratios),
            f"{100 * found.peak_fraction(report.peak):.0f}",
            f"{100 * found.spread:.0f}",
        )
    return table


def scaling_table(scaling: Scaling) -> Table:
    """A row a row, a column for each number of threads."""
    table = Table(
        title="Milliseconds a step by threads (times as fast as with one)", title_justify="left", box=SIMPLE
    )
    table.add_column("", no_wrap=True)
    for count in scaling.counts:
        table.add_column(str(count), justify="right")
    for found in scaling.rows:
        one, *others = (found.samples[str(count)].median for count in scaling.counts)
        cells = (f"{ms:.3g} ({one / ms:.2f})" for ms in others)
        table.add_row(f"{found.row.mode} {_marked(found, scaling.peak)}", f"{one:.3g}", *cells)
    return table


def summary(report: Report) -> list[str]:
    """What doesn't fit into a table."""
    memory = {
        name: "-" if megabytes is None else f"{megabytes:.0f} MB" for name, megabytes in report.memory.items()
    }
    peers = {"PyTorch": "torch", "JAX": "jax"}
    of_peers = [f", {label} {memory[name]}" for label, name in peers.items() if report.memory[name]]
    lines = [
        str(report.processor),
        f"BLAS {report.blas['name']}, kernel {report.blas['kernel']}: SGEMM {report.peak / 1e9:.0f} GFLOP/s",
        f"memory of a training process: {memory[OURS]}{''.join(of_peers)}",
        f"from numpy_vgg7 import VGG7 takes {report.import_ratio:.2f} times as long as import numpy",
    ]
    if report.disturbed:
        lines.append(
            f"{MARK} disturbed: SGEMM was below {100 * MIN_PEAK:.0f} % of its peak before or after the row, "
            f"or the quartiles of a contender were {100 * MAX_SPREAD:.0f} % of its median apart; "
            "repeat it on an idle machine"
        )
    return lines


def profiles_json(profiles: Mapping[str, Sequence[Stage]]) -> dict[str, Any]:
    """Stable keys. Those of the first case are also at the top, where they were when there was only one."""
    found = [
        {
            "case": case,
            "threads": 1,
            "ms": sum(stage.ms for stage in stages),
            "stages": [{"name": f"{stage.layer} {stage.work}", "ms": stage.ms} for stage in stages],
        }
        for case, stages in profiles.items()
    ]
    return found[0] | {"profiles": found}


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


def _marked(found: Measurement, peak: float) -> str:
    return found.row.case + (MARK if found.disturbed(peak) else "")


def _milliseconds(times: Times) -> dict[str, Any]:
    return {"ours_ms": times.ours, "peers": {name: times.peers.get(name) for name in PEERS}}


def _quality(found: Measurement, peak: float) -> dict[str, Any]:
    return {
        "disturbed": found.disturbed(peak),
        "attempts": found.attempts,
        "spread": {name: sample.spread for name, sample in found.samples.items()},
        "sgemm_gflops": [reached / 1e9 for reached in found.peaks],  # before and after
    }


def _scaling_json(scaling: Scaling) -> list[dict[str, Any]]:
    return [
        {
            "case": found.row.case,
            "mode": found.row.mode,
            "ms": {name: sample.median for name, sample in found.samples.items()},
            **_quality(found, scaling.peak),
        }
        for found in scaling.rows
    ]
