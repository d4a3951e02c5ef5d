"""Files appear whole or not at all: temporary name in the same folder, sync, rename."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from numpy_vgg7.errors import OutputError


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one piece; until it is whole and on the disk, what was at `path` stays.

    Raises OutputError where the folder cannot be written to or the disk is full.
    """
    temporary = None
    try:
        number, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(number, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's files are private; the user's should be usual
        os.replace(temporary, path)
    except BaseException as error:
        if temporary:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        raise OutputError(
            str(path),
            expected="a place to write to",
            found=(error.strerror or str(error)).lower(),
            fix="choose another path, or make room",
        ) from error


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file in one piece. Raises OutputError."""
    write_bytes(path, content.encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
