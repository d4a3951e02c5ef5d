"""`numpy-vgg7 train`."""

from dataclasses import fields, replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import print_json, screen
from numpy_vgg7.cli.layout import Command
from numpy_vgg7.cli.options import AsJson
from numpy_vgg7.errors import ConfigError
from numpy_vgg7.training.config import BELOW_ONE, NUMBERS, WHOLE, TrainingConfig

if TYPE_CHECKING:
    from numpy_vgg7.training.run_folder import RunConfig

DEFAULTS = TrainingConfig  # the class has the defaults of its fields as attributes
# Options with the names of fields of RunConfig, VGG7Config and TrainingConfig change these.
LISTS: dict[str, type] = {"channels": int, "groups": int, "hidden": int, "activations": str}


class Train(Command):
    """The command, whose options are many."""

    headings: ClassVar[dict[str, str]] = {
        "preset": "Network",
        "data": "Data",
        "settings": "Training",
        "dtype": "Run",
    }
    ranges: ClassVar[dict[str, str]] = (
        {name: f"at least {lowest}" for name, lowest in WHOLE.items()}
        | dict.fromkeys(NUMBERS, "at least 0")
        | dict.fromkeys(BELOW_ONE, "at least 0, below 1")
        | {"clip_norm": "above 0", "seed": ""}  # Typer knows the range of the seed
    )


def train(
    context: typer.Context,
    preset: options.Preset = "vgg7",
    channels: Annotated[
        str | None, typer.Option(help="Output channels of conv1 to conv4.", metavar="N,N,N,N")
    ] = None,
    groups: Annotated[
        str | None, typer.Option(help="Channel groups of conv1 to conv4.", metavar="N,N,N,N")
    ] = None,
    hidden: Annotated[str | None, typer.Option(help="Outputs of fc5 and fc6.", metavar="N,N")] = None,
    activations: options.Activations = None,
    bias: Annotated[
        bool | None, typer.Option("--bias/--no-bias", help="Use biases. Default: as in the preset.")
    ] = None,
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    test_data: options.TestData = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Train on N images only and validate on at most N.", metavar="N")
    ] = None,
    pixel_max: options.PixelMax = None,
    mean: options.Mean = None,
    std: options.Std = None,
    invert: options.Invert = False,
    classes: options.Classes = None,
    labels_from: options.LabelsFrom = 0,
    settings: Annotated[
        str,
        typer.Option(help="Defaults of the options below: default, or fast or best for MNIST."),
    ] = "default",
    config: Annotated[
        Path | None,
        typer.Option(
            help="Take all settings that are not given as options from the config.json of another run.",
            **options.ANY_FILE,
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = DEFAULTS.epochs,
    batch_size: Annotated[
        int, typer.Option(help="Images per step, at most all training images.")
    ] = DEFAULTS.batch_size,
    lr_conv: Annotated[float, typer.Option(help="Peak learning rate of conv1 to conv4.")] = DEFAULTS.lr_conv,
    lr_fc: Annotated[float, typer.Option(help="Peak learning rate of fc5 to fc7.")] = DEFAULTS.lr_fc,
    schedule: Annotated[
        str, typer.Option(help="Learning rate schedule: constant, step, cosine or one-cycle.")
    ] = DEFAULTS.schedule,
    momentum: Annotated[float, typer.Option(help="Momentum; 0 disables it.")] = DEFAULTS.momentum,
    nesterov: Annotated[bool, typer.Option(help="Use Nesterov's variant of momentum.")] = DEFAULTS.nesterov,
    weight_decay: Annotated[float, typer.Option(help="Weight decay (L2 penalty).")] = DEFAULTS.weight_decay,
    decay_biases: Annotated[
        bool, typer.Option(help="Apply the weight decay to biases as well.")
    ] = DEFAULTS.decay_biases,
    label_smoothing: Annotated[
        float, typer.Option(help="Share of each label that is spread over all classes.")
    ] = DEFAULTS.label_smoothing,
    clip_norm: Annotated[
        float | None, typer.Option(help="Maximum norm of the gradients. Default: no limit.")
    ] = DEFAULTS.clip_norm,
    average: Annotated[
        int, typer.Option(help="Average the weights of the last N epochs.", metavar="N")
    ] = DEFAULTS.average,
    patience: Annotated[
        int,
        typer.Option(
            help="Stop after N epochs without a lower validation loss; 0 disables this.", metavar="N"
        ),
    ] = DEFAULTS.patience,
    augment: Annotated[
        bool, typer.Option(help="Rotate, scale and translate training images at random.")
    ] = DEFAULTS.augment,
    augmentation: Annotated[
        str, typer.Option(help="Strength: gentle, or strong, which also distorts.")
    ] = DEFAULTS.augmentation,
    dtype: Annotated[str, typer.Option(help="Precision: float32 or float64.")] = "float32",
    seed: options.Seed = DEFAULTS.seed,
    threads: options.Threads = 1,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder to create. Default: a new one in runs/.", **options.ANY_FILE),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            help="Continue the interrupted training in this run folder with its settings.", **options.ANY_FILE
        ),
    ] = None,
    quiet: options.Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Train a network and write the results to a run folder.

    The folder contains the configuration, weights, metrics, plots and a report.
    """
    from numpy_vgg7.cli import session
    from numpy_vgg7.training.run_folder import RunFolder

    if resume:
        _refuse_settings(context)
        prepared = session.resumed(RunFolder(resume))
    else:
        prepared = session.started(run_config(context), out, download)
    with prepared as training:
        training.model.threads = threads
        folder = training.folder
        again = f"numpy-vgg7 train --resume {quote(str(folder.path))}"
        if threads != 1:  # with another number, rounding errors are others
            again += f" --threads {threads}"
        try:
            record, scores = session.train(training, as_json)
        except KeyboardInterrupt:
            options.print_warning(f"interrupted; continue with: {again}")
            raise
    if as_json:
        print_json(record)
        return
    for part, score in scores.items():
        screen.print(f"{part:<10} accuracy {score.accuracy:.4f}  loss {score.loss:.4f}  ({score.n} images)")
    chosen = f"weights with the lowest smoothed validation loss (epoch {record['best_epoch']})"
    time = "" if record["seconds"] is None else f"{record['seconds']:.1f} s; "
    screen.print(f"{time}{chosen}: {folder.best}")


def run_config(context: typer.Context) -> "RunConfig":
    """The settings of a run: those given as options, the others from --config, --settings and --preset.

    Raises ConfigError, TrainingError.
    """
    from numpy_vgg7.config import VGG7Config
    from numpy_vgg7.inputs import PLAIN
    from numpy_vgg7.training.run_folder import RunConfig, read_config

    given = {name: value for name, value in context.params.items() if options.given(context, name)}
    given |= {name: _list(name, given[name], kind) for name, kind in LISTS.items() if name in given}
    if "config" in given:
        run = read_config(given["config"], "give --config the config.json of a run folder")
    else:
        network = VGG7Config.preset(context.params["preset"])
        run = RunConfig(context.params["preset"], "digits", "float32", network, TrainingConfig())
    network = VGG7Config.preset(given["preset"]) if "preset" in given else run.model
    training = TrainingConfig.preset(given["settings"]) if "settings" in given else run.training
    direct = ("preset", "data", "dtype", "test_data", "limit")
    changes: dict[str, Any] = {name: given[name] for name in direct if name in given}
    if "data_dir" in given:
        changes["data_dir"] = str(given["data_dir"])
    if "data" in given and "config" in given:  # the rest of what the file says on data is about other data
        changes = {"data_dir": None, "test_data": None, "encoding": PLAIN} | changes
    changes["encoding"] = options.changed_encoding(context, changes.get("encoding", run.encoding))
    return replace(run, model=_changed(network, given), training=_changed(training, given), **changes)


def _changed(config: Any, given: dict[str, Any]) -> Any:
    """A configuration with the fields that are given; the data decide on classes and image size."""
    names = {field.name for field in fields(config)} - {"classes", "image_size"}
    return replace(config, **{name: value for name, value in given.items() if name in names})


def _list(name: str, text: str, kind: type) -> tuple[Any, ...]:
    """Values separated by commas. Raises ConfigError."""
    try:
        return tuple(kind(value.strip()) for value in text.split(","))
    except ValueError as error:
        raise ConfigError(name, "whole numbers, separated by commas", text, "correct it") from error


def _refuse_settings(context: typer.Context) -> None:
    """Raise a usage error if a setting is given together with --resume."""
    for name in context.params:
        if name not in ("resume", "as_json", "threads", "quiet") and options.given(context, name):
            flag = "--" + name.replace("_", "-")
            raise typer.BadParameter(
                f"cannot be combined with {flag}: a resumed training keeps its settings",
                param_hint="--resume",
            )
