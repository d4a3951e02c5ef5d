"""`numpy-vgg7 parity`."""

from pathlib import Path
from typing import Annotated

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.options import AsJson, print_json, screen
from numpy_vgg7.parity import report
from numpy_vgg7.parity.case import product_trace, random_case, random_model
from numpy_vgg7.parity.compare import compare
from numpy_vgg7.vgg7 import VGG7, VGG7Config

MISMATCH = 4

parity = typer.Typer(help="Hold the network against PyTorch.", no_args_is_help=True)


@parity.callback()
def _group() -> None:
    """Keep `run` a subcommand."""


@parity.command()
def run(
    weights: Annotated[
        Path | None,
        typer.Argument(help="A trained model; without it, random weights.", metavar="[WEIGHTS]"),
    ] = None,
    preset: options.Preset = "vgg7",
    image_size: Annotated[int, typer.Option(help="Pixels a side, where there is no WEIGHTS.")] = 28,
    batch_size: Annotated[int, typer.Option(min=1, help="Images in the batch.")] = 5,
    seed: options.Seed = 0,
    perturb: Annotated[
        str | None,
        typer.Option(
            help="Add 1e-6 to one weight of this tensor, in the NumPy copy only, to see it caught.",
            metavar="TENSOR",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare every activation, gradient and updated parameter with PyTorch's, in float64.

    Exit code 4 on a mismatch.
    """
    with options.pytorch("parity run"):
        from torch_ref.trace import trace as torch_trace

    if weights:
        trained = VGG7.load(weights)
        wide = {name: parameter.astype("float64") for name, parameter in trained.params.items()}
        model = VGG7.from_params(trained.config, wide)
    else:
        model = random_model(VGG7Config.preset(preset, image_size=image_size), seed)
    case = random_case(model, batch_size, seed)
    reference = torch_trace(case)
    if perturb:
        if perturb not in model.params:
            raise typer.BadParameter(f"choose one of {', '.join(model.params)}", param_hint="--perturb")
        model.params[perturb].flat[0] += 1e-6
    comparison = compare(product_trace(case), reference)
    if as_json:
        print_json(report.as_json(comparison))
    else:
        title = f"{weights or preset}: NumPy against PyTorch, float64, batch of {batch_size}"
        screen.print(report.as_table(comparison, title))
        screen.print(report.summary(comparison))
    if not comparison.passed:
        raise typer.Exit(MISMATCH)
