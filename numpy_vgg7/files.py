"""Writing files, atomically; `reading` reads them.

The content goes to a temporary file in the same folder, is synced to the disk and then renamed.
"""

import os
from pathlib import Path

from numpy_vgg7.errors import OutputError
from numpy_vgg7.temporary import replacing


def require_suffix(path: Path, *suffixes: str) -> None:
    """Raise OutputError unless the name of a file to write ends in one of these, in either case."""
    if path.suffix.lower() not in suffixes:
        found = repr(path.suffix) if path.suffix else "no suffix"
        raise OutputError(str(path), f"a name ending in {' or '.join(suffixes)}", found, "rename it")


def make_folder(path: Path) -> None:
    """Create a folder and its parents where they are missing. Raises OutputError."""
    try:
        path.mkdir(exist_ok=True, parents=True)
    except OSError as error:
        raise OutputError.of(path, "a folder to write to", error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: until it is complete and on the disk, `path` keeps its old content.

    Raises OutputError where the system refuses it.
    """
    try:
        with replacing(path) as number:
            left = memoryview(content)
            while left:
                left = left[os.write(number, left) :]
            os.fsync(number)
    except OSError as error:
        fix = "create its folder first" if isinstance(error, FileNotFoundError) else "choose another path"
        raise OutputError.of(path, "a place to write to", error, fix) from error


def move(path: Path, target: Path) -> None:
    """Rename a file, in place of `target` if that exists. Raises OutputError."""
    try:
        os.replace(path, target)
    except OSError as error:
        raise OutputError.of(target, "a place to write to", error) from error


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically; what UTF-8 does not have is written as escapes. Raises OutputError."""
    write_bytes(path, content.encode(errors="backslashreplace"))
