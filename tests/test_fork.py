"""A model can be used in forked and in spawned processes, whatever other threads do with it meanwhile."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config, blas
from numpy_vgg7.engine import kernels
from numpy_vgg7.optim import SGD
from numpy_vgg7.reading import without_warnings

HANG = 20  # seconds after which a call is taken to hang
SGD_SLOW = SGD(1e-3, 1e-3)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


def new_model(threads=2):
    return VGG7(VGG7Config.preset("vgg7", image_size=8), threads=threads)


def images(n=32):
    return np.random.default_rng(0).random((n, 1, 8, 8), dtype=np.float32)


def train(model):
    model.train_step(images(), np.arange(32) % 10, SGD_SLOW, SGD_SLOW.init(model.params))


def in_child(work):
    """Whether some work is true in a forked process."""
    child = os.fork()
    if not child:
        code = 1
        try:
            signal.alarm(HANG)  # ends it if it hangs
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@needs_fork
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("use", [lambda model: model.predict(images()), train], ids=["predicts", "trains"])
def test_a_process_that_is_forked_while_another_thread_uses_a_model_can_use_it(threads, use, monkeypatch):
    monkeypatch.setattr(blas, "PATIENCE", 0.1)  # the fork is in the middle of the use
    model, reached, forked = new_model(threads), threading.Event(), threading.Event()
    expected, blas_threads = model.predict(images()), [each.get_num_threads() for each in blas.libraries()]
    forward = kernels.Linear.forward

    def wait(kernel):
        reached.set()
        forked.wait(HANG)
        forward(kernel)

    monkeypatch.setattr(kernels.Linear, "forward", wait)
    user = threading.Thread(target=use, args=(model,))
    user.start()

    def same():
        forked.set()
        found = model.predict(images())
        train(model)
        return np.array_equal(found, expected) and blas_threads == [
            each.get_num_threads() for each in blas.libraries()
        ]

    assert reached.wait(HANG)
    found = in_child(same)
    forked.set()
    user.join()
    assert found, "the child hangs, computes something else, or has a BLAS with other threads"


@needs_fork
def test_a_process_that_is_forked_while_a_model_is_made_can_use_others(monkeypatch):
    monkeypatch.setattr(blas, "PATIENCE", 0.1)
    model, other, reached, forked = new_model(), new_model(), threading.Event(), threading.Event()
    new = VGG7._new_executor

    def wait(model):
        if threading.current_thread() is not threading.main_thread():
            reached.set()
            forked.wait(HANG)
        return new(model)

    monkeypatch.setattr(VGG7, "_new_executor", wait)
    user = threading.Thread(target=model.predict, args=(images(),))
    user.start()
    assert reached.wait(HANG)
    found = in_child(lambda: len(model.predict(images())) == len(other.predict(images())))
    forked.set()
    user.join()
    assert found


@needs_fork
def test_a_fork_waits_until_other_threads_have_left_the_blas():
    begun, ended = threading.Event(), threading.Event()

    def use():
        with blas.single_threaded():
            begun.set()
            time.sleep(0.2)
            ended.set()

    user = threading.Thread(target=use)
    user.start()
    assert begun.wait(HANG)
    assert in_child(ended.is_set), "OpenBLAS may hold a lock in the child for ever"
    user.join()


@needs_fork
def test_a_fork_does_not_wait_for_its_own_thread(monkeypatch):
    monkeypatch.setattr(blas.time, "sleep", lambda seconds: pytest.fail("it waits"))
    with blas.single_threaded():
        assert in_child(lambda: len(new_model().predict(images())) == 32)
    new_model().predict(images())


@needs_fork
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Python drops the interrupt
@pytest.mark.parametrize("event", range(1, 9))
def test_an_interrupt_while_a_fork_waits_leaves_a_model_that_works(event):
    model, seen = new_model(), 0

    def count(frame, kind, argument):
        nonlocal seen
        seen += kind in ("call", "c_return") and frame.f_code is blas._before_fork.__code__
        if seen == event:
            sys.setprofile(None)
            raise KeyboardInterrupt

    sys.setprofile(count)
    with contextlib.suppress(KeyboardInterrupt):
        assert in_child(lambda: len(model.predict(images())) == 32)
    sys.setprofile(None)
    user = threading.Thread(target=model.predict, args=(images(),), daemon=True)
    user.start()
    user.join(HANG)
    assert not user.is_alive(), "a lock is held for ever"


@needs_fork
def test_a_fork_waits_until_other_threads_have_restored_the_filters_of_warnings():
    begun, ended = threading.Event(), threading.Event()

    def use():
        with without_warnings():
            begun.set()
            time.sleep(0.2)
            ended.set()

    def same():
        with without_warnings():
            pass
        return ended.is_set() and warnings.filters == filters

    filters = list(warnings.filters)
    user = threading.Thread(target=use)
    user.start()
    assert begun.wait(HANG)
    found = in_child(same)
    user.join()
    assert found, "the child hangs, or ignores all warnings"


def used_in_pool(pool, model):
    with pool:
        return list(pool.map(model.predict, [images()] * 4))


POOLS = {
    "multiprocessing": lambda start: multiprocessing.get_context(start).Pool(2),
    "concurrent.futures": lambda start: ProcessPoolExecutor(2, multiprocessing.get_context(start)),
}


@pytest.mark.parametrize(
    ("kind", "start"),
    [("multiprocessing", "fork"), ("concurrent.futures", "fork"), ("multiprocessing", "spawn")],
)
def test_a_pool_of_processes_predicts_the_same(kind, start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    model = new_model()
    expected = model.predict(images())
    found = used_in_pool(POOLS[kind](start), model)
    assert len(found) == 4
    assert all(np.array_equal(each, expected) for each in found)


def test_joblib_predicts_the_same():
    from joblib import Parallel, delayed

    model = new_model()
    expected = model.predict(images())
    found = Parallel(n_jobs=2)(delayed(model.predict)(images()) for _ in range(4))
    assert all(np.array_equal(each, expected) for each in found)


def test_many_threads_on_one_model_and_on_many_predict_the_same():
    shared, wrong = new_model(3), []
    expected = shared.predict_proba(images())

    def use(number):
        own = new_model(1 + number % 3)
        for n in np.random.default_rng(number).integers(1, 33, size=10):
            for model in (shared, own):
                found = model.predict_proba(images()[:n])
                wrong.extend([n] * (not np.allclose(found, expected[:n], atol=1e-5)))

    users = [threading.Thread(target=use, args=(number,)) for number in range(6)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not wrong
