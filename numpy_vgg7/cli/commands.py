"""The application, and the commands that have no module of their own."""

import os
from pathlib import Path
from typing import Annotated

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.article import article
from numpy_vgg7.cli.bench import bench
from numpy_vgg7.cli.console import messages, print_json, screen
from numpy_vgg7.cli.exercise import exercise
from numpy_vgg7.cli.layout import SETTINGS, Command, Group
from numpy_vgg7.cli.options import AsJson, Data, Weights
from numpy_vgg7.cli.parity import parity
from numpy_vgg7.cli.predict import predict
from numpy_vgg7.cli.report import report
from numpy_vgg7.cli.train import Train, train
from numpy_vgg7.cli.weights import export, import_

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # panels and colours would take half of the time that a help needs
    cls=Group,
    context_settings=SETTINGS,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        screen.print(f"numpy-vgg7 {version('numpy-vgg7')}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """A VGG7 in pure NumPy with hand-written backpropagation, verified against PyTorch."""
    messages.quiet = False  # a command may have --quiet


app.command(cls=Train)(train)


@app.command(cls=Command)
def evaluate(
    context: typer.Context,
    weights: Weights,
    data: Data = "digits",
    split: Annotated[
        str | None,
        typer.Option(
            help="Part of the data: train, validation, test or all. Default: test for digits, for the data "
            "of a run folder and for data with an official test part; otherwise all."
        ),
    ] = None,
    data_dir: options.DataDir = None,
    download: options.Download = False,
    pixel_max: options.PixelMax = None,
    mean: options.Mean = None,
    std: options.Std = None,
    invert: options.Invert = False,
    classes: options.Classes = None,
    labels_from: options.LabelsFrom = 0,
    threads: options.Threads = 1,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Print a trained model's accuracy and loss on a data set.

    Given a run folder, the command evaluates its best weights and, without --data, uses its data.
    """
    import numpy as np

    from numpy_vgg7.data import load
    from numpy_vgg7.data import split as split_dataset
    from numpy_vgg7.inputs import PLAIN
    from numpy_vgg7.model import require_finite
    from numpy_vgg7.training.loop import score
    from numpy_vgg7.training.run_folder import read_config

    if split is not None:
        options.require_one_of("split", split, ("train", "validation", "test", "all"))
    model = options.read_weights(weights)
    encoding, test = PLAIN, None
    part = split or ("test" if data == "digits" else None)
    if os.path.isdir(weights) and not options.given(context, "data"):
        run = read_config(weights / "config.json", "name the data with --data")
        part = split or "test"
        data, test, encoding = run.data, run.test_data, run.encoding
        data_dir = data_dir or (Path(run.data_dir) if run.data_dir else None)
        options.print_note(f"data: {data}" + (f", test data: {test}" if test else ""))
    encoding = options.changed_encoding(context, encoding)
    size = model.config.image_size
    images = load(data, model.config.classes, size, encoding, data_dir, test, download)
    part = part or ("test" if images.test else "all")
    options.print_notes(images)
    if part == "test" and images.test:  # as it is: a split would demand images of every class
        images = images.test
    elif part == "all":
        images = images.whole()
    else:
        images = getattr(split_dataset(images), part)
    model.threads = threads
    result = score(model, images)
    require_finite(np.array(result.loss))
    if as_json:
        print_json({key: getattr(result, key) for key in ("accuracy", "loss", "n", "errors")})
        return
    screen.print(
        f"{data}, {part}: accuracy {result.accuracy:.4f} ({result.errors} of {result.n} misclassified), "
        f"loss {result.loss:.4f}",
    )


app.command(cls=Command)(predict)
app.command(cls=Command)(report)


@app.command(cls=Command)
def inspect(
    file: Weights,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Verify weights and list their tensors and configuration."""
    import hashlib
    import json

    from rich.table import Table

    from numpy_vgg7.weights.formats import WEIGHTS

    file = options.weights_file(file)
    model = options.read_weights(file)
    sha256 = hashlib.sha256(WEIGHTS.read(file)).hexdigest()
    config = json.loads(model.config.to_json())
    count = sum(parameter.size for parameter in model.params.values())
    if as_json:
        tensors = [
            {"name": name, "shape": list(parameter.shape), "dtype": str(parameter.dtype)}
            for name, parameter in model.params.items()
        ]
        print_json({"config": config, "parameters": count, "tensors": tensors, "sha256": sha256})
        return
    table = Table(title=f"{file.name}: {count:,} parameters", title_justify="left")
    for column in ("tensor", "shape", "dtype", "min", "max"):
        table.add_column(column)
    for name, parameter in model.params.items():
        extremes = (f"{parameter.min():.4g}", f"{parameter.max():.4g}")
        table.add_row(name, str(parameter.shape), str(parameter.dtype), *extremes)
    screen.print(table)
    for key, value in config.items():
        screen.print(f"{key}: {value}")
    screen.print(f"sha256: {sha256}")


@app.command(cls=Command)
def doctor(quiet: options.Quiet = False, as_json: AsJson = False) -> None:
    """Report versions, missing packages and configuration problems."""
    from numpy_vgg7.environment import environment, problems, verdict

    found = environment()
    notes = problems(found)
    if as_json:
        print_json(found | {"problems": notes, "verdict": verdict(notes)})
        return
    blas = found["blas"]
    screen.print(f"Python {found['python']} on {found['platform']}; logical processors: {found['cpus']}")
    screen.print(
        f"BLAS {blas['name']} {blas['version']}; kernel: {blas['kernel']}; threads: {blas['threads']}"
    )
    for name, version in found["packages"].items():
        screen.print(f"  {name:<14} {version or '-'}")
    for note in notes:
        screen.print(f"! {note}")
    screen.print(verdict(notes))


app.command(cls=Command)(export)
app.command("import", cls=Command)(import_)
app.add_typer(parity, name="parity")
app.add_typer(exercise, name="exercise")
app.command(cls=Command)(article)
app.command(cls=Command)(bench)
