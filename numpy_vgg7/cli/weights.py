"""`numpy-vgg7 export` and `import`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import screen
from numpy_vgg7.cli.options import Weights

if TYPE_CHECKING:
    from numpy_vgg7.config import VGG7Config

MISMATCH = 4


def export(
    weights: Weights,
    out: Annotated[
        Path,
        typer.Argument(
            help=f"The file to write, replaced if it exists: {options.FORMATS}.",
            metavar="OUT",
            **options.ANY_FILE,
        ),
    ],
    probe: Annotated[
        Path | None,
        typer.Option(
            help="Also write images and the outputs for them, to verify the other program.",
            metavar="FILE.npz",
            **options.ANY_FILE,
        ),
    ] = None,
    layout: Annotated[
        str,
        typer.Option(
            help="Layout of the arrays: pytorch or, only for .npz files and without metadata, keras or flax."
        ),
    ] = "pytorch",
    quiet: options.Quiet = False,
) -> None:
    """Convert weights to another format, losslessly. The suffix of OUT selects the format."""
    from numpy_vgg7.files import require_suffix, write_bytes
    from numpy_vgg7.weights import save
    from numpy_vgg7.weights.layouts import LAYOUTS, from_pytorch
    from numpy_vgg7.weights.npz import npz_bytes
    from numpy_vgg7.weights.probe import write_probe

    options.require_one_of("layout", layout, LAYOUTS)
    if layout != "pytorch" and out.suffix != ".npz":
        raise typer.BadParameter(
            "only .npz files can have a layout other than pytorch", param_hint="--layout"
        )
    if probe:
        require_suffix(probe, ".npz")
        if os.path.realpath(probe) == os.path.realpath(out):
            raise typer.BadParameter("expected another file than OUT", param_hint="'--probe'")
    writers = options.writers(out)
    model = options.read_weights(weights)
    if layout == "pytorch":
        save(out, model, writers)
    else:
        write_bytes(out, npz_bytes(from_pytorch(model.params, layout)))
    screen.print(f"wrote {out}")
    if out.suffix == ".onnx" and model.dtype == "float64":
        options.print_warning(
            "the graph is in float64, but ONNX Runtime supports convolutions only in float32"
        )
    if probe:
        write_probe(probe, model)
        screen.print(f"wrote {probe}")


def import_(
    foreign: Annotated[
        Path,
        typer.Argument(
            help="Weights: .safetensors, .npz, .pt, .pth, .ckpt, .bin, .pkl, .onnx, .keras or .weights.h5.",
            metavar="FOREIGN",
            **options.ANY_FILE,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            help=f"The file to write, replaced if it exists: {options.FORMATS}.",
            metavar="OUT",
            **options.ANY_FILE,
        ),
    ],
    preset: Annotated[
        str | None, typer.Option(help="Use the activations of this preset: article, vgg7 or vgg7-wide.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A JSON file with the complete configuration.", **options.ANY_FILE)
    ] = None,
    activations: options.Activations = None,
    layout: Annotated[
        str,
        typer.Option(help="pytorch; or keras or flax, with kernels (H, W, in, out) and matrices (in, out)."),
    ] = "pytorch",
    flatten: Annotated[
        str | None,
        typer.Option(help="Flatten order before fc5: chw (PyTorch) or hwc. Default: that of the layout."),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map", help="Rename a layer or tensor of FOREIGN. Can be repeated.", metavar="OLD=NEW"
        ),
    ] = None,
    mean: Annotated[
        float, typer.Option(help="The network was trained on images normalised to (x - mean) / std.")
    ] = 0.0,
    std: Annotated[float, typer.Option(help="See --mean.")] = 1.0,
    check: Annotated[
        Path | None,
        typer.Option(
            help="Images, and the logits or probabilities that the other program computed for them. Exit "
            "code 4 on a mismatch.",
            metavar="FILE.npz",
            **options.ANY_FILE,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Convert another program's weights, losslessly. The suffix of OUT selects the format.

    Prefixes, checkpoints and other naming schemes are recognised. Every conversion is printed, and so is
    every assumption about what the file does not say, which the options can change. --check compares the
    imported network with the outputs of the other program; on a mismatch, the usual misreadings of the
    weights are tried, and nothing is written.
    """
    from numpy_vgg7.errors import ConfigError
    from numpy_vgg7.weights import Origin, save
    from numpy_vgg7.weights.check import check as check_probe
    from numpy_vgg7.weights.probe import read_probe

    writers = options.writers(out)
    known, functions = _configuration(preset, config, activations)
    probe = read_probe(check) if check else None
    try:
        origin = Origin(known, functions, layout, flatten, tuple(map_ or ()), mean, std)
        model = options.read_weights(foreign, origin)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    if probe:
        verdict = check_probe(model, probe)
        say = options.print_note if verdict.passed else options.print_warning
        say(verdict.message)
        if not verdict.passed:
            raise typer.Exit(MISMATCH)
    save(out, model, writers)
    screen.print(f"wrote {out}")


def _configuration(
    preset: str | None, config: Path | None, activations: str | None
) -> "tuple[VGG7Config | None, tuple[str, ...] | None]":
    """The configuration and the activations that the options give."""
    from numpy_vgg7.config import VGG7Config, read_config

    if sum(option is not None for option in (preset, config, activations)) > 1:
        raise typer.BadParameter("give one of --preset, --config and --activations", param_hint="--config")
    known = read_config(config) if config else None
    functions = tuple(name.strip() for name in activations.split(",")) if activations is not None else None
    return known, functions if preset is None else VGG7Config.preset(preset).activations
