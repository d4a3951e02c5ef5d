"""The engine agrees with the definition, with used plans, shards and threads, and does not allocate."""

import threading
import tracemalloc

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config, network
from numpy_vgg7.engine import plan
from numpy_vgg7.engine.executor import MAX_PLANS, Executor
from numpy_vgg7.engine.gemm import materialize
from numpy_vgg7.engine.plan import BatchPlan
from numpy_vgg7.engine.threads import ThreadPool
from numpy_vgg7.network import initial_params, parameter_groups
from numpy_vgg7.optim import SGD

PLAIN = SGD(0.01, 0.02)
NESTEROV = SGD(0.01, 0.02, momentum=0.9, weight_decay=1e-3, nesterov=True)
RULES = {
    "plain": PLAIN,
    "momentum": SGD(0.01, 0.02, momentum=0.9),
    "decay": SGD(0.01, 0.02, weight_decay=0.1),
    "Nesterov with decay": NESTEROV,
    "decay of weights only": SGD(0.01, 0.02, weight_decay=0.1, decay_biases=False),
    "clipped": SGD(0.01, 0.02, momentum=0.9, clip_norm=0.5),
}


def network_of(preset, image_size=8, dtype="float32", **changes):
    """The layers of a preset and their first parameters, biases included."""
    layers = VGG7Config.preset(preset, image_size=image_size, **changes).layers()
    params = initial_params(layers, 0, dtype)
    rng = np.random.default_rng(1)
    for name, parameter in params.items():
        if name.endswith("bias"):
            parameter[...] = rng.uniform(-0.1, 0.1, parameter.shape)
    return layers, params


def batch(n, seed=0, size=8, dtype="float32"):
    rng = np.random.default_rng(seed)
    return rng.random((n, 1, size, size)).astype(dtype), rng.integers(10, size=n)


def results(executor, params, x, labels):
    """Copies of all that `forward_backward` returns."""
    result = executor.forward_backward(params, x, labels)
    gradients = {name: gradient.copy() for name, gradient in materialize(result.gradients).items()}
    return {"loss": result.loss.copy(), "probs": result.probs.copy(), **gradients}


def assert_same(found, expected, problem):
    """The same names with the same bits."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert np.array_equal(value, expected[name]), f"{name} {problem}"


def assert_close(found, expected, tolerance=1e-12):
    """The same names, with values that differ by `tolerance` of the largest element at most."""
    assert found.keys() == expected.keys()
    for name, value in found.items():
        assert value.shape == expected[name].shape, name
        off = np.abs(value - expected[name]).max() / max(np.abs(expected[name]).max(), 1e-300)
        assert off <= tolerance, f"{name} is off by {off:.1e} of its largest element"


@pytest.fixture
def small_shards(monkeypatch):
    """Split small batches, too, over all threads, and into several shards for each."""
    monkeypatch.setattr(plan, "SHARD_SIZE", 2000)
    monkeypatch.setattr(plan, "FEATURES_PER_THREAD", 1000)
    monkeypatch.setattr(plan, "CLASSIFIER_PER_THREAD", 1000)


def assert_split(layers, params, x, threads):
    """Fail unless all threads have work in both rounds, with several shards for each."""
    split = BatchPlan(layers, params, x.shape, threads, training=True)
    assert len(split.features) == len(split.classifier) == threads, "too small for all threads"
    assert all(len(task.parts) > 1 for task in split.features), "too small for several shards"


# Against the definition.


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("n", [1, 7, 64, 300])
@pytest.mark.parametrize("preset", ["article", "vgg7"])
def test_every_tensor_agrees_with_the_definition(preset, n, threads):
    layers, params = network_of(preset, dtype="float64")
    x, labels = batch(n, dtype="float64")
    found = Executor(layers, threads).trace(params, x, labels)
    expected = network.trace(layers, params, x, labels)
    assert list(found) == list(expected)
    assert_close(found, expected)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_every_tensor_of_several_shards_agrees_with_the_definition(threads, small_shards):
    layers, params = network_of("vgg7", 12, "float64", groups=(1, 2, 4, 1))
    x, labels = batch(31, size=12, dtype="float64")
    assert_split(layers, params, x, threads)
    assert_close(Executor(layers, threads).trace(params, x, labels), network.trace(layers, params, x, labels))


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("n", [1, 23])
def test_a_training_step_agrees_with_the_definition(n, rule, threads):
    check_training_steps(RULES[rule], threads, n)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_a_training_step_of_several_shards_agrees_with_the_definition(rule, threads, small_shards):
    layers, params = network_of("vgg7")
    assert_split(layers, params, batch(23)[0], threads)
    check_training_steps(RULES[rule], threads, 23)


def check_training_steps(sgd, threads, n):
    """Three steps in float64, with different scales of the learning rate."""
    layers, params = network_of("vgg7", dtype="float64", hidden=(1100, 128))
    expected, executor = {name: p.copy() for name, p in params.items()}, Executor(layers, threads)
    velocity, expected_velocity = sgd.init(params), sgd.init(params)
    for seed in range(3):
        x, labels = batch(n, seed, dtype="float64")
        lr_scale = 1 / (seed + 1)
        result = executor.train_step(params, x, labels, sgd, velocity, lr_scale)
        loss, gradients = network.loss_and_gradients(layers, expected, x, labels)
        sgd.step(expected, gradients, expected_velocity, parameter_groups(layers), lr_scale)
        assert abs(result.loss - loss) <= 1e-12 * loss
    assert_close(params, expected)
    if sgd.momentum:  # without it the velocity is not read, and the engine does not write it
        assert_close(velocity, expected_velocity)


# Used plans.


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("preset", ["article", "vgg7"])
def test_used_plans_give_the_same_bits_as_new_ones(preset, threads):
    layers, params = network_of(preset)
    used = Executor(layers, threads)
    for seed, n in enumerate([13, 13, 13, 1, 1, 5, 13, 1, 70, 70, 2, 3, 13]):
        x, labels = batch(n, seed)
        expected = results(Executor(layers, threads), params, x, labels)
        assert_same(results(used, params, x, labels), expected, f"of batch {seed} with {n} images is stale")
        logits = used.logits(params, x).copy()
        fresh = Executor(layers, threads).logits(params, x)
        assert np.array_equal(logits, fresh), f"logits of batch {seed} are stale"
        for parameter in params.values():
            parameter *= 0.99


@pytest.mark.parametrize("threads", [1, 2])
def test_logits_of_all_sizes_of_shards_follow_parameters_that_change_in_place(threads):
    model = VGG7(VGG7Config.preset("vgg7"), threads=threads)
    for seed, n in enumerate([33, 17, 34, 35, 66, 17, 130, 33, 65, 34]):
        for parameter in model.params.values():
            parameter *= np.float32(1.1)
        x, _ = batch(n, seed, 28)
        expected = VGG7.from_params(model.config, model.params, threads).forward(x)
        assert np.array_equal(model.forward(x), expected), f"logits of {n} images are stale"


@pytest.mark.parametrize("sgd", [PLAIN, NESTEROV], ids=["plain", "Nesterov with decay"])
@pytest.mark.parametrize("n", [1, 23, 64])
def test_steps_with_used_plans_give_the_same_bits_as_steps_with_new_ones(sgd, n):
    layers, params = network_of("vgg7")
    other, used = {name: p.copy() for name, p in params.items()}, Executor(layers, 2)
    velocity, other_velocity = sgd.init(params), sgd.init(params)
    for seed in range(6):
        x, labels = batch(n, seed)
        used.train_step(params, x, labels, sgd, velocity, 1 / (seed + 1))
        Executor(layers, 2).train_step(other, x, labels, sgd, other_velocity, 1 / (seed + 1))
    assert_same(params, other, "differs after six steps")
    assert_same(velocity, other_velocity, "differs after six steps")


def test_parameters_that_are_replaced_are_noticed():
    model = VGG7(VGG7Config.preset("article", image_size=8))
    x, _ = batch(1)
    before = model.forward(x)
    model.params = {name: parameter * 0.5 for name, parameter in model.params.items()}
    assert not np.allclose(model.forward(x), before)
    model.params["fc7.weight"] = model.params["fc7.weight"] * 0
    assert not model.forward(x).any()


def test_velocities_that_are_replaced_are_noticed():
    layers, params = network_of("vgg7")
    x, labels = batch(1)
    executor, velocity = Executor(layers), NESTEROV.init(params)
    for name in ("conv1.weight", "fc7.weight", "fc7.bias"):
        executor.train_step(params, x, labels, NESTEROV, velocity)
        velocity[name] = np.zeros_like(velocity[name])
        executor.train_step(params, x, labels, NESTEROV, velocity)
        assert velocity[name].any(), f"the new velocity of {name} is not updated"


def test_an_optimizer_with_other_settings_is_noticed():
    layers, params = network_of("vgg7")
    x, labels = batch(5)
    executor, velocity = Executor(layers), NESTEROV.init(params)
    executor.train_step(params, x, labels, NESTEROV, velocity)
    before = {name: p.copy() for name, p in params.items()}
    executor.train_step(params, x, labels, SGD(0.0, 0.0), velocity)
    assert_same(params, before, "changes at a learning rate of 0")


def test_images_of_another_dtype_are_converted_and_of_another_size_rejected():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8), dtype="float64")
    x, other = batch(1, 1)[0], batch(1, 2, dtype="float64")[0]
    model.forward(x)
    assert np.array_equal(model.forward(other), VGG7.from_params(model.config, model.params).forward(other))
    with pytest.raises(ValueError, match=r"shape|broadcast|mismatch"):
        model.forward(batch(1, size=12)[0])


# Threads.


@pytest.mark.parametrize("n", [13, 64])
def test_the_order_of_tasks_changes_no_bit(n, monkeypatch, small_shards):
    layers, params = network_of("vgg7", image_size=12)
    x, labels = batch(n, size=12)
    assert_split(layers, params, x, 3)
    before = {name: p.copy() for name, p in params.items()}

    def step(params):
        executor, velocity = Executor(layers, 3), NESTEROV.init(params)
        found = results(executor, params, x, labels)
        executor.train_step(params, x, labels, NESTEROV, velocity)
        return found | {f"{name} after a step": p for name, p in params.items()}

    def run_last_task_first(pool, tasks):
        for task in reversed(tasks):
            task()

    expected = step(params)
    monkeypatch.setattr(ThreadPool, "run", run_last_task_first)
    assert_same(step(before), expected, "depends on the scheduling of threads")


def test_a_model_that_several_threads_use_at_once_gives_each_its_own_results():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8), threads=2)
    inputs = [batch(n, n) for n in (1, 5, 9, 33)]
    expected = [(model.predict_proba(x), model.loss_and_gradients(x, labels)) for x, labels in inputs]
    wrong = []

    def use(index):
        x, labels = inputs[index]
        for _ in range(20):
            probs, (loss, gradients) = model.predict_proba(x), model.loss_and_gradients(x, labels)
            same = np.array_equal(probs, expected[index][0]) and loss == expected[index][1][0]
            if not same or not np.array_equal(gradients["fc5.weight"], expected[index][1][1]["fc5.weight"]):
                wrong.append(index)

    users = [threading.Thread(target=use, args=(index,)) for index in range(len(inputs))]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert not wrong, "results of another thread"


# Memory.


@pytest.mark.parametrize("sgd", [PLAIN, NESTEROV], ids=["plain", "Nesterov with decay"])
@pytest.mark.parametrize(
    ("preset", "n", "threads"), [("article", 1, 1), ("article", 64, 2), ("vgg7", 64, 1), ("vgg7", 64, 2)]
)
def test_a_steady_training_step_allocates_no_array_above_64_kib(preset, n, threads, sgd):
    layers, params = network_of(preset, image_size=28)
    executor, velocity = Executor(layers, threads), sgd.init(params)
    x, labels = batch(n, size=28)
    for _ in range(3):
        executor.train_step(params, x, labels, sgd, velocity)
    used = executor._plan(params, x, training=True)
    size = used.arena.size
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        executor.train_step(params, x, labels, sgd, velocity)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < 64 * 1024, f"{peak - before} bytes more at the peak of a step"
    assert executor._plan(params, x, training=True) is used, "the plan is made anew in every step"
    assert used.arena.size == size, "the plan takes more memory with every step"


def test_few_plans_are_kept():
    layers, params = network_of("article")
    executor = Executor(layers)
    for n in range(1, 30):
        executor.logits(params, batch(n)[0])
        executor.forward_backward(params, *batch(n))
        sizes = [kept.arena.size for kept in executor._plans.values()]
        assert len(sizes) <= MAX_PLANS
        assert sum(sizes) <= 2 * max(sizes)
    executor.release()
    assert not executor._plans


@pytest.mark.parametrize("threads", [1, 2])
def test_returned_arrays_stay_as_they_are(threads):
    model = VGG7(VGG7Config.preset("vgg7", image_size=8), threads=threads)
    x, labels = batch(33)
    velocity = NESTEROV.init(model.params)
    returned = {
        "loss_and_gradients": model.loss_and_gradients(x, labels)[1],
        "trace": model.trace(x, labels),
        "predict_proba": {"probs": model.predict_proba(x)},
        "logits": {"logits": model.logits(x)},
        "forward": {"logits": model.forward(x)},
    }
    copies = {method: {name: a.copy() for name, a in arrays.items()} for method, arrays in returned.items()}
    other, other_labels = batch(33, seed=1)
    model.train_step(other, other_labels, NESTEROV, velocity)
    model.loss_and_gradients(other, other_labels)
    model.trace(other, other_labels)
    model.predict_proba(other)
    for method, arrays in returned.items():
        assert_same(arrays, copies[method], f"of `{method}` is changed by later calls")
