"""`numpy-vgg7 train`."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from numpy_vgg7 import plots
from numpy_vgg7.cli import options
from numpy_vgg7.cli.options import AsJson, messages, print_json, screen
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.data import split
from numpy_vgg7.model import VGG7
from numpy_vgg7.training import loop
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.run_folder import RunConfig, RunFolder, free_folder

DEFAULTS = TrainingConfig()


def train(
    context: typer.Context,
    preset: options.Preset = "vgg7",
    data: options.Data = "digits",
    data_dir: options.DataDir = None,
    download: options.Download = False,
    test_data: options.TestData = None,
    pixel_max: options.PixelMax = None,
    mean: options.Mean = None,
    std: options.Std = None,
    invert: options.Invert = False,
    classes: options.Classes = None,
    labels_from: options.LabelsFrom = 0,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = DEFAULTS.epochs,
    batch_size: Annotated[int, typer.Option(help="Images per step.")] = DEFAULTS.batch_size,
    lr_conv: Annotated[float, typer.Option(help="Maximum learning rate of conv1..conv4.")] = DEFAULTS.lr_conv,
    lr_fc: Annotated[float, typer.Option(help="Maximum learning rate of fc5..fc7.")] = DEFAULTS.lr_fc,
    momentum: Annotated[float, typer.Option(help="Nesterov momentum; 0 disables it.")] = DEFAULTS.momentum,
    weight_decay: Annotated[
        float, typer.Option(help="L2 penalty on all parameters.")
    ] = DEFAULTS.weight_decay,
    augment: Annotated[
        bool, typer.Option(help="Rotate, scale and translate images at random.")
    ] = DEFAULTS.augment,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    seed: options.Seed = DEFAULTS.seed,
    threads: options.Threads = 1,
    out: Annotated[
        Path | None, typer.Option(help="The run folder to create. Default: a new one in runs/.")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Continue the interrupted training in this run folder, with its settings."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network; write its weights, metrics and plots to a run folder."""
    if resume:
        _refuse_settings(context)
        folder = RunFolder(resume)
        run = folder.read_config()
        dataset = run.load_data(run.model.classes, run.model.image_size)
    else:
        training = TrainingConfig(epochs, batch_size, lr_conv, lr_fc, momentum, weight_decay, augment, seed)
        config = VGG7Config.preset(preset)
        encoding = options.encoding(pixel_max, mean, std, invert, classes, labels_from)
        directory = str(data_dir) if data_dir else None
        run = RunConfig(preset, data, dtype, config, training, encoding, directory, test_data)
        dataset = run.load_data(download=download)
        config = replace(config, image_size=dataset.image_size, classes=dataset.classes or config.classes)
        run = replace(run, model=config)
    model = run.new_model()
    splits = split(dataset)
    if resume:
        state = folder.read_state(model)
    else:
        folder = RunFolder(out or free_folder(preset, data, seed))
        folder.create(run)
        state = loop.start(model, run.training)
    options.print_notes(dataset)
    del dataset  # the splits have copies of their images

    model.threads = threads
    began, first_epoch = time.perf_counter(), len(state.history)
    with ProgressBar(run, len(splits.train), first_epoch) as progress:
        try:
            for after in loop.train(model, splits, run.training, state, progress):
                folder.write(model, after)
                progress.next_epoch()
        except KeyboardInterrupt:
            progress.stop()
            message = f"interrupted; continue with: numpy-vgg7 train --resume {folder.path}"
            messages.print(message, soft_wrap=True, markup=False)
            raise
    seconds = time.perf_counter() - began

    best = VGG7.load(folder.best)
    scores = {part: loop.score(best, images) for part, images in splits._asdict().items()}
    if plots.available():
        plots.write_plots(folder.plots, best, splits.test, state.history)
    else:
        messages.print("no plots: matplotlib is not installed (extra: plot)")
    speeds = [row.images_per_second for row in state.history[first_epoch:] or state.history]
    record = {
        "preset": run.preset,
        "data": run.data,
        "epochs": len(state.history),
        "seed": run.training.seed,
        "train_accuracy": scores["train"].accuracy,
        "validation_accuracy": scores["validation"].accuracy,
        "test_accuracy": scores["test"].accuracy,
        "test_loss": scores["test"].loss,
        "images_per_second": sum(speeds) / len(speeds),
        "seconds": seconds,
        "out": str(folder.path),
    }
    if as_json:
        print_json(record)
        return
    for part, score in scores.items():
        screen.print(f"{part:<10} accuracy {score.accuracy:.4f}  loss {score.loss:.4f}  ({score.n} images)")
    line = f"{seconds:.1f} s; weights with the lowest validation loss: {folder.best}"
    screen.print(line, soft_wrap=True, markup=False)


def _refuse_settings(context: typer.Context) -> None:
    """Raise a usage error if a setting is given together with --resume."""
    for name in context.params:
        if name not in ("resume", "as_json", "threads") and options.given(context, name):
            flag = "--" + name.replace("_", "-")
            raise typer.BadParameter(f"{flag} is fixed by the run folder", param_hint="--resume")


class ProgressBar(Progress):
    """A progress bar over all epochs, on standard error; the training loop calls it after every batch."""

    def __init__(self, run: RunConfig, images: int, first_epoch: int) -> None:
        super().__init__(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.4f}"),
            TextColumn("{task.fields[speed]:,.0f} images/s"),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=messages,
            disable=not messages.is_terminal,  # not in a log
        )
        epochs = run.training.epochs
        self.images, self.epochs, self.epoch = images, epochs, first_epoch
        self.bar = self.add_task(
            "train", total=images * epochs, completed=images * first_epoch,
            epoch=min(first_epoch + 1, epochs), epochs=epochs, loss=0.0, accuracy=0.0, speed=0.0,
        )  # fmt: skip

    def __call__(self, done: int, loss: float, accuracy: float, speed: float) -> None:
        """Show the state after a batch: images of this epoch, mean loss, accuracy, images per second."""
        completed = self.epoch * self.images + done
        self.update(self.bar, completed=completed, loss=loss, accuracy=accuracy, speed=speed)

    def next_epoch(self) -> None:
        """Count an epoch."""
        self.epoch += 1
        self.update(self.bar, epoch=min(self.epoch + 1, self.epochs))
