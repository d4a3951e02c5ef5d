"""An interrupt at any call inside the engine leaves a model that works, and NumPy and the BLAS as they were.

`test_threads.py` has interrupts by real signals.
"""

import sys
from copy import deepcopy
from unittest import mock

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config, blas
from numpy_vgg7.engine import plan
from numpy_vgg7.optim import SGD

SMALL = VGG7Config(image_size=4, channels=(1, 1, 1, 1), hidden=(2, 2))
STRIDE = 11  # of the events that are tried
THREADS = 3  # of the BLAS, outside the engine
SLOW = SGD(1e-3, 1e-3)
X, LABELS = np.random.default_rng(0).random((4, 1, 4, 4), np.float32), np.arange(4)


@pytest.fixture(autouse=True)
def _several_tasks_and_blas_threads():
    before = [library.get_num_threads() for library in blas.libraries()]
    blas.set_threads([THREADS] * len(before))
    with mock.patch.multiple(plan, FEATURES_PER_THREAD=1, CLASSIFIER_PER_THREAD=1):
        yield
    blas.set_threads(before)


def interrupted(work, event):
    """Run `work` with a KeyboardInterrupt where our code enters a function, or returns from one in C.

    These are the places where Python handles signals; `event` counts them. Returns whether it was reached.
    (Python's own threads are not proof against interrupts while they start.)
    """
    seen = 0

    def count(frame, kind, argument):
        nonlocal seen
        seen += kind in ("call", "c_return") and "numpy_vgg7" in frame.f_code.co_filename
        if seen == event:
            sys.setprofile(None)
            raise KeyboardInterrupt

    try:
        sys.setprofile(count)
        work()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    assert seen < event, f"the interrupt at event {event} is lost"
    return False


def settings():
    return np.getbufsize(), [library.get_num_threads() for library in blas.libraries()]


@pytest.mark.parametrize(("threads", "new"), [(1, False), (2, False), (3, False), (2, True)])
def test_an_interrupt_anywhere_in_a_prediction_changes_nothing(threads, new):
    model, before = VGG7(SMALL, threads=threads), settings()
    expected, event = model.predict_proba(X), 1
    while interrupted(lambda: model.forward(X), event):
        assert settings() == before, f"event {event}: NumPy or the BLAS has other settings afterwards"
        assert not model._lock.locked(), f"event {event}: the model is locked for ever"
        assert np.array_equal(model.predict_proba(X), expected)
        if new:
            model.release()
        event += STRIDE
    assert event > 100, "the calls of the engine are not seen"


@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_anywhere_in_a_training_step_leaves_a_model_that_trains(threads):
    model, before, event = VGG7(SMALL, threads=threads), settings(), 1
    velocity = SLOW.init(model.params)

    def step():
        model.train_step(X, LABELS, SLOW, velocity)

    step()
    while interrupted(step, event):
        assert settings() == before, f"event {event}: NumPy or the BLAS has other settings afterwards"
        copy, again = deepcopy((model, velocity))
        step()
        copy.train_step(X, LABELS, SLOW, again)
        for name, parameter in model.params.items():
            assert np.array_equal(parameter, copy.params[name]), f"event {event}: the next step is another"
        event += STRIDE
    assert event > 200, "the calls of the engine are not seen"
