"""Forks, interrupts and calls of the engine, by the thousand.

    python -m tests.endurance forks 1000       # beside two threads that predict; each child predicts, too
    python -m tests.endurance interrupts 2000  # by real signals, of training steps and predictions
    python -m tests.endurance calls 10000      # of three models, with batches of random sizes

Prints one JSON object, and exits with 1 if something hung, was wrong or grew. Not on Windows; `calls` needs
Linux.
"""

import json
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.optim import SGD
from tests.memory_use import resident

HANG = 20  # seconds after which something is taken to hang
ANSWER = 1.0  # seconds in which an interrupt is to be answered
GROWTH = 20.0  # megabytes by which the memory may grow
WARM_UP = 100  # calls before the memory is first measured
LARGEST = 64  # images in a batch
SLOW = SGD(1e-4, 1e-4)


def small_model(threads: int) -> VGG7:
    """A network whose steps are quick, but long enough to be hit."""
    return VGG7(VGG7Config.preset("vgg7", image_size=8), threads=threads)


def batch(n: int, image_size: int = 8) -> tuple[Any, Any]:
    """Images and labels, always the same."""
    images = np.random.default_rng(n).random((n, 1, image_size, image_size), dtype=np.float32)
    return images, np.arange(n) % 10


def forks(count: int) -> tuple[dict[str, object], bool]:
    """Fork while other threads predict. A child has to predict what its parent does, in HANG seconds."""
    models = [small_model(2), small_model(3)]
    images, _ = batch(32)
    expected = [model.predict_proba(images) for model in models]
    over = threading.Event()

    def predict(model: VGG7) -> None:
        while not over.is_set():
            model.predict(images)

    users = [threading.Thread(target=predict, args=(model,)) for model in models]
    for user in users:
        user.start()
    codes, slowest = [], 0.0
    warnings.simplefilter("ignore", DeprecationWarning)  # forks beside threads are what this is about
    for _ in range(count):
        time.sleep(random.uniform(0, 0.005))
        began = time.perf_counter()
        if not (child := os.fork()):
            signal.alarm(HANG)
            found = [model.predict_proba(images) for model in models]
            os._exit(not all(map(np.array_equal, found, expected)))
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        slowest = max(slowest, time.perf_counter() - began)
    over.set()
    for user in users:
        user.join()
    hung, wrong = codes.count(-signal.SIGALRM), sum(code != 0 for code in codes)
    return {"forks": count, "hung": hung, "failed": wrong, "slowest": round(slowest, 2)}, wrong == 0


def interrupts(count: int) -> tuple[dict[str, object], bool]:
    """Send this process SIGINT at random times of steps and predictions with two and three threads."""
    models = [small_model(threads) for threads in (2, 3)]
    images, labels = batch(LARGEST)
    velocities = [SLOW.init(model.params) for model in models]
    works: list[Callable[[], object]] = [lambda model=model: model.predict(images) for model in models]
    works += [
        lambda model=model, velocity=velocity: model.train_step(images, labels, SLOW, velocity)
        for model, velocity in zip(models, velocities, strict=True)
    ]
    sent = 0.0

    def send() -> None:
        nonlocal sent
        time.sleep(random.uniform(0, 0.01))
        sent = time.perf_counter()
        os.kill(os.getpid(), signal.SIGINT)

    answers = []
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process, and so says that it hung
    for number in range(count):
        signal.alarm(HANG)
        sender = threading.Thread(target=send)
        try:
            sender.start()
            while True:
                works[number % len(works)]()
        except KeyboardInterrupt:
            answers.append(time.perf_counter() - sent)
        sender.join()
        works[number % len(works)]()  # it still works
    signal.alarm(0)
    slow = sum(answer > ANSWER for answer in answers)
    figures = {"interrupts": len(answers), "over a second": slow, "slowest": round(max(answers), 3)}
    return figures, not slow and len(answers) == count


def calls(count: int) -> tuple[dict[str, object], bool]:
    """Train and predict with batches of random sizes. The memory is measured after batches of the largest."""
    rng = np.random.default_rng(0)
    models = [VGG7(VGG7Config.preset(name), threads=threads) for name, threads in PRESETS]
    velocities = [SLOW.init(model.params) for model in models]

    def call(number: int, size: int) -> None:
        which = number % len(models)
        images, labels = batch(size, models[which].config.image_size)
        if number // len(models) % 2:
            models[which].train_step(images, labels, SLOW, velocities[which])
        else:
            models[which].predict(images)

    def measure() -> float:
        for number in range(2 * len(models)):
            call(number, LARGEST)
        return resident()

    for number in range(WARM_UP):
        call(number, int(rng.integers(1, LARGEST + 1)))
    found = [measure()]
    for number in range(count):
        call(number, int(rng.integers(1, LARGEST + 1)))
        if (number + 1) % (count // 10) == 0:
            found.append(measure())
    figures = {"calls": count, "megabytes": [round(each, 1) for each in found]}
    return figures, max(found) - found[0] <= GROWTH


PRESETS = (("article", 1), ("article", 2), ("vgg7", 2))
KINDS = {"forks": forks, "interrupts": interrupts, "calls": calls}

if __name__ == "__main__":
    figures, fine = KINDS[sys.argv[1]](int(sys.argv[2]))
    print(json.dumps(figures))
    sys.exit(not fine)
