"""The application, and the commands that have no module of their own."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from numpy_vgg7.cli import options
from numpy_vgg7.cli.article import article
from numpy_vgg7.cli.bench import bench
from numpy_vgg7.cli.options import AsJson, Data, Weights, print_json, screen
from numpy_vgg7.cli.parity import parity
from numpy_vgg7.cli.predict import predict
from numpy_vgg7.cli.train import train

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
    from numpy_vgg7.data import load
    from numpy_vgg7.data import split as split_dataset
    from numpy_vgg7.model import VGG7
    from numpy_vgg7.training.loop import score

    if split not in (None, "train", "validation", "test", "all"):
        raise typer.BadParameter("choose train, validation, test or all", param_hint="--split")
    model = VGG7.load(weights)
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
    if as_json:
        print_json({key: getattr(result, key) for key in ("accuracy", "loss", "n", "errors")})
        return
    screen.print(
        f"{data}, {part}: accuracy {result.accuracy:.4f} ({result.errors} of {result.n} misclassified), "
        f"loss {result.loss:.4f}",
        soft_wrap=True,
        markup=False,
    )


app.command()(predict)


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help=".safetensors, .npz or .pt", metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """Verify a weights file and list its tensors and configuration."""
    import hashlib
    import json

    from numpy_vgg7.weights import read_foreign

    model, inferred = read_foreign(file, readers=options.formats(file, "readers"))
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
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
        screen.print(f"{key}: {value}", markup=False)
    screen.print(f"sha256: {sha256}")
    if inferred:
        note = "The configuration was inferred from the shapes, and the activations were assumed."
        screen.print(note, soft_wrap=True)


@app.command()
def export(
    weights: Weights,
    out: Annotated[Path, typer.Argument(help=".safetensors, .npz or .pt", metavar="OUT")],
) -> None:
    """Convert WEIGHTS to another format, losslessly. The suffix of OUT selects the format."""
    from numpy_vgg7.model import VGG7
    from numpy_vgg7.weights import save

    writers = options.formats(out, "writers")
    save(out, VGG7.load(weights), writers)
    print(f"wrote {out}")


@app.command("import")
def import_(
    foreign: Annotated[Path, typer.Argument(help=".safetensors, .npz or .pt", metavar="FOREIGN")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.", metavar="OUT")],
    preset: Annotated[str | None, typer.Option(help="The activations are those of this preset.")] = None,
    config: Annotated[Path | None, typer.Option(help="A JSON file with the whole configuration.")] = None,
) -> None:
    """Convert weights from another program to a .safetensors file, losslessly, and verify them.

    Tensors must have PyTorch's names and layout. A file without metadata does not determine the activations:
    unless --preset or --config gives them, they are assumed and printed.
    """
    from dataclasses import replace

    from numpy_vgg7.config import VGG7Config
    from numpy_vgg7.files import read_text
    from numpy_vgg7.weights import read_foreign, save

    if preset and config:
        raise typer.BadParameter("give one of --preset and --config", param_hint="--config")
    readers = options.formats(foreign, "readers")
    known = VGG7Config.from_json(read_text(config)) if config else None
    activations = VGG7Config.preset(preset).activations if preset else None
    model, inferred = read_foreign(foreign, known, readers)
    if activations and not inferred and activations != model.config.activations:
        message = f"{foreign} contains a configuration with other activations"
        raise typer.BadParameter(message, param_hint="--preset")
    if activations:
        model.config = replace(model.config, activations=activations)
    elif inferred:
        names = ", ".join(model.config.activations)
        message = f"assumed activations: {names} (change with --preset or --config)"
        options.messages.print(message, soft_wrap=True)
    save(out, model, options.formats(out, "writers"))
    print(f"wrote {out}")


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
        screen.print(f"! {problem}", soft_wrap=True, markup=False)


app.add_typer(parity, name="parity")
app.command()(article)
app.command()(bench)
