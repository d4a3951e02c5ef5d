"""The run folder: the results of a training, and all that is needed to resume it."""

import csv
import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from numpy_vgg7.config import DTYPES, VGG7Config
from numpy_vgg7.data import Dataset, Splits, load, split
from numpy_vgg7.environment import environment
from numpy_vgg7.errors import ConfigError, OutputError, TrainingError, WeightsError
from numpy_vgg7.files import move, write_text
from numpy_vgg7.functional import Arrays
from numpy_vgg7.inputs import PLAIN, Encoding, Note, warn
from numpy_vgg7.model import VGG7
from numpy_vgg7.reading import LONGEST_TEXT, FileKind
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.loop import Epoch, State, start
from numpy_vgg7.weights.formats import read_safetensors, write_safetensors

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
            raise ConfigError("dtype", " or ".join(DTYPES), repr(self.dtype), "correct it")
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
                raise ConfigError(name, "a text", repr(value), "correct it")
        config, training_config = VGG7Config.from_json(model), TrainingConfig(**training)
        return cls(model=config, training=training_config, encoding=encoding, limit=limit, **record, **where)

    def new_model(self) -> VGG7:
        """The untrained model."""
        return VGG7(self.model, self.training.seed, self.dtype)


@dataclass(frozen=True)
class RunFolder:
    """config.json, env.json, metrics.csv, last and best .safetensors, checkpoint/ and plots/."""

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
        """Create the folder, config.json and env.json. Raises OutputError if the folder exists."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir()
            (self.path / CHECKPOINT).parent.mkdir()
        except OSError as error:
            taken = isinstance(error, FileExistsError)
            found = "a folder or file of that name" if taken else (error.strerror or "").lower()
            fix = f"choose another --out, or continue with --resume {self.path}"
            raise OutputError(str(self.path), "a new folder", found, fix) from error
        write_text(self.path / "config.json", config.to_json() + "\n")
        write_text(self.path / "env.json", json.dumps(environment(), indent=2) + "\n")

    def read_config(self) -> RunConfig:
        """Read config.json. Raises TrainingError if it is missing or invalid."""
        return read_config(self.path / "config.json", "give --resume a folder that `train` created")

    def write(self, model: VGG7, state: State) -> None:
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
        tensors, metadata = _pack(state)
        if (self.path / CHECKPOINT).exists():
            move(self.path / CHECKPOINT, self.path / PREVIOUS)
        write_safetensors(self.path / CHECKPOINT, tensors, metadata)

    def read_state(self, model: VGG7, note: Note = warn) -> State:
        """Read the last checkpoint, or the one before it if it is damaged, which is noted.

        Without a checkpoint (interrupted in the first epoch) this is the initial state. Raises WeightsError
        or TrainingError if all checkpoints are damaged.
        """
        newest, previous = self.path / CHECKPOINT, self.path / PREVIOUS
        if newest.exists():
            try:
                return self._read_checkpoint(newest, model)
            except (WeightsError, TrainingError) as error:
                if not previous.exists():
                    raise
                note(f"{error}; continuing from the checkpoint before it")
        if previous.exists():
            state = self._read_checkpoint(previous, model)
            move(previous, newest)  # else the next epoch would keep the damaged one
            return state
        return start(model, self.read_config().training)

    def _read_checkpoint(self, path: Path, model: VGG7) -> State:
        """Raises WeightsError or TrainingError."""
        tensors, metadata = read_safetensors(path)
        parts: dict[str, Arrays] = {"params": {}, "velocity": {}}
        if any(name.startswith("average/") for name in tensors):
            parts["average"] = {}
        kind = FileKind(
            f"checkpoint of the training in {self.path}", TrainingError, "start the training again"
        )
        with kind.parsing(path):
            history = [Epoch(int(row[0]), *map(float, row[1:])) for row in json.loads(metadata or "")]
            for part, arrays in parts.items():
                for name, parameter in model.params.items():
                    arrays[name] = tensors[f"{part}/{name}"]
                    if arrays[name].shape != parameter.shape or arrays[name].dtype != parameter.dtype:
                        raise ValueError(f"{part}/{name} with another shape or dtype")
                    if not np.isfinite(arrays[name]).all():
                        raise ValueError(f"{part}/{name} not finite")
        return State(**parts, history=history)


def read_config(path: Path, fix: str) -> RunConfig:
    """Read a config.json. Raises TrainingError with this remedy if it is missing or invalid."""
    kind = FileKind("config.json of a run folder", TrainingError, fix, LONGEST_TEXT)
    try:
        with kind.parsing(path):
            return RunConfig.from_json(kind.read(path))
    except ConfigError as error:
        raise kind.damaged(path, error) from error


def free_folder(preset: str, data: str, seed: int) -> Path:
    """The first unused name of runs/PRESET-DATA-seedN, runs/PRESET-DATA-seedN-2, ..."""
    name = f"{preset}-{Path(data).stem}-seed{seed}"
    path, number = Path("runs") / name, 1
    while path.exists():
        number += 1
        path = Path("runs") / f"{name}-{number}"
    return path


def _pack(state: State) -> tuple[dict[str, np.ndarray[Any, Any]], str]:
    parts = {"params": state.params, "velocity": state.velocity, "average": state.average}
    tensors = {f"{part}/{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
    return tensors, json.dumps(state.history)
