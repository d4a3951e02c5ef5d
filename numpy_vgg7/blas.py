"""The BLAS that NumPy calls: its kernel and its threads."""

import os
import time
from contextlib import suppress
from functools import cache
from threading import RLock, get_ident
from typing import Any

PATIENCE = 10.0  # seconds that a fork waits for the blocks of other threads

_entrance, _lock = RLock(), RLock()  # to begin a block, both; to end one, the second
_users: dict[object, int] = {}  # the blocks, and their threads
_before: list[int] = []  # the threads of `libraries` before the first user; empty without users


class single_threaded:  # noqa: N801 - used like a function
    """The BLAS with one thread inside a block: the engine has threads of its own.

    Two levels of threads get in each other's way, on a busy machine by a factor of ten. Blocks may overlap in
    several threads; when the last one ends, the BLAS has as many threads as before the first.
    """

    # A class, since a generator would cost a single image some percent of its time.

    def __enter__(self) -> None:
        try:
            with _entrance, _lock:
                _users[self] = get_ident()
                if not _before:
                    _before[:] = [library.get_num_threads() for library in libraries()]
                    if set(_before) - {1}:
                        set_threads([1] * len(_before))
        except BaseException:
            self.end()
            raise

    def __exit__(self, *exception: object) -> None:
        self.end()

    def end(self) -> None:
        """End the block. May be called again: an interrupt can keep Python from ending a block."""
        with _lock:
            _users.pop(self, None)
            if not _users:
                _give_back()


def _give_back() -> None:
    if set(_before) - {1}:
        set_threads(_before)
    _before.clear()


def _before_fork() -> None:
    """Wait until no other thread is in a block: in the child, OpenBLAS would keep its locks for ever.

    Not for longer than PATIENCE, since a thread may wait in its block for the new process.
    """
    _entrance.acquire()
    deadline = time.monotonic() + PATIENCE
    _lock.acquire()
    while set(_users.values()) - {get_ident()} and time.monotonic() < deadline:
        _lock.release()
        time.sleep(1e-3)
        _lock.acquire()


def _after_fork() -> None:
    for lock in (_lock, _entrance):
        with suppress(RuntimeError):  # not ours: an interrupt has ended the wait
            lock.release()


def _after_fork_in_child() -> None:
    """End the blocks of other threads, which do not exist in the new process."""
    global _entrance, _lock
    _entrance, _lock = RLock(), RLock()
    for user in [user for user, thread in _users.items() if thread != get_ident()]:
        del _users[user]
    if not _users:
        _give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


def kernel() -> str | None:
    """The processor family that the BLAS computes for, as OpenBLAS names it: "Haswell", "SkylakeX"."""
    return next((library.architecture for library in libraries() if hasattr(library, "architecture")), None)


def set_threads(counts: list[int]) -> None:
    """Give each of `libraries` its number of threads, from any thread of Python."""
    for library, count in zip(libraries(), counts, strict=True):
        if library.get_num_threads() != count:
            # threadpoolctl 3.8 lets only the first thread that sets a limit change it, and ignores all
            # others. Our blocks may start and end in different threads.
            disown = getattr(library, "clear_controlling_thread", lambda force: None)
            disown(force=True)
            library.set_num_threads(count)
            disown(force=True)


@cache
def libraries() -> tuple[Any, ...]:
    """Controllers of NumPy's BLAS; of every BLAS that is loaded if NumPy's cannot be told from others."""
    import numpy  # noqa: F401  (only libraries that are loaded are found)
    from threadpoolctl import ThreadpoolController

    found = ThreadpoolController().select(user_api="blas").lib_controllers
    of_numpy = tuple(library for library in found if "numpy" in library.filepath)
    return of_numpy or tuple(found)
