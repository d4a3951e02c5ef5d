"""`numpy-vgg7 exercise`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import messages, print_json, screen
from numpy_vgg7.cli.options import AsJson
from numpy_vgg7.exercise.verdict import HINTS
from numpy_vgg7.exercise.verdict import check as check_exercise
from numpy_vgg7.exercise.write import new as new_exercise

NOT_MENDED = 4

exercise = typer.Typer(
    help="Find the mistake that was put into a small network, and mend it.", no_args_is_help=True
)

Level = Annotated[str, typer.Option(help="How much is told: none, place (where) or words (what is wrong).")]


@exercise.command()
def new(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR")],
    seed: options.Seed = 0,
    hint: Level = "none",
) -> None:
    """Write a small network in NumPy with one mistake, chosen by the seed, and a test that fails.

    --hint sets what the test tells when it fails.
    """
    _require(hint)
    for path in new_exercise(folder, seed, hint):
        screen.print(f"wrote {path}")
    line = f"next: mend {folder / 'network.py'}, then run numpy-vgg7 exercise check {folder}"
    messages.print(line)


@exercise.command()
def check(
    folder: Annotated[Path, typer.Argument(help="The folder of an exercise.", metavar="DIR")],
    hint: Level = "none",
    as_json: AsJson = False,
) -> None:
    """Tell whether the network in DIR is right. This executes DIR/network.py.

    Exit code 0 if it is, 4 if it is not, 3 if it cannot be executed.
    """
    _require(hint)
    verdict = check_exercise(folder)
    if as_json:
        kept = {"none": (), "place": ("place",), "words": ("place", "words")}[hint]
        findings = [{key: asdict(found)[key] for key in kept} for found in verdict.findings]
        print_json({"mended": verdict.mended, "hint": hint, "findings": findings})
    else:
        for line in verdict.lines(hint):
            screen.print(line)
    if not verdict.mended:
        raise typer.Exit(NOT_MENDED)


def _require(hint: str) -> None:
    if hint not in HINTS:
        raise typer.BadParameter(f"choose {', '.join(HINTS[:-1])} or {HINTS[-1]}", param_hint="--hint")
