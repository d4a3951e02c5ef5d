"""Is the network of an exercise mended?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from numpy_vgg7 import child
from numpy_vgg7.errors import CodeError, ConfigError
from numpy_vgg7.suggestions import instead

CODE = "network.py"
HINTS = ("none", "place", "words")
SECONDS = 60.0  # for the check, which takes about two


@dataclass(frozen=True)
class Hint:
    """Something that is wrong: the function or layer and the pass, and a sentence."""

    place: str
    words: str


@dataclass(frozen=True)
class Verdict:
    """What the check of an exercise found."""

    findings: tuple[Hint, ...] = field(repr=False)  # which a test that fails must not show

    @property
    def mended(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def lines(self, hint: str = "none") -> Sequence[str]:
        """The verdict, and what is wrong as far as `hint` allows: "none", "place" or "words"."""
        require_level(hint)
        if self.mended:
            return [f"fixed: {CODE} is correct"]
        told = {
            "none": ["--hint place shows where it is wrong, --hint words what is wrong"],
            "place": [f"look at: {finding.place}" for finding in self.findings],
            "words": [finding.words for finding in self.findings],
        }
        return [f"not fixed: something in {CODE} is still wrong", *dict.fromkeys(told[hint])]

    def assert_mended(self, hint: str = "none") -> None:
        """Raise AssertionError with the same lines if something is wrong."""
        __tracebackhide__ = True  # of pytest
        if not self.mended:
            raise AssertionError("\n".join(self.lines(hint)))


def check(folder: Path) -> Verdict:
    """Check the network of an exercise. This executes `network.py`, in a process of its own.

    Every function is compared with the definition by `check_layer`, then the network that is made of them.
    Any right code is accepted. CodeError if the code cannot be executed, raises an exception, takes too long,
    or lacks a function.
    """
    path = folder / CODE
    try:
        record = child.answer("numpy_vgg7.exercise.examine", path, seconds=SECONDS)
    except TimeoutError as error:
        expected = f"code that finishes within {SECONDS:.0f} seconds"
        raise CodeError(str(path), expected, "code that still runs", "look for an endless loop") from error
    return Verdict(tuple(Hint(**finding) for finding in record["findings"]))


def require_level(hint: str) -> None:
    """Raise ConfigError unless there is such a level of hints."""
    if hint not in HINTS:
        raise ConfigError("hint", f"one of {', '.join(HINTS)}", repr(hint), instead(hint, HINTS))
