"""The application, and the commands that have no module of their own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from numpy_vgg7.cli import options
from numpy_vgg7.cli.article import article
from numpy_vgg7.cli.bench import bench
from numpy_vgg7.cli.console import print_json, screen
from numpy_vgg7.cli.exercise import exercise
from numpy_vgg7.cli.options import AsJson, Data, Weights
from numpy_vgg7.cli.parity import parity
from numpy_vgg7.cli.predict import predict
from numpy_vgg7.cli.train import train
from numpy_vgg7.cli.weights import export, import_

app = typer.Typer(
    help="A VGG7 in pure NumPy with hand-written backpropagation, verified against PyTorch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(train)


@app.command()
def evaluate(
    weights: Weights,
    data: Data = "digits",
    split: Annotated[
        str | None,
        typer.Option(
            help="train, validation, test or all. Default: test for digits and for data with an official "
            "test part, else all."
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
    as_json: AsJson = False,
) -> None:
    """Print the accuracy and the loss of a trained model on a data set."""
    import numpy as np

    from numpy_vgg7.data import load
    from numpy_vgg7.data import split as split_dataset
    from numpy_vgg7.model import require_finite
    from numpy_vgg7.training.loop import score

    if split not in (None, "train", "validation", "test", "all"):
        raise typer.BadParameter("choose train, validation, test or all", param_hint="--split")
    model = options.read_weights(weights)
    encoding = options.encoding(pixel_max, mean, std, invert, classes, labels_from)
    size = model.config.image_size
    images = load(data, model.config.classes, size, encoding, data_dir, download=download)
    part = split or ("test" if data == "digits" or images.test else "all")
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


app.command()(predict)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help=options.FORMATS, metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """Verify a weights file and list its tensors and configuration."""
    import hashlib
    import json

    from numpy_vgg7.weights.formats import WEIGHTS

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


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Show versions, BLAS and threads, and any missing packages or configuration problems."""
    from numpy_vgg7.environment import environment, problems

    found = environment()
    if as_json:
        print_json(found | {"problems": problems(found)})
        return
    blas = found["blas"]
    screen.print(f"Python {found['python']} on {found['platform']}, {found['cpus']} processors")
    screen.print(f"BLAS {blas['name']} {blas['version']}, kernel {blas['kernel']}, {blas['threads']} threads")
    for name, version in found["packages"].items():
        screen.print(f"  {name:<14} {version or '-'}")
    for problem in problems(found):
        screen.print(f"! {problem}")


app.command()(export)
app.command("import")(import_)
app.add_typer(parity, name="parity")
app.add_typer(exercise, name="exercise")
app.command()(article)
app.command()(bench)
