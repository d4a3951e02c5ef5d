"""Writing an exercise."""

from importlib import resources
from pathlib import Path

from numpy_vgg7.errors import OutputError
from numpy_vgg7.exercise.mistakes import MISTAKES, Mistake
from numpy_vgg7.exercise.verdict import CODE, require_level
from numpy_vgg7.files import make_folder, write_text

# Following seeds have mistakes in different layers; it has no divisor in common with their number.
STRIDE = 25


def new(folder: Path, seed: int, hint: str = "none") -> list[Path]:
    """Write an exercise to a new or empty folder: a network with one mistake, a test, and instructions.

    The seed chooses the mistake; the same seed writes the same bytes. `hint` is what a failing test tells:
    "none", "place" or "words". Returns the paths. OutputError if the folder cannot be used.
    """
    require_level(hint)
    try:
        taken = folder.exists() and any(folder.iterdir())
    except OSError as error:
        raise OutputError.of(folder, "a folder to write to", error) from error
    if taken:
        raise OutputError(str(folder), "a new or empty folder", "one that contains files", "choose another")
    make_folder(folder)
    written = []
    for name, content in contents(seed, hint).items():
        written.append(folder / name)
        write_text(written[-1], content)
    return written


def contents(seed: int, hint: str = "none") -> dict[str, str]:
    """The files of an exercise by name."""
    return {
        CODE: planted(mistake(seed)),
        f"test_{CODE}": template(f"test_{CODE}").replace('HINT = "none"', f'HINT = "{hint}"'),
        "README.md": template("README.md").replace("SEED", str(seed)),
    }


def mistake(seed: int) -> Mistake:
    """The mistake of a seed, which is not negative. As many seeds in a row as there are mistakes have all."""
    return MISTAKES[seed * STRIDE % len(MISTAKES)]


def planted(mistake: Mistake) -> str:
    """The network with a mistake in it."""
    code = template(CODE)
    assert code.count(mistake.right) == 1, mistake
    return code.replace(mistake.right, mistake.wrong)


def template(name: str) -> str:
    """A file of the template, as it is in the package."""
    return (resources.files("numpy_vgg7.exercise") / "template" / name).read_text(encoding="utf-8")
