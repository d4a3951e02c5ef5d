"""`numpy-vgg7 exercise`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import print_json, screen
from numpy_vgg7.cli.layout import Command, Group
from numpy_vgg7.cli.options import AsJson

NOT_MENDED = 4

exercise = typer.Typer(
    help="Find and fix the mistake planted in a small network.",
    no_args_is_help=True,
    rich_markup_mode=None,
    cls=Group,
)

Level = Annotated[
    str, typer.Option(help="How much to reveal: none, place (where it is wrong) or words (what is wrong).")
]


@exercise.command(cls=Command)
def new(
    folder: Annotated[Path, typer.Argument(help="A new or empty folder.", metavar="DIR", **options.ANY_FILE)],
    seed: options.Seed = 0,
    hint: Level = "none",
    quiet: options.Quiet = False,
) -> None:
    """Write a small NumPy network with one mistake and a failing test.

    The seed selects the mistake. --hint sets how much the failing test reveals.
    """
    from numpy_vgg7.exercise.verdict import HINTS
    from numpy_vgg7.exercise.write import new as new_exercise

    options.require_one_of("hint", hint, HINTS)
    for path in new_exercise(folder, seed, hint):
        screen.print(f"wrote {path}")
    line = f"next: fix {folder / 'network.py'}, then run numpy-vgg7 exercise check {folder}"
    options.print_note(line)


@exercise.command(cls=Command)
def check(
    folder: Annotated[
        Path, typer.Argument(help="The folder of an exercise.", metavar="DIR", **options.ANY_FILE)
    ],
    hint: Level = "none",
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Check whether the mistake in DIR is fixed. This executes DIR/network.py.

    The exit code is 0 if the network is correct, 4 if it is not, and 3 if it cannot be executed.
    """
    from numpy_vgg7.exercise.verdict import HINTS
    from numpy_vgg7.exercise.verdict import check as check_exercise

    options.require_one_of("hint", hint, HINTS)
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
