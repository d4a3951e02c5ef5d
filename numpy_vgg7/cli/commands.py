"""The commands, in the order of a first visit; training, parity and bench have files of their own."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from numpy_vgg7.cli import options
from numpy_vgg7.cli.article import article
from numpy_vgg7.cli.bench import bench
from numpy_vgg7.cli.options import AsJson, Data, Weights, print_json, screen
from numpy_vgg7.cli.parity import parity
from numpy_vgg7.cli.train import train

app = typer.Typer(
    help="A VGG7 in NumPy with back propagation written by hand, proved against PyTorch.",
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
        typer.Option(help="train, validation, test or all; default: test for digits, all for a file."),
    ] = None,
    threads: options.Threads = 1,
    as_json: AsJson = False,
) -> None:
    """Measure accuracy and loss of WEIGHTS on a data set."""
    from numpy_vgg7.data import load
    from numpy_vgg7.data import split as split_dataset
    from numpy_vgg7.model import VGG7
    from numpy_vgg7.training.loop import score

    part = split or ("test" if data == "digits" else "all")
    if part not in ("train", "validation", "test", "all"):
        raise typer.BadParameter("choose train, validation, test or all", param_hint="--split")
    model = VGG7.load(weights)
    images = load(data, model.config.classes, model.config.image_size)
    if part != "all":
        images = getattr(split_dataset(images), part)
    with options.threads(model, threads):
        found = score(model, images)
    if as_json:
        print_json({"accuracy": found.accuracy, "loss": found.loss, "n": found.n, "errors": found.errors})
        return
    screen.print(
        f"{data}, {part}: accuracy {found.accuracy:.4f} ({found.errors} of {found.n} wrong), "
        f"loss {found.loss:.4f}"
    )


@app.command()
def predict(
    weights: Weights,
    images: Annotated[list[Path], typer.Argument(help="PNG or .npy files.", metavar="IMAGE...")],
    as_json: AsJson = False,
) -> None:
    """Say which class each picture shows, and what was assumed to read it."""
    from numpy_vgg7.data.image_files import read_pictures
    from numpy_vgg7.model import VGG7

    model = VGG7.load(weights)
    rows: list[dict[str, Any]] = []
    for path in images:
        picture = read_pictures(path, model.config.image_size)
        for index, probs in enumerate(model.predict_proba(picture.images)):
            label = int(probs.argmax())
            rows.append(
                {
                    "file": str(path),
                    "index": index,
                    "label": label,
                    "probability": float(probs[label]),
                    "probabilities": probs.tolist(),
                    "assumed": picture.assumed,
                }
            )
    if as_json:
        print_json({"predictions": rows})
        return
    for row in rows:
        # Not through the screen: a path must not be wrapped or read as markup.
        print(f"{row['file']}[{row['index']}]: {row['label']} ({row['probability']:.1%}; {row['assumed']})")


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help=".safetensors, .npz or .pt", metavar="FILE")],
    as_json: AsJson = False,
) -> None:
    """Check a weights file and list what is in it."""
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
    for column in ("tensor", "shape", "dtype", "smallest", "largest"):
        table.add_column(column)
    for name, parameter in model.params.items():
        ends = (f"{parameter.min():.4g}", f"{parameter.max():.4g}")
        table.add_row(name, str(parameter.shape), str(parameter.dtype), *ends)
    screen.print(table)
    for key, value in config.items():
        screen.print(f"{key}: {value}", markup=False)
    screen.print(f"sha256: {sha256}")
    if inferred:
        screen.print("The file holds no configuration: it was read off the shapes, activations assumed.")


@app.command()
def export(
    weights: Weights,
    out: Annotated[Path, typer.Argument(help=".safetensors, .npz or .pt", metavar="OUT")],
) -> None:
    """Write WEIGHTS in another format, bit for bit."""
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
    """Bring foreign weights in, bit for bit, with checks.

    Tensors have PyTorch's names and layout. Shapes don't tell the activations: where the file doesn't
    say and no option does, they are assumed, and the assumption is printed.
    """
    from dataclasses import replace

    from numpy_vgg7.config import VGG7Config
    from numpy_vgg7.weights import read_foreign, save

    if preset and config:
        raise typer.BadParameter("give one of --preset and --config", param_hint="--config")
    readers = options.formats(foreign, "readers")
    known = VGG7Config.from_json(options.read_text(config)) if config else None
    activations = VGG7Config.preset(preset).activations if preset else None
    model, inferred = read_foreign(foreign, known, readers)
    if activations and not inferred and activations != model.config.activations:
        message = f"{foreign} says itself that its activations are others"
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
    """Show versions, BLAS and threads, and what is missing or in the way."""
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
