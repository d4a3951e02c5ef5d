"""Options, output and optional dependencies shared by several commands."""

import os
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from numpy_vgg7.cli.console import messages, problems
from numpy_vgg7.errors import MissingDependencyError
from numpy_vgg7.limits import MOST_THREADS
from numpy_vgg7.suggestions import instead

if TYPE_CHECKING:
    from numpy_vgg7.data import Dataset, Encoding
    from numpy_vgg7.model import VGG7
    from numpy_vgg7.parity.forward import ForwardReference
    from numpy_vgg7.weights import Origin

Item = TypeVar("Item")


def _be_quiet(quiet: bool) -> bool:
    messages.quiet = quiet
    return quiet


AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Print only results, warnings and errors.", callback=_be_quiet),
]
# A file that may not be read is bad input, as one that is missing, and not wrong usage.
ANY_FILE = {"readable": False}
PAGES = (".html", ".htm")
FORMATS = ".safetensors, .npz, .pt, .onnx, .keras or .weights.h5"
Weights = Annotated[
    Path, typer.Argument(help=f"A run folder, or weights: {FORMATS}.", metavar="WEIGHTS", **ANY_FILE)
]
Preset = Annotated[str, typer.Option(help="Architecture: article, vgg7 or vgg7-wide.")]
Activations = Annotated[
    str | None,
    typer.Option(
        help="Seven of relu, tanh, arctan and identity: after conv1 to conv4 and fc5 to fc7.",
        metavar="A,B,...",
    ),
]
Data = Annotated[
    str,
    typer.Option(
        help="Data set: digits (embedded), mnist, fashion-mnist, emnist-letters or another part of EMNIST, "
        "FILE.npz, FILE.csv, IMAGES.npy,LABELS.npy, or a folder with one folder of PNG or JPEG images per "
        "class."
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Folder with the four files of mnist. Default: $NUMPY_VGG7_DATA, or the user's cache folder.",
        **ANY_FILE,
    ),
]
Download = Annotated[
    bool, typer.Option("--download", help="Download mnist or fashion-mnist if files are missing.")
]
TestData = Annotated[
    str | None, typer.Option(help="Test data, given as for --data. Default: the test part of --data.")
]
PixelMax = Annotated[
    float | None, typer.Option(help="Pixel value of white. Default: detected where the data are unambiguous.")
]
Mean = Annotated[
    float | None, typer.Option(help="With --std: mean of a normalisation to undo (pixels * std + mean).")
]
Std = Annotated[float | None, typer.Option(help="With --mean: standard deviation of the normalisation.")]
Invert = Annotated[bool, typer.Option("--invert", help="Images are dark on light.")]
Classes = Annotated[
    str | None,
    typer.Option(
        help="Number of classes, or the text labels in order: A,B,... Default: found in the data.",
        metavar="N|A,B,...",
    ),
]
LabelsFrom = Annotated[int, typer.Option(min=0, help="Label of the first class.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed.")]
# The default is one thread, so that results do not depend on the number of processors.
Threads = Annotated[
    int,
    typer.Option(
        min=1,
        max=MOST_THREADS,
        help="Number of threads. More than one pays off for images larger than the digits.",
    ),
]


def encoding(
    pixel_max: float | None,
    mean: float | None,
    std: float | None,
    invert: bool,
    classes: str | None = None,
    labels_from: int = 0,
) -> "Encoding":
    """The options that tell how images and labels are encoded. Raises ConfigError."""
    from numpy_vgg7.data import Encoding

    number: int | None = None
    names: tuple[str, ...] = ()
    if classes is not None and classes.strip().isdecimal():
        number = int(classes)
    elif classes is not None:
        names = tuple(name.strip() for name in classes.split(","))
    return Encoding(pixel_max, mean, std, invert, number, names, labels_from)


# The fields of an Encoding that an option sets.
ENCODING: dict[str, tuple[str, ...]] = {
    name: (name,) for name in ("pixel_max", "mean", "std", "invert", "labels_from")
}
ENCODING["classes"] = ("classes", "class_names")


def changed_encoding(context: typer.Context, base: "Encoding") -> "Encoding":
    """The encoding `base`, changed by the options that are given. Raises ConfigError."""
    options = encoding(**{name: context.params[name] for name in ENCODING})
    changed = [field for name in ENCODING if given(context, name) for field in ENCODING[name]]
    return replace(base, **{field: getattr(options, field) for field in changed})


def print_note(line: str) -> None:
    """Print a line on standard error, unless --quiet is given."""
    messages.print(line)


def print_warning(line: str) -> None:
    """Print a line on standard error, even if --quiet is given."""
    problems.print(line)


def print_notes(data: "Dataset") -> None:
    """Print what was assumed in reading a data set, and how its classes are numbered."""
    for note in data.notes:
        print_note(note)


def require_one_of(name: str, value: str, known: Iterable[str]) -> None:
    """Raise a usage error unless an option has one of these values."""
    known = list(known)
    if value not in known:
        message = f"expected one of {', '.join(known)}, found {value!r}; {instead(value, known)}"
        raise typer.BadParameter(message, param_hint=f"'--{name}'")


def track(items: Iterable[Item], description: str, total: int | None = None) -> Iterator[Item]:
    """Iterate over items, with a progress bar on a terminal."""
    from rich.progress import track as track_rich

    yield from track_rich(items, description, total, console=messages, disable=not messages.is_terminal)


def given(context: typer.Context, name: str) -> bool:
    """Whether an option was given on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


@contextmanager
def threads(model: "VGG7 | None", count: int) -> Iterator[None]:
    """Give `model` its threads, and the BLAS one for each of them."""
    from threadpoolctl import threadpool_limits

    if model:
        model.threads = count
    with threadpool_limits(limits=1, user_api="blas"):
        yield


@contextmanager
def extra(purpose: str, package: str, name: str, of: str | None = None) -> Iterator[None]:
    """Raise MissingDependencyError where a block finds no `package`.

    `of` is the extra that contains it; by default it has the name of the package.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        fix = f"install it: pip install 'numpy-vgg7[{of or package}]'"
        raise MissingDependencyError(purpose, name, f"no package {package}", fix) from error


def pytorch(purpose: str) -> AbstractContextManager[None]:
    """Raise MissingDependencyError where a block that imports torch_ref finds no PyTorch."""
    os.getcwd()  # OSError if the folder was deleted: PyTorch's libraries would end the process
    return extra(purpose, "torch", "PyTorch")


def jax(purpose: str) -> AbstractContextManager[None]:
    """Raise MissingDependencyError where a block that imports jax_ref finds no JAX."""
    return extra(purpose, "jax", "JAX")


def onnx_programs() -> "tuple[tuple[ForwardReference, ...], tuple[str, ...]]":
    """References that run the network as an ONNX graph, or a line that says why there are none."""
    try:
        with extra("parity run", "onnx", "ONNX"), extra("parity run", "onnxruntime", "ONNX Runtime", "onnx"):
            from onnx_ref import PROGRAMS
    except MissingDependencyError as error:
        return (), (f"not compared with {error.expected}: {error.found} ({error.fix})",)
    return PROGRAMS, ()


def require_matplotlib(purpose: str) -> None:
    """Raise MissingDependencyError unless matplotlib is installed."""
    from numpy_vgg7 import plots

    if not plots.available():
        fix = "install it: pip install 'numpy-vgg7[plot]'"
        raise MissingDependencyError(purpose, "matplotlib", "no package matplotlib", fix)


def writers(path: Path) -> dict[str, Any]:
    """The table of writers, with PyTorch's or Keras' format if `path` has its suffix.

    Raises WeightsError on an unknown suffix.
    """
    from numpy_vgg7.weights.formats import WRITERS, by_suffix

    writers: dict[str, Any] = dict(WRITERS)
    suffix = by_suffix(path, {name: name for name in (*WRITERS, ".pt", ".pth", ".keras", ".weights.h5")})
    if suffix in (".pt", ".pth"):
        with pytorch(f"{path}"):
            from torch_ref.weights import write_pt
        writers[suffix] = write_pt
    elif suffix in (".keras", ".weights.h5"):
        with pytorch(f"{path}"), extra(f"{path}", "keras", "Keras"):
            from keras_ref import write_keras
        writers[suffix] = write_keras
    return writers


def read_weights(path: Path, origin: "Origin | None" = None) -> "VGG7":
    """Read weights of any format, and print the steps and the assumptions. Raises WeightsError."""
    from numpy_vgg7.weights import import_weights

    imported = import_weights(weights_file(path), origin)
    for line in imported.steps + imported.assumed:
        print_note(line)
    return imported.model


def weights_file(path: Path) -> Path:
    """The best weights of a run folder, which is said; any other path as it is. Raises WeightsError."""
    if not os.path.isdir(path):  # unlike Path.is_dir, for names of any length
        return path
    from numpy_vgg7.errors import WeightsError
    from numpy_vgg7.training.run_folder import RunFolder

    best = RunFolder(path).best
    if not best.is_file():
        fix = "name a file, or a folder that `train` created"
        raise WeightsError(str(path), f"a run folder with {best.name}", "a folder without it", fix)
    print_note(f"weights: {best}")
    return best
