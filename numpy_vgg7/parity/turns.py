"""Threads that take turns, one line of Python at a time, so that a race shows every time.

Two tasks that use the same memory are wrong only if one runs between two lines of the other, which depends on
the scheduler. Here it happens after every line: each task runs one line and waits until all others have run
one. Only one thread runs at a time, and the order is always the same, if `lock_in_turns` makes the locks that
they wait for.
"""

import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from pathlib import Path
from threading import Barrier, Lock, Thread
from types import FrameType, TracebackType
from typing import Any

from numpy_vgg7 import engine, model

Work = Callable[[], object]

# Lines of these files are the ones between which tasks take turns.
TRACED = (str(Path(engine.__file__).parent), model.__file__, __file__)
PATIENCE = 10.0  # seconds without a line, after which a thread is taken to wait for some other lock


def run_in_turns(tasks: Sequence[Work]) -> None:
    """Run each task in a thread of its own, in turns. Raises the first error of a task."""
    turns = Turns(len(tasks))
    threads = [Thread(target=copy_context().run, args=(turns.work, task)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if turns.errors:
        raise turns.errors[0]


def lock_in_turns(make: Callable[[], Any]) -> Callable[[], Any]:
    """A function that makes what `make` does, but locks so that tasks which wait for one let others run."""

    def made() -> Any:
        found = make()
        return _Lock(found) if hasattr(found, "acquire") else found

    return made


class _Lock:
    def __init__(self, lock: Any) -> None:
        self.lock = lock

    def __enter__(self) -> None:
        while not self.lock.acquire(blocking=False):
            pass  # a line, before which all others run one

    def __exit__(
        self, kind: type[BaseException] | None, error: object, traceback: TracebackType | None
    ) -> None:
        self.lock.release()


class Turns:
    """Whose turn it is. `ready` are the tasks that wait for their turn, in the order in which they get it.

    A task is a lock that is held until its turn, so that giving a turn wakes one thread and no other.
    """

    def __init__(self, count: int) -> None:
        self.arrived = Barrier(max(1, count))
        self.ready: deque[Lock] = deque()
        self.turn: Lock | None = None
        self.guard = Lock()  # of the two above
        self.errors: list[BaseException] = []

    def work(self, task: Work) -> None:
        """Run one of the tasks."""
        me = Lock()
        me.acquire()
        with self.guard:
            self.ready.append(me)
        if self.arrived.wait() == 0:  # one of them gives the first turn
            with self.guard:
                self._next()
        self._wait(me)
        sys.settrace(lambda frame, event, argument: self._line(me, frame))
        try:
            task()
        except BaseException as error:
            self.errors.append(error)
        finally:
            sys.settrace(None)
            with self.guard:
                if self.turn is me:
                    self._next()

    def _line(self, me: Lock, frame: FrameType) -> Any:
        """What Python calls for each new function: a function to be called before each of its lines."""
        if not frame.f_code.co_filename.startswith(TRACED):
            return None

        def before_line(frame: FrameType, event: str, argument: object) -> Any:
            if event == "line":
                self._let_others_run(me)
            return before_line

        return before_line

    def _let_others_run(self, me: Lock) -> None:
        with self.guard:
            self.ready.append(me)
            if self.turn is me:
                self._next()
        self._wait(me)

    def _wait(self, me: Lock) -> None:
        if me.acquire(timeout=PATIENCE):
            return
        with self.guard:
            if self.turn is me:  # since then
                me.acquire()
            else:
                self.ready.remove(me)
                self.turn = me

    def _next(self) -> None:
        self.turn = self.ready.popleft() if self.ready else None
        if self.turn:
            self.turn.release()
