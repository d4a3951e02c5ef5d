"""Locks on open files. The operating system keeps them: they end with the process, however it ends."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from numpy_vgg7.errors import OutputError, words

FAR = 2**30  # a byte that no file here has: Windows locks ranges, and lets nobody read them


def lock(number: int) -> bool:
    """Lock an open file until it is closed, at once; whether it could be, as nobody else has locked it.

    Raises OSError on a file system without locks.
    """
    try:
        _lock(number)
    except HELD:
        return False
    return True


@contextmanager
def locked(path: Path, note: Callable[[str], None]) -> Iterator[bool]:
    """Lock a file during a block, which gets whether it could be, as no other process has locked it.

    On a file system without locks, this is noted. Raises OutputError if the file cannot be written to.
    """
    try:
        number = os.open(path, os.O_RDWR)
    except OSError as error:
        raise OutputError.of(path, "a file to write to", error) from error
    try:
        try:
            free = lock(number)
        except OSError as error:
            free = True
            found = f"the file system does not support locks ({words(error)})"
            note(f"{path}: {found}; use it in one process only")
        yield free
    finally:
        os.close(number)


if sys.platform == "win32":
    import msvcrt

    HELD: type[OSError] = PermissionError

    def _lock(number: int) -> None:
        os.lseek(number, FAR, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        os.lseek(number, 0, os.SEEK_SET)

else:
    import fcntl

    HELD = BlockingIOError  # PermissionError is of a file system without locks

    def _lock(number: int) -> None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
