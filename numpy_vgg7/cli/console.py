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

from numpy_vgg7.errors import OutputError, current_folder_is_gone, escaped


class Screen(Console):
    """A console that prints each text as it is, on one line, with what a terminal acts on escaped."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print texts without wrapping them, and tables as wide as the screen."""
        if all(isinstance(part, str) for part in objects):
            options.setdefault("soft_wrap", True)
        for table in objects:
            if isinstance(getattr(table, "title", None), str):
                table.title = escaped(table.title)
        super().print(*(escaped(part) if isinstance(part, str) else part for part in objects), **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Every text of Rich passes here; the headings of tables may have several lines."""
        return super().render_str("\n".join(map(escaped, text.split("\n"))), **options)

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


def prepare_streams() -> None:
    """Write characters that the encoding of a stream does not have as escapes, instead of failing.

    If the standard output is closed, whatever is written to it is an OSError, as if it were full.
    """
    _take_free_numbers()
    if sys.stdout is None:
        with suppress(OSError):
            sys.stdout = os.fdopen(1, "w", encoding="utf-8")
    if sys.stderr is None:  # Click would write messages to the standard output
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # None if it is closed; anything where another program set it
            stream.reconfigure(errors="backslashreplace")


def _take_free_numbers() -> None:
    """Open /dev/null in place of closed streams: else a file would get their number, and what they print."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY), True)


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
        place = error.filename or ("." if current_folder_is_gone(error) else "standard output")
        complain(str(OutputError.of(place, "a place to write to or read from", error)))
    with suppress(OSError):  # too many files are open
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                with suppress(OSError, ValueError):  # it has no number, as in tests
                    os.dup2(nowhere, stream.fileno())
