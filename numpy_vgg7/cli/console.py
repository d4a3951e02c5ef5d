"""Where the command line prints: nothing in names and files is interpreted, and any encoding will do."""

import errno
import json
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

from rich.console import Console
from rich.text import Text

from numpy_vgg7.errors import OutputError, escaped


class Screen(Console):
    """A console that prints texts as they are, unbroken, with what a terminal acts on escaped."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts without wrapping them, and tables as wide as the screen."""
        if all(isinstance(part, str) for part in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text of Rich passes here."""
        return super().render_str(escaped(text), **options)

    @property
    def encoding(self) -> str:
        """That of the stream, so that Rich draws the lines of tables with characters that it has."""
        return (getattr(self.file, "encoding", None) or "utf-8").lower()


screen = Screen()  # results
messages = Screen(stderr=True)  # progress and notes, which --quiet silences
problems = Screen(stderr=True)  # warnings and errors


def print_json(record: dict[str, Any]) -> None:
    """Print one JSON object on one line. NaN, which JSON does not have, is an error."""
    print(json.dumps(record, allow_nan=False))


def accept_any_text() -> None:
    """Write characters that the encoding of a stream does not have as escapes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None if it is closed; anything where another program set it
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    """Write what is still buffered. Raises OSError."""
    if sys.stdout is not None:
        sys.stdout.flush()


def complain(line: str) -> None:
    """Print a line of an error on standard error, if that can be written to."""
    with suppress(OSError):
        problems.print(f"numpy-vgg7: {line}")


def give_up(error: OSError) -> None:
    """Say that a stream cannot be written to, unless its reader is gone, and discard what is left for it."""
    if error.errno != errno.EPIPE:
        place = error.filename or "standard output"
        found = os.strerror(error.errno or errno.EIO).lower()
        line = OutputError(place, "a place to write to or read from", found, "choose another")
        complain(str(line))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            with suppress(OSError, ValueError):  # it has no number, as in tests
                os.dup2(nowhere, stream.fileno())
