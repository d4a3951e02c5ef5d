"""Writing files, atomically; `reading` reads them.

The content goes to a temporary file in the same folder, is synced to the disk and then renamed.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from numpy_vgg7.errors import OutputError


def make_folder(path: Path) -> None:
    """Create a folder and its parents where they are missing. Raises OutputError."""
    try:
        path.mkdir(exist_ok=True, parents=True)
    except OSError as error:
        raise OutputError(str(path), "a folder to write to", error, "choose another") from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: until it is complete and on the disk, `path` keeps its old content.

    Raises OutputError where the folder cannot be written to or the disk is full.
    """
    temporary = None
    try:
        number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        found = (error.strerror or str(error)).lower()
        raise OutputError(
            str(path), "a place to write to", found, "choose another path, or make room"
        ) from error


def move(path: Path, target: Path) -> None:
    """Rename a file, in place of `target` if that exists. Raises OutputError."""
    try:
        os.replace(path, target)
    except OSError as error:
        raise OutputError(str(target), "a place to write to", error, "check the folder's rights") from error


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically. Raises OutputError."""
    write_bytes(path, content.encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
