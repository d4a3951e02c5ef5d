"""`numpy-vgg7 train`."""

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from numpy_vgg7 import plots
from numpy_vgg7.cli import options
from numpy_vgg7.cli.options import AsJson, messages, print_json, screen
from numpy_vgg7.config import VGG7Config
from numpy_vgg7.data import load, split
from numpy_vgg7.model import VGG7
from numpy_vgg7.training import loop
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.run_folder import RunConfig, RunFolder, free_folder

DEFAULTS = TrainingConfig()


def train(
    context: typer.Context,
    preset: options.Preset = "vgg7",
    data: options.Data = "digits",
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = DEFAULTS.epochs,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = DEFAULTS.batch_size,
    lr_conv: Annotated[float, typer.Option(help="Peak rate of conv1..conv4.")] = DEFAULTS.lr_conv,
    lr_fc: Annotated[float, typer.Option(help="Peak rate of fc5..fc7.")] = DEFAULTS.lr_fc,
    momentum: Annotated[float, typer.Option(help="Nesterov momentum; 0 for none.")] = DEFAULTS.momentum,
    weight_decay: Annotated[float, typer.Option(help="L2 penalty.")] = DEFAULTS.weight_decay,
    augment: Annotated[bool, typer.Option(help="Turn, stretch and shift the images.")] = DEFAULTS.augment,
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    seed: options.Seed = DEFAULTS.seed,
    threads: options.Threads = 1,
    out: Annotated[Path | None, typer.Option(help="A new folder; default: one in runs/.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="A run folder to go on with; takes all settings from there.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train a network and keep its weights, metrics and plots in a run folder."""
    if resume:
        _refuse_settings(context)
        folder = RunFolder(resume)
        run = folder.read_config()
    else:
        training = TrainingConfig(epochs, batch_size, lr_conv, lr_fc, momentum, weight_decay, augment, seed)
        config = VGG7Config.preset(preset)
        dataset = load(data, config.classes)
        config = VGG7Config.preset(preset, image_size=dataset.image_size)
        run = RunConfig(preset, data, dtype, config, training)
    model = run.new_model()
    splits = split(load(run.data, run.model.classes, run.model.image_size))
    if resume:
        state = folder.read_state(model)
    else:
        folder = RunFolder(out or free_folder(preset, data, seed))
        folder.create(run)
        state = loop.start(model, run.training)

    began, first_epoch = time.perf_counter(), len(state.history)
    with options.threads(model, threads), _bar(run, len(splits.train), first_epoch) as show:
        try:
            for after in loop.train(model, splits, run.training, state, show):
                folder.write(model, after)
                show.next_epoch()
        except KeyboardInterrupt:
            show.stop()
            messages.print(
                f"interrupted; go on with: numpy-vgg7 train --resume {folder.path}", soft_wrap=True
            )
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
    for part, found in scores.items():
        screen.print(f"{part:<10} accuracy {found.accuracy:.4f}  loss {found.loss:.4f}  ({found.n} images)")
    screen.print(f"{seconds:.1f} s; weights of the best epoch by validation: {folder.best}", soft_wrap=True)


def _refuse_settings(context: typer.Context) -> None:
    """A training goes on as it was begun."""
    for name in context.params:
        if name not in ("resume", "as_json", "threads") and options.given(context, name):
            flag = "--" + name.replace("_", "-")
            raise typer.BadParameter(f"{flag} is fixed by the run folder", param_hint="--resume")


class _bar(Progress):  # noqa: N801  (used like a function)
    """A progress bar over all epochs, on standard error, that the loop can call."""

    def __init__(self, run: RunConfig, images: int, first_epoch: int) -> None:
        super().__init__(
            TextColumn("epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.4f}  accuracy {task.fields[accuracy]:.4f}"),
            TextColumn("{task.fields[speed]:,.0f} images/s"),
            TimeRemainingColumn(),
            console=messages,
            disable=not messages.is_terminal,  # in a log, only what matters
        )
        epochs = run.training.epochs
        self.images, self.epochs, self.epoch = images, epochs, first_epoch
        self.bar = self.add_task(
            "train", total=images * epochs, completed=images * first_epoch,
            epoch=min(first_epoch + 1, epochs), epochs=epochs, loss=0.0, accuracy=0.0, speed=0.0,
        )  # fmt: skip

    def __call__(self, done: int, loss: float, accuracy: float, speed: float) -> None:
        completed = self.epoch * self.images + done
        self.update(self.bar, completed=completed, loss=loss, accuracy=accuracy, speed=speed)

    def next_epoch(self) -> None:
        self.epoch += 1
        self.update(self.bar, epoch=min(self.epoch + 1, self.epochs))
