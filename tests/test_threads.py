"""The thread pool: each task runs once, errors and interrupts reach the caller, no thread is left."""

import gc
import os
import signal
import threading
import time

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.engine.threads import ThreadPool

HANG = 20.0  # seconds after which a call is taken to hang

needs_timer = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers on this system")


@pytest.fixture(autouse=True)
def others():
    """The number of threads before a test: 1 unless an earlier test failed. After it there are no more."""
    gc.collect()
    others = threading.active_count()
    yield others
    assert wait_for(lambda: threading.active_count() <= others), "threads of the pool outlive it"


@pytest.fixture(autouse=True)
def _no_callbacks_of_the_collector():
    """Python drops an interrupt in one; Hypothesis has one."""
    before = gc.callbacks[:]
    gc.callbacks.clear()
    yield
    gc.callbacks.extend(before)


def wait_for(condition):
    for _ in range(200):
        gc.collect()
        if condition():
            return True
        time.sleep(0.01)
    return False


def small_model(threads):
    return VGG7(VGG7Config.preset("vgg7"), threads=threads)


def images(n, size=28):
    return np.random.default_rng(0).random((n, 1, size, size), dtype=np.float32)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_task_runs_once(threads):
    pool, done = ThreadPool(threads), []
    for count in (0, 1, 2, 50, 1):
        done.clear()
        pool.run([lambda number=number: done.append(number) for number in range(count)])
        assert sorted(done) == list(range(count))


def test_all_threads_take_part():
    pool, seen, meet = ThreadPool(3), set(), threading.Barrier(3)

    def task():
        meet.wait(HANG)
        seen.add(threading.current_thread())

    pool.run([task] * 3)
    assert len(seen) == 3
    assert threading.current_thread() in seen


def test_workers_use_the_numpy_settings_of_the_caller():
    pool, sizes, meet = ThreadPool(2), [], threading.Barrier(2)

    def task():
        meet.wait(HANG)
        sizes.append(np.getbufsize())

    before = np.setbufsize(1024)
    try:
        pool.run([task] * 2)
    finally:
        np.setbufsize(before)
    pool.run([task] * 2)
    assert sizes == [1024, 1024, before, before]


@pytest.mark.parametrize("failing", ["caller", "worker"])
def test_an_error_reaches_the_caller_and_the_pool_works_afterwards(failing):
    pool, meet, done = ThreadPool(2), threading.Barrier(2), []

    def task():
        meet.wait(HANG)
        if (threading.current_thread() is threading.main_thread()) == (failing == "caller"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        pool.run([task, task])
    pool.run([lambda: done.append(1)] * 5)
    assert done == [1] * 5


def test_after_an_error_no_other_task_starts():
    pool, done, meet = ThreadPool(2), [], threading.Barrier(2)

    def fail():
        meet.wait(HANG)
        raise ZeroDivisionError

    def wait():
        meet.wait(HANG)
        time.sleep(0.2)

    with pytest.raises(ZeroDivisionError):
        pool.run([fail, wait, *[lambda: done.append(1)] * 1000])
    assert not done, "the thread without an error takes more tasks"


def test_an_error_in_a_model_reaches_the_caller():
    model = small_model(2)
    del model.params["conv3.weight"]
    with pytest.raises(KeyError, match="conv3"):
        model.forward(images(16))


# Interrupts.


def interrupted(work, seconds, times=1):
    """Run `work` with KeyboardInterrupts, the first after some seconds; whether it was raised."""
    arrived = []

    def interrupt(number, frame):
        arrived.append(1)
        if len(arrived) > times:
            raise TimeoutError("the call hangs after an interrupt")
        signal.setitimer(signal.ITIMER_REAL, 0.05 if len(arrived) < times else HANG)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        try:
            signal.setitimer(signal.ITIMER_REAL, seconds)
            work()
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        return True
    finally:
        signal.signal(signal.SIGALRM, before)
    return False


def seconds(work):
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


@needs_timer
@pytest.mark.parametrize("times", [1, 3])
@pytest.mark.parametrize("wait", [False, True], ids=["while it works itself", "while it waits for workers"])
def test_interrupts_are_raised_after_the_tasks_that_workers_have_started(wait, times):
    pool, done, working = ThreadPool(2), [], threading.Event()

    def task():
        if threading.current_thread() is not threading.main_thread():
            working.set()
            time.sleep(0.3)
            done.append(1)
        elif working.wait(HANG) and not wait:
            time.sleep(HANG)

    assert interrupted(lambda: pool.run([task, task]), 0.1, times)
    assert done == [1], "the caller continues while a worker still writes"
    working.clear()
    wait = True
    pool.run([task, task])
    assert done == [1, 1], "the pool does not wait for the tasks after an interrupt"


@needs_timer
@pytest.mark.parametrize("threads", [2, 3])
def test_an_interrupt_at_any_moment_leaves_no_worker_writing(threads):
    pool, rng = ThreadPool(threads), np.random.default_rng(threads)
    started, finished = [], []

    def task():
        if threading.current_thread() is threading.main_thread():
            time.sleep(2e-4)
        else:  # never interrupted: Python's signal handlers run in the main thread
            started.append(1)
            time.sleep(2e-4)
            finished.append(1)

    def run():
        pool.run([task] * 8)

    usual = min(seconds(run) for _ in range(5))
    count = 0
    for _ in range(300):
        count += interrupted(run, rng.uniform(1e-6, usual))
        before = len(started), len(finished)
        assert before[0] == before[1], "a worker is in a task when the call is over"
        time.sleep(0)
        assert (len(started), len(finished)) == before, "a worker starts a task when the call is over"
    assert count > 50, "hardly any interrupt arrived in time: the test shows little"
    done = []
    pool.run([lambda: done.append(1)] * 20)
    assert len(done) == 20, "the pool does not work after interrupts"


@needs_timer
def test_a_model_computes_the_same_after_interrupts():
    model, x, rng = small_model(2), images(64), np.random.default_rng(0)
    expected = model.forward(x)
    usual = min(seconds(lambda: model.forward(x)) for _ in range(5))
    count = sum(interrupted(lambda: model.forward(x), rng.uniform(1e-6, usual)) for _ in range(40))
    assert count > 5, "hardly any interrupt arrived in time: the test shows little"
    assert np.array_equal(model.forward(x), expected)


# The life of the threads.


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    model, x = small_model(2), images(32)
    expected = model.forward(x)
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends it if it hangs
        same = np.array_equal(model.forward(x), expected)
        os._exit(0 if same and threading.active_count() == 2 else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_threads_can_be_changed_after_first_use(others):
    model, x = small_model(1), images(32)
    before = model.forward(x)
    model.threads = 3
    assert np.allclose(model.forward(x), before, atol=1e-5)
    assert threading.active_count() == others + 2
    model.threads = 1
    assert wait_for(lambda: threading.active_count() == others), "the threads of before are alive"


@pytest.mark.parametrize("end", ["release", "delete", "delete after an error"])
def test_threads_end_with_their_model(end, others):
    model = small_model(3)
    model.forward(images(32))
    assert threading.active_count() == others + 2
    if end == "release":
        model.release()
    elif end == "delete after an error":
        del model.params["conv3.weight"]
        with pytest.raises(KeyError):
            model.forward(images(32))
    if end != "release":
        del model
    assert wait_for(lambda: threading.active_count() == others), "the threads of the model are alive"
