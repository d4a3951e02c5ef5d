"""`numpy-vgg7 report`."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import print_json, screen
from numpy_vgg7.cli.options import PAGES, AsJson


def report(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Run folders that `train` created.", metavar="RUN", **options.ANY_FILE),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            help="The .html file to write. Default: report.html in the run folder or, for several runs, "
            "comparison.html in the current folder.",
            metavar="FILE",
            **options.ANY_FILE,
        ),
    ] = None,
    threads: options.Threads = 1,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Write a training's HTML report, or compare several trainings.

    The page is self-contained. The weights are scored on the test set again. Whatever needs weights or data
    that no longer exist is left out of the page, with a warning on standard error.
    """
    options.require_matplotlib("report")
    from numpy_vgg7.files import require_suffix, write_text
    from numpy_vgg7.report import write
    from numpy_vgg7.report.run import read_run

    if out:
        require_suffix(out, *PAGES)
    runs = [read_run(folder) for folder in folders]
    for folder, run in zip(folders, runs, strict=True):
        for line in run.missing:
            options.print_warning(f"{folder}: {line}")
    if len({run.name for run in runs}) < len(runs):  # folders of one name in several places
        runs = [replace(run, name=str(folder)) for folder, run in zip(folders, runs, strict=True)]
    for run in runs:
        if run.model:
            run.model.threads = threads
    scores = [write.scores_of(run) for run in runs]
    if len(runs) == 1:
        path, page = out or folders[0] / write.NAME, write.page(runs[0], scores[0])
    else:
        path, page = out or Path("comparison.html"), write.comparison(runs, scores)
    write_text(path, page)
    if as_json:
        records = map(write.record, folders, runs, scores)
        print_json({"out": str(path), "runs": list(records), "differences": write.differences(runs)})
    else:
        screen.print(str(path))
