"""Shards, threads, memory that is used again and operations that are replayed change no result."""

import gc
import os
import signal
import threading
import time
import tracemalloc

import numpy as np
import pytest
from numpy_vgg7.nn.parallel import Engine
from numpy_vgg7.nn.threads import Team

from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.engine.gemm import materialize
from numpy_vgg7.optim import SGD

PLAIN = SGD(0.01, 0.01)
NESTEROV = SGD(0.01, 0.02, momentum=0.9, weight_decay=1e-3, nesterov=True)


def batch(n, seed=0, size=28):
    rng = np.random.default_rng(seed)
    return rng.random((n, 1, size, size), dtype=np.float32), rng.integers(10, size=n)


def results(engine, model, x, labels):
    done = engine.propagate(model.params, x, labels)
    return {
        "loss": done.loss.copy(),
        "probs": done.probs,
        **{k: g.copy() for k, g in materialize(done.gradients).items()},
    }


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("preset", ["article", "vgg7"])
def test_used_memory_and_replayed_operations_give_the_same_bits_as_new_ones(preset, threads):
    model = VGG7(VGG7Config.preset(preset, image_size=8))
    reused = Engine(model.layers, threads)
    fresh = Engine(model.layers, threads, reuse=False)
    for seed, n in enumerate([13, 13, 13, 1, 1, 5, 13, 1, 70, 70]):
        x, labels = batch(n, seed, 8)
        expected = results(fresh, model, x, labels)
        for name, value in results(reused, model, x, labels).items():
            assert np.array_equal(value, expected[name]), f"{name} of batch {seed} of {n} images is stale"
        logits = reused.logits(model.params, x).copy()
        assert np.array_equal(logits, fresh.logits(model.params, x)), f"logits of batch {seed} are stale"
        for parameter in model.params.values():
            parameter *= 0.99


def test_the_order_in_which_threads_finish_changes_no_bit(monkeypatch):
    model = VGG7(VGG7Config.preset("vgg7", image_size=8))
    x, labels = batch(37, size=8)
    expected = results(Engine(model.layers, 3), model, x, labels)

    def last_task_first(team, tasks):
        for task in reversed(tasks):
            task()

    monkeypatch.setattr(Team, "run", last_task_first)
    for name, value in results(Engine(model.layers, 3), model, x, labels).items():
        assert np.array_equal(value, expected[name]), f"{name} depends on the scheduling of threads"


@pytest.mark.parametrize("sgd", [PLAIN, NESTEROV], ids=["plain", "Nesterov with weight decay"])
@pytest.mark.parametrize("n", [1, 23])
def test_steps_in_one_engine_end_where_steps_with_new_memory_end(sgd, n):
    model, other = (VGG7(VGG7Config.preset("vgg7", image_size=8)) for _ in range(2))
    velocity, other_velocity = sgd.init(model.params), sgd.init(other.params)
    for seed in range(6):
        x, labels = batch(n, seed, 8)
        model.train_step(x, labels, sgd, velocity, scale=1 / (seed + 1))
        fresh = Engine(other.layers, reuse=False).propagate(other.params, x, labels)
        sgd.step(other.params, fresh.gradients, other_velocity, scale=1 / (seed + 1))
    for name, parameter in model.params.items():
        assert np.array_equal(parameter, other.params[name]), f"{name} differs after six steps"


def test_parameters_that_are_replaced_are_noticed():
    model = VGG7(VGG7Config.preset("article", image_size=8))
    x, _ = batch(1, size=8)
    before = model.forward(x)
    model.params = {name: parameter * 0.5 for name, parameter in model.params.items()}
    assert not np.allclose(model.forward(x), before)
    model.params["fc7.weight"] = model.params["fc7.weight"] * 0
    assert not model.forward(x).any()


@pytest.mark.parametrize(
    ("preset", "n", "threads"), [("article", 1, 1), ("article", 64, 2), ("vgg7", 64, 1), ("vgg7", 64, 2)]
)
def test_a_steady_training_step_allocates_no_array_above_64_kib(preset, n, threads):
    model = VGG7(VGG7Config.preset(preset), threads=threads)
    velocity = PLAIN.init(model.params)
    x, labels = batch(n)
    for _ in range(3):
        model.train_step(x, labels, PLAIN, velocity)
    usual = np.setbufsize(1024)  # NumPy's own buffers inside an operation are not arrays of ours
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        model.train_step(x, labels, PLAIN, velocity)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        np.setbufsize(usual)
    assert peak - before < 64 * 1024, f"{peak - before} bytes more at the peak of a step"


def test_a_model_that_several_threads_use_at_once_answers_each_of_them_right():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8))
    inputs = [batch(n, n, 8)[0] for n in (1, 5, 9, 33)]
    expected = [model.predict_proba(x) for x in inputs]
    wrong = []

    def ask(index):
        for _ in range(20):
            if not np.array_equal(model.predict_proba(inputs[index]), expected[index]):
                wrong.append(index)

    askers = [threading.Thread(target=ask, args=(index,)) for index in range(len(inputs))]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert not wrong


def test_another_dtype_or_size_of_images_is_not_answered_from_the_record():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8), dtype="float64")
    x, other = batch(1, 1, 8)[0], batch(1, 2, 8)[0].astype(np.float64)
    model.forward(x)
    assert np.array_equal(model.forward(other), VGG7.from_params(model.config, model.params).forward(other))
    with pytest.raises(ValueError, match="broadcast"):
        model.forward(batch(1, size=12)[0])


def test_a_new_velocity_is_moved_even_where_an_old_one_lay():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8))
    x, labels = batch(1, size=8)
    for _ in range(20):
        velocity = {name: np.zeros((1, *p.shape), p.dtype)[0] for name, p in model.params.items()}
        model.train_step(x, labels, NESTEROV, velocity)
        assert velocity["fc7.weight"].any()


def test_threads_can_be_changed_after_first_use():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8))
    x, _ = batch(16, size=8)
    before = model.forward(x)
    gc.collect()
    assert wait_for(lambda: threading.active_count() == 1), "threads of other tests live on"
    model.threads = 3
    assert np.allclose(model.forward(x), before, atol=1e-5)
    assert threading.active_count() == 3
    model.threads = 1
    gc.collect()
    assert wait_for(lambda: threading.active_count() == 1), "threads of the old engine live on"


def test_threads_end_with_their_model_even_after_an_error():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8), threads=3)
    x, _ = batch(16, size=8)
    del model.params["conv3.weight"]
    with pytest.raises(KeyError):
        model.forward(x)
    del model
    gc.collect()
    assert wait_for(lambda: threading.active_count() == 1)


def wait_for(condition):
    for _ in range(200):
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize("wait", [0.0, 0.1], ids=["while it works itself", "while it waits for the others"])
def test_an_interrupt_is_raised_after_the_threads_that_still_write(wait):
    done, team, helping = [], Team(2), threading.Event()
    here = threading.current_thread()

    def task():
        if threading.current_thread() is not here:
            helping.set()
            time.sleep(0.3)
            done.append(1)
        elif helping.wait(5) and not wait:
            raise KeyboardInterrupt

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, wait)
        with pytest.raises(KeyboardInterrupt):
            team.run([task, task])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert done == [1], "the caller goes on while a thread still writes"
    wait = 1.0
    helping.clear()
    team.run([task, task])
    assert done == [1, 1], "the next task is not waited for"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8), threads=2)
    x, _ = batch(16, size=8)
    expected = model.forward(x)
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends it, should it hang
        os._exit(0 if np.array_equal(model.forward(x), expected) else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_an_error_in_a_thread_reaches_the_caller():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8), threads=2)
    x, _ = batch(16, size=8)
    del model.params["conv3.weight"]
    with pytest.raises(KeyError, match="conv3"):
        model.forward(x)


def test_every_task_is_done_once_by_whoever_is_free():
    team, done = Team(3), []
    for count in (0, 1, 2, 50):
        done.clear()
        team.run([lambda number=number: done.append(number) for number in range(count)])
        assert sorted(done) == list(range(count))


def test_after_an_error_no_other_task_begins():
    team, done = Team(2), []

    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        team.run([fail, fail, *[lambda: done.append(1)] * 1000])
    assert not done


@pytest.mark.parametrize("threads", [1, 2])
def test_logits_of_shards_of_every_size_follow_parameters_that_change_in_place(threads):
    model = VGG7(VGG7Config.preset("vgg7"), threads=threads)
    for seed, n in enumerate([33, 17, 34, 35, 66, 17, 130, 33, 65, 34]):
        for parameter in model.params.values():
            parameter *= np.float32(1.1)
        x, _ = batch(n, seed)
        expected = VGG7.from_params(model.config, model.params, threads).forward(x)
        assert np.array_equal(model.forward(x), expected), f"logits of {n} images are stale"
