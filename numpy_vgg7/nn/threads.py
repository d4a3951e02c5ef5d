"""Threads that share tasks with the one that asks."""

import os
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from threading import Lock, Thread

Task = Callable[[], object]


def one_by_one(tasks: Sequence[Task]) -> None:
    """Do all tasks here."""
    for task in tasks:
        task()


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
        """Wait for the task to end, whatever happens; return the error of the task, or of the wait."""
        interrupt: BaseException | None = None
        while True:
            try:
                self._done.acquire()
                break
            except KeyboardInterrupt as raised:  # the helper still writes into shared memory
                interrupt = raised
        error, self._error = interrupt or self._error, None
        return error

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
        self._threads = threads
        self._hire()

    def _hire(self) -> None:
        self._process = os.getpid()
        self._helpers = [Helper() for _ in range(self._threads - 1)]
        weakref.finalize(self, _dismiss, self._helpers)

    def run(self, tasks: Sequence[Task]) -> None:
        """Do all tasks, which are taken in order by whoever is free. Raises what a task raises."""
        if os.getpid() != self._process:
            self._hire()  # threads don't live on in a forked process
        pending = deque(tasks)
        working = []
        try:
            for helper in self._helpers[: max(0, len(tasks) - 1)]:
                helper.start(partial(copy_context().run, _work, pending))  # NumPy's settings go along
                working.append(helper)
            _work(pending)
        finally:
            errors = [helper.finish() for helper in working]
        try:
            for error in filter(None, errors):
                raise error
        finally:
            errors.clear()  # an error holds on to all that was there when it was raised


def _work(pending: deque[Task]) -> None:
    """Take tasks until there are none. After an error, nobody begins another."""
    try:
        while pending:
            try:
                task = pending.popleft()
            except IndexError:  # somebody else was faster
                return
            task()
    except BaseException:
        pending.clear()
        raise


def _dismiss(helpers: list[Helper]) -> None:
    for helper in helpers:
        helper.start(None)
