"""What a bug of the catalogue is: ordinary replacements of functions, methods and table entries."""

import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

Make = Callable[[Any], Any]  # from an original to its replacement


@dataclass(frozen=True)
class Replacement:
    """An attribute of a module or class, or an entry of a table, replaced by what `make` makes of it.

    owner: the module, class or table; or "module:class" for one that is imported when the bug is applied.
    make: gets the original and returns the replacement. It is called each time that the bug is applied, so a
    replacement may keep something between its calls.
    """

    owner: Any
    name: str
    make: Make

    def resolve(self) -> Any:
        """The owner itself."""
        if not isinstance(self.owner, str):
            return self.owner
        module, attribute = self.owner.split(":")
        return getattr(importlib.import_module(module), attribute)

    @property
    def module(self) -> str:
        """The full name of the module that the owner is, or is defined in; "" for a table, which has none."""
        if isinstance(self.owner, str):
            return self.owner.split(":")[0]
        return str(getattr(self.owner, "__module__", getattr(self.owner, "__name__", "")))

    def current(self) -> Any:
        """What the name stands for now. Raises LookupError if the owner itself doesn't define it."""
        owner = self.resolve()
        table = owner if isinstance(owner, dict) else vars(owner)
        if self.name not in table:
            raise LookupError(f"{owner!r} defines no {self.name!r} that could be replaced")
        return table[self.name]

    def applied(self) -> AbstractContextManager[Any]:
        """The replacement inside a block, the original after it."""
        owner, new = self.resolve(), self.make(self.current())
        if isinstance(owner, dict):
            return mock.patch.dict(owner, {self.name: new})
        return mock.patch.object(owner, self.name, new)


@dataclass(frozen=True)
class Mutant:
    """A bug. `place` is a pattern for the place where it should be found: "conv? backward"."""

    name: str
    place: str
    replacements: tuple[Replacement, ...]

    def is_in(self, package: str) -> bool:
        """Whether nothing outside a package is replaced: "numpy_vgg7.engine"."""
        return all(replacement.module.startswith(package) for replacement in self.replacements)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Put the bug into the product for the length of a block."""
        with ExitStack() as stack:
            for replacement in self.replacements:
                stack.enter_context(replacement.applied())
            yield


def after(then: Callable[[Any], object]) -> Make:
    """A method that does something more, in the end, with its object."""

    def make(original: Any) -> Any:
        def method(self: Any) -> None:
            original(self)
            then(self)

        return method

    return make


def instead(other: Any) -> Make:
    """Another function or method."""
    return lambda original: other


def bug(name: str, place: str, owner: Any, attribute: str, make: Make) -> Mutant:
    """A bug of one replacement."""
    return Mutant(name, place, (Replacement(owner, attribute, make),))
