"""Threads that share a range of work with the one that asks."""

import weakref
from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from itertools import pairwise
from threading import Lock, Thread

Task = Callable[[slice], None]


class Helper:
    """A thread that waits for work. Two locks wake each other sooner than queues and futures do."""

    def __init__(self) -> None:
        self._go, self._done = Lock(), Lock()
        self._go.acquire()
        self._done.acquire()
        self._task: Callable[[], None] | None = None
        self._error: BaseException | None = None
        Thread(target=self._run, daemon=True).start()

    def start(self, task: Callable[[], None] | None) -> None:
        """Begin a task; None ends the thread."""
        self._task = task
        self._go.release()

    def finish(self) -> BaseException | None:
        """Wait for the task; return the error that it ended with."""
        self._done.acquire()
        return self._error

    def _run(self) -> None:
        while True:
            self._go.acquire()
            task, self._task, self._error = self._task, None, None
            if task is None:
                return
            try:
                task()
            except BaseException as error:  # whatever it is, it is raised where the work was asked for
                self._error = error
            del task
            self._done.release()


class Team:
    """The thread that asks, and helpers that live as long as the team."""

    def __init__(self, threads: int) -> None:
        self._helpers = [Helper() for _ in range(threads - 1)]
        weakref.finalize(self, _dismiss, self._helpers)

    def split(self, length: int, task: Task, least: int = 1) -> None:
        """Run `task` on equal parts of a range, one a thread, of `least` or more; the first in this one."""
        parts = max(1, min(1 + len(self._helpers), length // least))
        bounds = [length * part // parts for part in range(parts + 1)]
        first, *others = (slice(*bound) for bound in pairwise(bounds))
        working = self._helpers[: len(others)]
        for helper, part in zip(working, others, strict=True):
            helper.start(partial(copy_context().run, task, part))  # NumPy's error settings go along
        try:
            task(first)
        finally:
            errors = [helper.finish() for helper in working]
        for error in filter(None, errors):
            raise error


def _dismiss(helpers: list[Helper]) -> None:
    for helper in helpers:
        helper.start(None)
