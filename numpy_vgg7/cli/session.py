"""What `numpy-vgg7 train` does: a training begins or continues, and its results are written."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from numpy_vgg7 import plots
from numpy_vgg7.cli import options
from numpy_vgg7.cli.console import print_json
from numpy_vgg7.cli.progress import TrainingProgress
from numpy_vgg7.data import Splits
from numpy_vgg7.errors import OutputError, TrainingError
from numpy_vgg7.functional import softmax
from numpy_vgg7.model import VGG7, require_finite
from numpy_vgg7.report.write import write_report
from numpy_vgg7.training import loop
from numpy_vgg7.training.checkpoint import Binding
from numpy_vgg7.training.run_folder import RunConfig, RunFolder, create_folder

RECORD = (
    "preset", "data", "epochs", "seed", "train_accuracy", "validation_accuracy", "test_accuracy", "test_loss",
    "images_per_second", "seconds", "out", "best_epoch", "learned",
)  # fmt: skip


class Session(NamedTuple):
    """A training that can start or continue. Its folder is locked."""

    run: RunConfig
    folder: RunFolder
    model: VGG7
    splits: Splits
    binding: Binding
    state: loop.State


@contextmanager
def started(run: RunConfig, out: Path | None, download: bool) -> Iterator[Session]:
    """A new training in a new folder."""
    dataset = run.load_data(download=download)
    classes = dataset.classes or run.model.classes
    run = replace(run, model=replace(run.model, image_size=dataset.image_size, classes=classes))
    model, splits = run.new_model(), run.split(dataset)
    binding, state = run.binding(splits), loop.start(model, run.training)
    folder = create_folder(run, out)
    with folder.locked(options.print_warning):
        options.print_notes(dataset)
        del dataset  # the splits have copies of their images
        yield Session(run, folder, model, splits, binding, state)


@contextmanager
def resumed(folder: RunFolder) -> Iterator[Session]:
    """The training in a folder, continued."""
    run = folder.read_config()
    with folder.locked(options.print_warning):
        dataset = run.load_data(run.model.classes, run.model.image_size)
        model, splits = run.new_model(), run.split(dataset)
        binding = run.binding(splits)
        state = folder.read_state(model, binding, options.print_warning)
        options.print_notes(dataset)
        del dataset
        yield Session(run, folder, model, splits, binding, state)


def train(session: Session, as_json: bool) -> tuple[dict[str, Any], dict[str, loop.Score]]:
    """Train, and write the results of every epoch. Returns the record and the scores by part."""
    run, folder, model, splits, binding, state = session
    config, first_epoch = run.training, len(state.history)
    finished = state.is_over(config)
    if finished:
        epochs = f"{first_epoch} epoch" + ("s" if first_epoch > 1 else "")
        options.print_note(f"already finished: {folder.path}, {epochs}")
    record: dict[str, Any] = dict.fromkeys(RECORD)
    record |= {"preset": run.preset, "data": run.data, "seed": config.seed, "out": str(folder.path)}
    began = time.perf_counter()
    with TrainingProgress(len(splits.train), config.epochs, first_epoch) as progress:
        try:
            for after in loop.train(model, splits, config, state, progress):
                folder.write(model, after, binding)
                progress.next_epoch(after)
        except TrainingError:
            if as_json:
                print_json(record | {"epochs": len(state.history), "learned": False})
            raise
        seconds = time.perf_counter() - began
        scores = _score_and_plot(folder, model.threads, splits, state, progress)
    labels = splits.train.labels
    learned = loop.has_learned(state.history, labels, config)
    if not learned:
        options.print_warning(loop.nothing_learned(state.history, labels, config))
    speeds = [row.images_per_second for row in state.history[first_epoch:] or state.history]
    record |= {
        "epochs": len(state.history),
        "train_accuracy": scores["train"].accuracy,
        "validation_accuracy": scores["validation"].accuracy,
        "test_accuracy": scores["test"].accuracy,
        "test_loss": scores["test"].loss,
        "images_per_second": sum(speeds) / len(speeds),
        "seconds": None if finished else seconds,
        "best_epoch": state.best_epoch,
        "learned": learned,
    }
    return record, scores


def _score_and_plot(
    folder: RunFolder, threads: int, splits: Splits, state: loop.State, progress: TrainingProgress
) -> dict[str, loop.Score]:
    """The scores of the best weights by part; writes the plots and the report."""
    best = VGG7.load(folder.best)
    best.threads = threads
    parts = splits._asdict()
    logits = {
        part: loop.infer(best, images, progress.scoring(part, len(images))) for part, images in parts.items()
    }
    scores = {part: loop.score_of(logits[part], images.labels) for part, images in parts.items()}
    require_finite(logits["test"])
    if not plots.available():
        options.print_warning("no plots and no report: matplotlib is not installed (extra: plot)")
        return scores
    try:
        progress.say("drawing plots")
        plots.write_plots(folder.plots, best, splits.test, softmax(logits["test"]), state.history)
        progress.say("writing the report")
        write_report(folder.path, splits.test, logits["test"])
    except OutputError as error:  # the scores are not lost
        options.print_warning(str(error))
    return scores
