"""The pages, and the same figures as JSON."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from numpy_vgg7.data import Dataset
from numpy_vgg7.files import write_text
from numpy_vgg7.functional import Array
from numpy_vgg7.pages import render
from numpy_vgg7.report import charts, images
from numpy_vgg7.report.run import Run, flat, read_run
from numpy_vgg7.report.scores import Scores

NAME = "report.html"  # in a run folder
MAX_MISTAKES = 24
MOST_LIKELY = 5  # classes
TEST = ("data", "data_dir", "test_data")  # the settings that choose the test set
SPACE = "\N{NO-BREAK SPACE}"
SHOWN = 0  # the index in the test set of the image whose activations are shown


def write_report(path: Path, test: Dataset, logits: Array) -> None:
    """Write the report of the training in a run folder into it.

    test: its test set. logits: what its best weights give for that, (N, classes). Raises TrainingError,
    OutputError.
    """
    write_text(path / NAME, page(read_run(path, test), Scores(test, logits)))


def scores_of(run: Run) -> Scores | None:
    """The scores of the best weights on the test set, if both could be read."""
    return Scores.of(run.model, run.test) if run.model and run.test else None


def page(run: Run, scores: Scores | None) -> str:
    """The report of a training."""
    return render(
        "run.html",
        title=f"{run.name}: {run.config.preset} on {Path(run.config.data).name}",
        run=run,
        parameters=parameters(run),
        curves=charts.curves(run),
        kernels=images.kernels(run.model) if run.model else None,
        scores=scores,
        test=_test_parts(run, scores),
        few=charts.FEW,
        settings=_groups(run.settings),
        environment=_groups(flat(run.environment or {})),
    )


def _test_parts(run: Run, scores: Scores | None) -> dict[str, Any]:
    """What the page shows of test images."""
    if not scores or not run.model:
        return {}
    data, probs = scores.data, scores.probs[SHOWN]
    likely = np.argsort(-probs, kind="stable")[:MOST_LIKELY]
    return {
        "reliability": charts.reliability(scores),
        "mistakes": [(found, images.pixels(data, found.at)) for found in scores.worst(MAX_MISTAKES)],
        "shown": SHOWN,
        "image": images.pixels(data, SHOWN),
        "true": scores.names[data.labels[SHOWN]],
        "activations": images.activations(run.model, data, SHOWN),
        "likely": [(scores.names[index], float(probs[index])) for index in likely],
    }


def comparison(runs: Sequence[Run], scores: Sequence[Scores | None]) -> str:
    """The page that compares trainings."""
    return render(
        "comparison.html",
        title=f"Comparison of {len(runs)} runs",
        runs=runs,
        marks=[charts.mark(index) for index in range(len(runs))],
        table=score_table(runs, scores),
        charts=charts.compared(runs),
        differences=differences(runs),
        one_test_set=len({tuple(run.settings[name] for name in TEST) for run in runs}) == 1,
    )


class Cell(NamedTuple):
    """A figure of a run, and whether it is the best of all runs."""

    text: str
    best: bool


NOTHING = Cell("-", False)


def score_table(runs: Sequence[Run], scores: Sequence[Scores | None]) -> dict[str, list[Cell]]:
    """The columns of scores, each with a cell for each run."""
    bests = [run.best for run in runs]
    return {
        "test accuracy": _column([getattr(one, "accuracy", None) for one in scores], "{:.2%}", max),
        "test errors": _column([getattr(one, "errors", None) for one in scores], "{:,}"),
        "test loss": _column([getattr(one, "loss", None) for one in scores], "{:.4f}", min),
        "calibration error": _column(
            [getattr(one, "calibration_error", None) for one in scores], "{:.2%}", min
        ),
        "validation accuracy": _column([best.validation_accuracy for best in bests], "{:.2%}", max),
        "validation loss": _column([best.validation_loss for best in bests], "{:.4f}", min),
        "best epoch": [Cell(f"{run.best.epoch}{SPACE}of{SPACE}{len(run.history)}", False) for run in runs],
        "parameters": _column([parameters(run) for run in runs], "{:,}"),
        "images/s": _column([run.images_per_second for run in runs], "{:,.0f}"),
    }


def _column(
    values: Sequence[float | None], style: str, choose: Callable[[list[float]], float] | None = None
) -> list[Cell]:
    known = [value for value in values if value is not None and math.isfinite(value)]
    best = choose(known) if known and choose else None
    return [
        Cell(style.format(value).replace("%", f"{SPACE}%"), value == best) if value in known else NOTHING
        for value in values
    ]


def differences(runs: Sequence[Run]) -> dict[str, list[str]]:
    """The settings that are not the same in all runs, each with its values in the order of the runs."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: [run.settings.get(name, "") for run in runs] for name in names}
    return {name: found for name, found in values.items() if len(set(found)) > 1}


def _groups(settings: dict[str, str]) -> dict[str, dict[str, str]]:
    """Settings by their group: "training.epochs" is "epochs" of "training"."""
    found: dict[str, dict[str, str]] = {}
    for name, value in settings.items():
        group, _, own = name.rpartition(".")
        found.setdefault(group, {})[own] = value
    return found


def parameters(run: Run) -> int | None:
    """The number of parameters, if the weights could be read."""
    return sum(parameter.size for parameter in run.model.params.values()) if run.model else None


def record(path: Path, run: Run, scores: Scores | None) -> dict[str, Any]:
    """The figures of a run for `--json`; None where there is none."""
    best = run.best
    return {
        "run": str(path),
        "preset": run.config.preset,
        "data": run.config.data,
        "seed": run.config.training.seed,
        "epochs": len(run.history),
        "best_epoch": best.epoch,
        "parameters": parameters(run),
        "images_per_second": run.images_per_second,
        "validation_loss": _number(best.validation_loss),
        "validation_accuracy": _number(best.validation_accuracy),
        "test_loss": scores and scores.loss,
        "test_accuracy": scores and scores.accuracy,
        "test_errors": scores and scores.errors,
        "test_images": scores and scores.n,
        "calibration_error": scores and scores.calibration_error,
        "classes": scores
        and [
            {"name": row.name, "images": row.images, "predicted": row.predicted}
            | {key: _number(getattr(row, key)) for key in ("precision", "recall", "f1")}
            for row in scores.classes
        ],
        "confusion": scores and scores.confusion.tolist(),
        "missing": list(run.missing),
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
