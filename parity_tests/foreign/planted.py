"""A mistake: where it is, and which words name it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Planted:
    """Functions of a style replaced: one, or several names with spaces between and a tuple of replacements.

    `names` are words of which the diagnosis must contain one.

    `place` is a pattern for the place. `steps` says whether the mistake shows in updates only.
    """

    name: str
    place: str
    names: tuple[str, ...]
    function: str
    replacement: Callable[..., Any] | tuple[Callable[..., Any], ...]
    steps: bool = False

    @property
    def replaced(self) -> dict[str, Callable[..., Any]]:
        """The replacements by function."""
        each = self.replacement if isinstance(self.replacement, tuple) else (self.replacement,)
        return dict(zip(self.function.split(), each, strict=True))


def planted(place: str, function: str, names: str, steps: bool = False) -> Callable[[Any], Planted]:
    """A decorator for the replacement, whose name is that of the mistake. `names` are separated by "|"."""

    def make(replacement: Any) -> Planted:
        title = replacement.__name__.strip("_").replace("_", " ")
        return Planted(title, place, tuple(names.split("|")), function, replacement, steps)

    return make
