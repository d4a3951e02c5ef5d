"""What several commands share: screens, JSON, options, PyTorch where it is needed."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from numpy_vgg7 import plots
from numpy_vgg7.errors import ConfigError, MissingDependencyError, WeightsError
from numpy_vgg7.model import VGG7

screen = Console(highlight=False)  # results
messages = Console(stderr=True, highlight=False)  # progress and remarks

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Weights = Annotated[Path, typer.Argument(help="A .safetensors file of this program.", metavar="WEIGHTS")]
Preset = Annotated[str, typer.Option(help="article, vgg7 or vgg7-wide.")]
Data = Annotated[str, typer.Option(help="digits (embedded), or FILE.npz with images and labels.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
# One, so that results are the same on machines of all sizes.
Threads = Annotated[int, typer.Option(min=1, help="Threads; more pay for larger images than digits.")]


def given(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def print_json(record: dict[str, Any]) -> None:
    """One JSON object on one line of standard output; JSON has no NaN, so that is an error."""
    print(json.dumps(record, allow_nan=False))


@contextmanager
def threads(model: VGG7 | None, count: int) -> Iterator[None]:
    """Give `model` its threads, and the BLAS one for each of them."""
    from threadpoolctl import threadpool_limits

    if model:
        model.threads = count
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@contextmanager
def pytorch(purpose: str) -> Iterator[None]:
    """Turn a missing PyTorch into one line. Imports of torch_ref stand in the block."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingDependencyError(
            purpose,
            expected="PyTorch",
            found="no package torch",
            fix="install it: pip install 'numpy-vgg7[torch]'",
        ) from error


def require_matplotlib(purpose: str) -> None:
    """Raise MissingDependencyError in one line where pictures are asked for and cannot be drawn."""
    if not plots.available():
        raise MissingDependencyError(
            purpose,
            expected="matplotlib",
            found="no package matplotlib",
            fix="install it: pip install 'numpy-vgg7[plot]'",
        )


def read_text(path: Path) -> str:
    """The text of a file the user names. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ConfigError(
            str(path), expected="a text file", found=str(error), fix="check the path"
        ) from error


def formats(path: Path, kind: str) -> dict[str, Any]:
    """The table of `readers` or `writers`, with PyTorch's format where `path` asks for it."""
    from numpy_vgg7.weights.formats import READERS, WRITERS

    table: dict[str, Any] = dict(READERS if kind == "readers" else WRITERS)
    if path.suffix == ".pt":
        with pytorch(f"{path}"):
            from torch_ref.weights import read_pt, write_pt

            table[".pt"] = read_pt if kind == "readers" else write_pt
    if path.suffix not in table:
        raise WeightsError(
            str(path),
            expected="a name ending in .safetensors, .npz or .pt",
            found=repr(path.suffix),
            fix="rename the file",
        )
    return table
