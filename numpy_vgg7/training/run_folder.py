"""The run folder: the results of a training, and all that is needed to resume it."""

import csv
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numpy_vgg7.config import DTYPES, VGG7Config
from numpy_vgg7.data import Dataset, Splits, load, split
from numpy_vgg7.environment import environment
from numpy_vgg7.errors import ConfigError, OutputError, TrainingError
from numpy_vgg7.files import make_folder, move, write_text
from numpy_vgg7.inputs import PLAIN, Encoding, Note, warn
from numpy_vgg7.locks import locked
from numpy_vgg7.model import VGG7
from numpy_vgg7.reading import LONGEST_TEXT, FileKind
from numpy_vgg7.suggestions import instead
from numpy_vgg7.temporary import new_folder
from numpy_vgg7.training import checkpoint
from numpy_vgg7.training.checkpoint import Binding, fingerprint
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.loop import Epoch, State, start

CHECKPOINT = Path("checkpoint") / "state.safetensors"
PREVIOUS = Path("checkpoint") / "previous.safetensors"


@dataclass(frozen=True)
class RunConfig:
    """The settings of a run. In config.json, `training` has the key "recipe" and `augmentation` "motion".

    limit: how many training images, and at most how many validation images, are used; None is all of them.
    """

    preset: str
    data: str
    dtype: str
    model: VGG7Config
    training: TrainingConfig
    encoding: Encoding = PLAIN
    data_dir: str | None = None
    test_data: str | None = None
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ConfigError("dtype", " or ".join(DTYPES), self.dtype, instead(str(self.dtype), DTYPES))
        if self.limit is not None and (type(self.limit) is not int or self.limit < 1):
            raise ConfigError("limit", "a whole number >= 1", self.limit, "correct it")

    def load_data(
        self, classes: int | None = None, image_size: int | None = None, download: bool = False
    ) -> Dataset:
        """Load the data set. Raises DataError."""
        folder = None if self.data_dir is None else Path(self.data_dir)
        return load(self.data, classes, image_size, self.encoding, folder, self.test_data, download)

    def split(self, dataset: Dataset) -> Splits:
        """The parts of the data set, limited. The test set is always complete. Raises DataError."""
        splits = split(dataset)
        if self.limit is None:
            return splits
        train, validation = (part.take(np.arange(min(self.limit, len(part)))) for part in splits[:2])
        return Splits(train, validation, splits.test)

    def to_json(self) -> str:
        """The contents of config.json."""
        record = asdict(self)
        training = record.pop("training")
        training["motion"] = training.pop("augmentation")
        return json.dumps(record | {"recipe": training}, indent=2)

    @classmethod
    def from_json(cls, text: bytes) -> "RunConfig":
        """Read the output of `to_json`. Raises ValueError, KeyError, TypeError or ConfigError."""
        record: dict[str, Any] = json.loads(text)
        model, training = json.dumps(record.pop("model")), record.pop("recipe")
        if "motion" in training:  # absent in the oldest runs
            training = training | {"augmentation": training["motion"]}
            del training["motion"]
        encoding = Encoding(**record.pop("encoding", {}))
        where = {key: record.pop(key, None) for key in ("data_dir", "test_data")}  # absent in older runs
        limit = record.pop("limit", None)
        for name, value in (record | where).items():
            missing = value is None and name in where
            if not missing and (not isinstance(value, str) or "\0" in value):
                raise ConfigError(name, "a string", repr(value), "correct it")
        config, training_config = VGG7Config.from_json(model), TrainingConfig(**training)
        return cls(model=config, training=training_config, encoding=encoding, limit=limit, **record, **where)

    def new_model(self) -> VGG7:
        """The untrained model."""
        return VGG7(self.model, self.training.seed, self.dtype)

    def binding(self, splits: Splits) -> Binding:
        """What a checkpoint of the run belongs to: its network, its settings and its data, as hashes.

        `data` is of the images and labels that the weights and the best epoch depend on. `test` is of those
        that only the scores at the end depend on.
        """
        record = json.loads(self.to_json())
        hashes = {"data": fingerprint(splits.train, splits.validation), "test": fingerprint(splits.test)}
        return {"dtype": self.dtype, **record["model"], **record["recipe"], **hashes}


class FolderExistsError(OutputError):
    """A folder to be created that exists."""


@dataclass(frozen=True)
class RunFolder:
    """config.json, env.json, metrics.csv, last and best .safetensors, checkpoint/, plots/ and report.html."""

    path: Path

    @property
    def best(self) -> Path:
        """Weights of the epoch with the lowest smoothed validation loss."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """Weights after the last epoch."""
        return self.path / "last.safetensors"

    @property
    def plots(self) -> Path:
        """Plots of the training."""
        return self.path / "plots"

    def create(self, config: RunConfig) -> None:
        """Create the folder with config.json and env.json, all at once.

        Raises FolderExistsError, or OutputError if it cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with new_folder(self.path) as folder:
                (folder / CHECKPOINT).parent.mkdir()
                write_text(folder / "config.json", config.to_json() + "\n")
                _write_environment(folder)
        except OSError as error:
            taken = os.path.lexists(self.path)
            if not taken:
                raise OutputError.of(self.path, "a new folder", error, "choose another --out") from error
            fix = f"choose another --out, or continue with --resume {self.path}"
            found = "a folder or file of that name"
            raise FolderExistsError(str(self.path), "a new folder", found, fix) from error

    def read_config(self) -> RunConfig:
        """Read config.json. Raises TrainingError if it is missing or invalid."""
        if not os.path.lexists(self.path):
            fix = "give the same command without --resume"
            raise TrainingError(str(self.path), "a run folder", "nothing there: no training was begun", fix)
        return read_config(self.path / "config.json", "give --resume a folder that `train` created")

    @contextmanager
    def locked(self, note: Note = warn) -> Iterator[None]:
        """Keep other processes from training in this folder. Raises OutputError if one does.

        On a file system without locks, this is noted.
        """
        with locked(self.path / "config.json", note) as free:
            if not free:
                found, fix = "one that another process trains in", "wait for its end, or choose another"
                raise OutputError(str(self.path), "a run folder that is not in use", found, fix)
            yield

    def write(self, model: VGG7, state: State, binding: Binding) -> None:
        """Write the results of an epoch and the checkpoint."""
        model.save(self.last)
        if state.is_best():
            model.save(self.best)
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(Epoch._fields)
        rows.writerows(state.history)
        write_text(self.path / "metrics.csv", table.getvalue())
        # Last: if writing is interrupted before this, resuming repeats the epoch and writes the same bytes.
        if (self.path / CHECKPOINT).exists():
            move(self.path / CHECKPOINT, self.path / PREVIOUS)
        checkpoint.write(self.path / CHECKPOINT, state, binding)

    def read_state(self, model: VGG7, binding: Binding, note: Note = warn) -> State:
        """Read the last checkpoint, or the one before it if it is damaged or of another training.

        The latter is noted. Without a checkpoint (interrupted in the first epoch) this is the initial state,
        which is noted, too. env.json is written if it is missing. Raises TrainingError if no checkpoint
        can be used, or if they are missing though there are results of later epochs.
        """
        if not (self.path / "env.json").exists():
            _write_environment(self.path)
        newest, previous = self.path / CHECKPOINT, self.path / PREVIOUS
        if not newest.exists() and not previous.exists():
            self._require_no_results()
            note(f"{self.path}: no checkpoint: starting at epoch 1")
            make_folder(newest.parent)
            return start(model, self.read_config().training)
        try:
            return checkpoint.read(newest if newest.exists() else previous, model, binding, note)
        except TrainingError as error:
            try:
                state = checkpoint.read(previous, model, binding, note)
            except TrainingError:
                raise error from None
            note(f"{error}; continuing from the checkpoint before it")
        move(previous, newest)  # else the next epoch would keep the damaged one
        return state

    def _require_no_results(self) -> None:
        """Raise TrainingError if the results are of more than the epoch whose checkpoint comes last."""
        metrics, kind = self.path / "metrics.csv", FileKind("table of epochs", TrainingError)
        epochs = kind.read(metrics).count(b"\n") - 1 if metrics.exists() else 0
        if epochs > 1 or (self.path / "report.html").exists():
            fix = "restore it, or start again with another --out"
            found = f"none, but results (epochs: {epochs})"
            raise TrainingError(str(self.path / CHECKPOINT), "a checkpoint", found, fix)


def read_config(path: Path, fix: str) -> RunConfig:
    """Read a config.json. Raises TrainingError with this remedy if it is missing or invalid."""
    kind = FileKind("config.json of a run folder", TrainingError, fix, LONGEST_TEXT)
    try:
        with kind.parsing(path):
            return RunConfig.from_json(kind.read(path))
    except ConfigError as error:
        raise TrainingError(f"{path}: {error.what}", error.expected, error.found, error.fix) from error


def create_folder(config: RunConfig, path: Path | None = None) -> RunFolder:
    """Create `path`, or else the first free folder of runs/PRESET-DATA-seedN, runs/PRESET-DATA-seedN-2, ...

    Raises OutputError.
    """
    name = f"{config.preset}-{Path(config.data).stem}-seed{config.training.seed}"
    folder, number = RunFolder(path or Path("runs") / name), 1
    while True:
        try:
            folder.create(config)
        except FolderExistsError:  # perhaps created by another process just now
            if path:
                raise
            number += 1
            folder = RunFolder(Path("runs") / f"{name}-{number}")
        else:
            return folder


def _write_environment(folder: Path) -> None:
    write_text(folder / "env.json", json.dumps(environment(), indent=2) + "\n")
