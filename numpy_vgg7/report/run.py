"""What a run folder, of this version or an earlier one, says about its training."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy_vgg7.data import Dataset
from numpy_vgg7.errors import DataError, TrainingError, WeightsError, printable
from numpy_vgg7.model import VGG7
from numpy_vgg7.reading import LONGEST_TEXT, FileKind
from numpy_vgg7.training.loop import Epoch, State
from numpy_vgg7.training.run_folder import RunConfig, RunFolder, read_config

FIX = "give a folder that `train` created"
METRICS = FileKind(
    "table of the epochs 1, 2, ...", TrainingError, "restore the file, or train again", LONGEST_TEXT
)
ENVIRONMENT = FileKind("record of versions in JSON", TrainingError, "restore the file", LONGEST_TEXT)


@dataclass(frozen=True)
class Run:
    """A training: its settings and metrics, and as far as they can still be read, its weights and test set.

    environment: the contents of env.json.
    model: the best weights.
    missing: one line for each part that could not be read.
    """

    name: str
    config: RunConfig
    history: tuple[Epoch, ...]
    environment: Mapping[str, Any] | None
    model: VGG7 | None
    test: Dataset | None
    missing: tuple[str, ...] = ()

    @property
    def best(self) -> Epoch:
        """The metrics of the epoch whose weights were kept."""
        return self.history[State({}, {}, list(self.history)).best_epoch - 1]

    @property
    def settings(self) -> dict[str, str]:
        """All settings by name, such as "training.epochs", as text."""
        return flat(asdict(self.config))

    @property
    def is_over(self) -> bool:
        """Whether the training has ended, and was not only interrupted."""
        return State({}, {}, list(self.history)).is_over(self.config.training)

    @property
    def images_per_second(self) -> float:
        """The mean speed of the training."""
        return sum(row.images_per_second for row in self.history) / len(self.history)


def read_run(path: Path, test: Dataset | None = None) -> Run:
    """Read a run folder. Raises TrainingError if its settings or metrics are missing or damaged.

    Weights, data and an environment that cannot be read are named in `missing`. With `test`, the test set,
    the data are not read.
    """
    folder, config = RunFolder(path), read_config(path / "config.json", FIX)
    history, missing = read_metrics(path / "metrics.csv"), []
    environment, model = None, None
    try:
        environment = read_environment(path / "env.json")
    except TrainingError as error:
        missing.append(f"no environment: {error}")
    try:
        model = VGG7.load(folder.best)
    except WeightsError as error:
        missing.append(f"no test scores, kernels or activations: {error}")
    try:
        test = test or config.split(config.load_data(config.model.classes, config.model.image_size)).test
    except DataError as error:
        missing.append(f"no test scores or activations: {error}")
    return Run(printable(path.resolve().name), config, history, environment, model, test, tuple(missing))


def read_metrics(path: Path) -> tuple[Epoch, ...]:
    """The rows of a metrics.csv. Raises TrainingError."""
    if not path.exists():
        fix = f"continue the training with: numpy-vgg7 train --resume {path.parent}"
        raise TrainingError(str(path), "the metrics of at least one epoch", "nothing there", fix)
    with METRICS.parsing(path):
        rows = list(csv.DictReader(io.StringIO(METRICS.text(path)), strict=True))
        if not rows:
            raise ValueError("no rows")
        return tuple(_epoch(row, number) for number, row in enumerate(rows, start=1))


def _epoch(row: dict[str | Any, str | Any], number: int) -> Epoch:
    """The row of an epoch. Raises ValueError."""
    try:
        epoch = Epoch(int(row["epoch"]), *(float(row[name]) for name in Epoch._fields[1:]))
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"no numbers for {', '.join(Epoch._fields)} in row {number}") from error
    if epoch.epoch != number or not math.isfinite(epoch.train_loss):
        raise ValueError(f"epoch {epoch.epoch} with the training loss {epoch.train_loss} in row {number}")
    return epoch


def read_environment(path: Path) -> dict[str, Any]:
    """The contents of an env.json. Raises TrainingError."""
    with ENVIRONMENT.parsing(path):
        found = json.loads(ENVIRONMENT.read(path))
        if not isinstance(found, dict):
            raise ValueError(type(found).__name__)
        return found


def flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A nested record as one of texts: {"a": {"b": (1, 2)}} is {"a.b": "1, 2"}."""
    found: dict[str, str] = {}
    for key, value in record.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = _text(value)
    return found


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value))
    return "" if value is None else str(value)
