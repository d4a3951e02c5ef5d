"""A thread pool whose calling thread takes part in the work."""

import weakref
from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

Work = Callable[[], object]

CALLER, WORKER = "caller", "worker"


def run_in_order(tasks: Sequence[Work]) -> None:
    """Run all tasks in this thread."""
    for task in tasks:
        task()


class Job:
    """Work that is done once, by a worker, unless the caller claims it first to cancel it."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.finished: SimpleQueue[None] = SimpleQueue()
        self.error: BaseException | None = None
        self.done = False
        self._owner: dict[str, str] = {}

    def claim(self, claimant: str) -> bool:
        """Whether the job belongs to the claimant: to the first that asks. `setdefault` is atomic."""
        return self._owner.setdefault("owner", claimant) == claimant

    def run(self) -> None:
        """Do the work and keep its error, which is raised in the calling thread."""
        try:
            self.work()
        except BaseException as error:
            self.error = error
        self.done = True
        self.finished.put(None)

    def cancel_or_wait(self) -> None:
        """Return when no worker works on the job, now or later. Can be interrupted and called again."""
        while not self.claim(CALLER) and not self.done:
            self.finished.get()


Inbox = SimpleQueue[Any]  # of jobs, and in the end the reference to the dead pool


class ThreadPool:
    """`threads - 1` workers that live as long as the pool, and the calling thread.

    In a forked process, a pool of its parent has no workers, and the calling thread does all the work.
    """

    def __init__(self, threads: int) -> None:
        self._inboxes: list[Inbox] = [SimpleQueue() for _ in range(threads - 1)]
        for inbox in self._inboxes:
            # The end of the pool puts its reference into the inbox. None of our code runs then: Python drops
            # an interrupt in a finalizer.
            Thread(target=_serve, args=(inbox, weakref.ref(self, inbox.put)), daemon=True).start()

    def run(self, tasks: Sequence[Work]) -> None:
        """Run all tasks. They are started in order, each by the next free thread. Raises what a task raises.

        Returns, or raises, only when no worker works on a task any more, even after a KeyboardInterrupt.
        """
        pending = deque(tasks)
        jobs = [
            Job(partial(copy_context().run, _work, pending))  # a worker uses the caller's NumPy settings
            for _ in self._inboxes[: max(0, len(tasks) - 1)]
        ]
        try:
            try:
                for inbox, job in zip(self._inboxes, jobs, strict=False):
                    inbox.put(job)
                _work(pending)
            finally:
                _finish(pending, jobs)
        finally:
            _finish(pending, jobs)  # again, in case an interrupt arrived before the first call began
        for job in jobs:
            if job.error:
                raise job.error


def _finish(pending: deque[Work], jobs: Sequence[Job]) -> None:
    """Wait for the workers, which still write. An interrupt meanwhile is raised at the end."""
    interrupt: BaseException | None = None
    while True:
        try:
            for job in jobs:
                job.cancel_or_wait()
            break
        except KeyboardInterrupt as raised:
            pending.clear()
            interrupt = raised
    if interrupt:
        raise interrupt


def _serve(inbox: Inbox, pool: object) -> None:
    """What a worker does: one job after another, until the reference to the dead pool arrives."""
    while isinstance(job := inbox.get(), Job):
        if job.claim(WORKER):
            job.run()
        del job


def _work(pending: deque[Work]) -> None:
    """Take tasks until none is left. After an error no other task is started."""
    try:
        while pending:
            try:
                task = pending.popleft()
            except IndexError:  # another thread took the last one
                return
            task()
    except BaseException:
        pending.clear()
        raise
