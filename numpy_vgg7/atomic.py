"""Files appear whole or not at all: temporary name in the same folder, sync, rename."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from numpy_vgg7.errors import OutputError


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the name `path` only when the block ends well.

    Raises OutputError where the folder cannot be written to; what was at `path` stays until then.
    """
    try:
        number, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(number, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())  # mkstemp's files are private; the user's should be usual
        try:
            os.replace(name, path)
        except OSError as error:
            raise _unwritable(path, error) from error
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file in one piece. Raises OutputError."""
    with replacing(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file in one piece. Raises OutputError."""
    write_bytes(path, content.encode())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _unwritable(path: Path, error: OSError) -> OutputError:
    reason = (error.strerror or str(error)).lower()
    return OutputError(str(path), expected="a place to write to", found=reason, fix="choose another path")
