"""How far a training is, on standard error: a bar in a terminal, else a line for each epoch."""

import time
from collections.abc import Callable
from datetime import timedelta

from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Column

from numpy_vgg7.cli.console import messages
from numpy_vgg7.cli.options import print_note
from numpy_vgg7.training.loop import State


class TrainingProgress(Progress):
    """A bar over all epochs and one for the scores; the training loop calls it after every batch."""

    def __init__(self, images: int, epochs: int, first_epoch: int) -> None:
        super().__init__(
            TextColumn("{task.description}", table_column=Column(min_width=11, no_wrap=True)),
            BarColumn(bar_width=10),
            TextColumn("{task.fields[words]}"),
            console=messages,
            disable=not messages.is_terminal,  # not in a log
        )
        self.images, self.epochs, self.epoch, self.first_epoch = images, epochs, first_epoch, first_epoch
        self.began, self.validation = time.monotonic(), ""
        self.bar = self.add_task(self._title(), total=images * epochs, words="")

    def __call__(self, done: int, loss: float, accuracy: float, speed: float) -> None:
        """Show the state after a batch: images of this epoch, mean loss, accuracy, images per second."""
        words = f"ETA {self._eta(done)}  loss {loss:.4f}{self.validation}"
        words += f"  training {accuracy:.4f}  {speed:,.0f} images/s"  # cut off where there is no room
        self.update(self.bar, completed=self.epoch * self.images + done, words=words)

    def next_epoch(self, state: State) -> None:
        """Count an epoch, and say how it ended."""
        row = state.history[-1]
        self.epoch += 1
        self.validation = f"  validation {row.validation_accuracy:.4f} (best: epoch {state.best_epoch})"
        self.update(self.bar, description=self._title())
        if self.disable:
            print_note(
                f"epoch {row.epoch}/{self.epochs}: "
                f"loss {row.train_loss:.4f}, accuracy {row.train_accuracy:.4f}; "
                f"validation loss {row.validation_loss:.4f}, accuracy {row.validation_accuracy:.4f}; "
                f"best epoch {state.best_epoch}; ETA {self._eta(0)}"
            )

    def scoring(self, part: str, images: int) -> Callable[[int], None]:
        """A bar for the score of one part; returns a function that advances it by some images."""
        name = "training" if part == "train" else part
        self.say(f"scoring the {name} set, {images:,} images")
        bar = self.add_task(f"{name} set", total=images, words=f"{images:,} images")
        return lambda count: self.advance(bar, count)

    def say(self, line: str) -> None:
        """Print what comes next, unless a bar shows it."""
        if self.disable:
            print_note(line)
        else:
            self.console.print(line, style="dim")

    def _title(self) -> str:
        return f"epoch {min(self.epoch + 1, self.epochs)}/{self.epochs}"

    def _eta(self, done: int) -> str:
        """The time that is left, as far as this session shows."""
        trained = (self.epoch - self.first_epoch) * self.images + done
        left = (self.epochs - self.epoch) * self.images - done
        seconds = (time.monotonic() - self.began) * left / max(trained, 1)
        return str(timedelta(seconds=round(seconds)))
