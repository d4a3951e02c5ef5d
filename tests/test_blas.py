"""While the engine runs, the BLAS has one thread; afterwards it has as many as before."""

import threading

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config, blas
from numpy_vgg7.engine import kernels
from numpy_vgg7.optim import SGD

THREADS = 3  # of the BLAS, outside the engine


@pytest.fixture(autouse=True)
def several_blas_threads():
    before = counts()
    blas.set_threads([THREADS] * len(before))
    if not before or counts() != [THREADS] * len(before):
        pytest.skip("a BLAS whose threads cannot be set")
    yield
    blas.set_threads(before)


def counts():
    return [library.get_num_threads() for library in blas.libraries()]


@pytest.fixture
def model():
    return VGG7(VGG7Config.preset("vgg7", image_size=8), threads=2)


@pytest.mark.parametrize("method", ["predict", "loss_and_gradients", "trace", "train_step"])
def test_the_blas_has_one_thread_while_the_engine_runs(method, model, monkeypatch):
    seen, forward = [], kernels.Linear.forward

    def spy(kernel):
        seen.extend(counts())
        forward(kernel)

    monkeypatch.setattr(kernels.Linear, "forward", spy)
    sgd = SGD(0.1, 0.1)
    x, labels = np.zeros((3, 1, 8, 8), np.float32), np.zeros(3, int)
    words = {"predict": (x,), "train_step": (x, labels, sgd, sgd.init(model.params))}
    getattr(model, method)(*words.get(method, (x, labels)))
    assert set(seen) == {1}, "the BLAS has threads of its own beside those of the engine"
    assert set(counts()) == {THREADS}, "the BLAS does not get its threads back"


def test_any_thread_can_limit_the_blas():
    seen = []

    def use():
        with blas.single_threaded():
            seen.extend(counts())

    use()  # the first thread that sets a limit must not be the only one that can
    user = threading.Thread(target=use)
    user.start()
    user.join()
    assert set(seen) == {1}
    assert set(counts()) == {THREADS}


def test_the_blas_gets_its_threads_back_after_an_error(model):
    del model.params["conv3.weight"]
    with pytest.raises(KeyError):
        model.predict(np.zeros((1, 8, 8)))
    assert set(counts()) == {THREADS}


def test_the_last_of_overlapping_blocks_gives_the_threads_back():
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen = []

    def first():
        with blas.single_threaded():
            first_is_in.set()
            second_is_in.wait(20)
        seen.append(counts())
        first_is_out.set()

    def second():
        first_is_in.wait(20)
        with blas.single_threaded():
            second_is_in.set()
            first_is_out.wait(20)
            seen.append(counts())

    users = [threading.Thread(target=target) for target in (first, second)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert [set(each) for each in seen] == [{1}, {1}], "the first block to end gives the threads back"
    assert set(counts()) == {THREADS}


def test_nested_blocks_give_the_threads_back_at_the_end():
    with blas.single_threaded():
        with blas.single_threaded():
            assert set(counts()) == {1}
        assert set(counts()) == {1}
    assert set(counts()) == {THREADS}
