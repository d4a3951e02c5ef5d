"""The BLAS that NumPy calls: its kernel and its threads."""

import os
from functools import cache
from threading import Lock
from typing import Any

_lock = Lock()
_users: set[object] = set()
_before: list[int] = []  # the threads of `libraries` before the first user; empty without users


class single_threaded:  # noqa: N801 - used like a function
    """The BLAS with one thread inside a block: the engine has threads of its own.

    Two levels of threads get in each other's way, on a busy machine by a factor of ten. Blocks may overlap in
    several threads; when the last one ends, the BLAS has as many threads as before the first.
    """

    # A class, since a generator would cost a single image some percent of its time.

    def __enter__(self) -> None:
        try:
            with _lock:
                _users.add(self)
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
            _users.discard(self)
            if not _users:
                _give_back()


def _give_back() -> None:
    if set(_before) - {1}:
        set_threads(_before)
    _before.clear()


def _after_fork() -> None:
    """The other threads do not exist in the new process, and their blocks have ended."""
    global _lock
    _lock = Lock()
    _users.clear()
    _give_back()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


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
