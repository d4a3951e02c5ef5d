"""Temporary files and folders beside the path that they become. Those of a killed process are removed.

The writer holds a lock on a temporary file, which ends with its process. So what can be locked has no writer.
Windows neither renames nor deletes open files: there nothing is locked, and what a process left stays.
"""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from numpy_vgg7.locks import lock

LOCKED = os.name != "nt"
BINARY = getattr(os, "O_BINARY", 0)
TRIES = 100


@contextmanager
def replacing(path: Path) -> Iterator[int]:
    """A new open file for the content of `path`, whose place it takes at the end of the block.

    After an error it is removed, and `path` has its old content. A symbolic link stays one: the file that it
    names is replaced. Raises OSError.
    """
    if os.path.islink(path):
        path = Path(os.path.realpath(path))
    remove_left(path)
    temporary, number = _create(path)
    try:
        try:
            yield number
            if LOCKED:
                os.replace(temporary, path)
        finally:
            os.close(number)
        if not LOCKED:
            os.replace(temporary, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that gets the name `path` at the end of the block: it is never seen half filled.

    Raises FileExistsError if `path` exists, or another OSError.
    """
    _require_free(path)
    remove_left(path)
    temporary, number = _create_folder(path)
    try:
        yield temporary
        _require_free(path)  # a rename would replace an empty folder
        os.rename(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        if number is not None:
            os.close(number)


def remove_left(path: Path) -> None:
    """Remove temporary files and folders for `path` whose writer is dead."""
    pattern = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.tmp")
    if not LOCKED:
        return
    with suppress(PermissionError):  # a folder that may be written to but not listed
        for name in os.listdir(path.parent):
            if pattern.fullmatch(name):
                _remove_unless_locked(path.with_name(name))


def _remove_unless_locked(path: Path) -> None:
    """Remove a file or folder. What has a writer, or cannot be locked or removed, is left."""
    number = None
    try:
        mode = os.O_RDONLY if path.is_dir() else os.O_RDWR
        number = os.open(path, mode | os.O_NONBLOCK | os.O_NOFOLLOW)
        if not lock(number):
            return
        if path.is_dir():
            shutil.rmtree(path)
        else:
            os.unlink(path)
    except OSError:  # another user's, or gone meanwhile, or a file system without locks
        return
    finally:
        if number is not None:
            os.close(number)


def _create(path: Path) -> tuple[Path, int]:
    """A new, locked file. Like other new files, all may read it that the umask lets."""
    for _ in range(TRIES):
        temporary = _name(path)
        number = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | BINARY, 0o666)
        if not LOCKED or (_lock_if_possible(number) and temporary.exists()):
            return temporary, number
        os.close(number)  # another process found it before it was locked
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    raise _given_up(path)


def _create_folder(path: Path) -> tuple[Path, int | None]:
    """A new, locked folder."""
    for _ in range(TRIES):
        temporary = _name(path)
        os.mkdir(temporary)
        if not LOCKED:
            return temporary, None
        with suppress(FileNotFoundError):  # another process found it before it was locked
            number = os.open(temporary, os.O_RDONLY)
            if _lock_if_possible(number) and temporary.exists():
                return temporary, number
            os.close(number)
            os.rmdir(temporary)
    raise _given_up(path)


def _given_up(path: Path) -> OSError:
    return OSError(errno.EAGAIN, f"{TRIES} temporary files that another process locked at once", str(path))


def _lock_if_possible(number: int) -> bool:
    """`lock`; also true on a file system without locks, where nobody removes what is not locked."""
    try:
        return lock(number)
    except OSError:
        return True


def _name(path: Path) -> Path:
    if not path.name:  # "." and "/"
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")


def _require_free(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(str(path))
