"""Locks on open files. The operating system keeps them: they end with the process, however it ends."""

import os
import sys

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
