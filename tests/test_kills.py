"""A training that is killed at any call of the operating system continues to the same bytes."""

import os
from dataclasses import replace

import pytest

from numpy_vgg7.errors import TrainingError
from numpy_vgg7.training.run_folder import RunFolder, create_folder
from tests.kills import every_step
from tests.test_run_folder import RUN, train

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]

SHORT = replace(RUN, training=replace(RUN.training, epochs=2, average=0))


def small_training(folder, resume):
    try:
        run = RunFolder(folder)
        run.read_config() if resume else create_folder(SHORT, folder)
    except TrainingError as error:
        raise FileNotFoundError from error
    train(run, SHORT)


def test_a_training_that_is_killed_at_a_call_of_the_system_continues_to_the_same_bytes(tmp_path):
    calls, faults = every_step(small_training, tmp_path, stride=4)  # `python -m tests.kills steps` tries all
    assert calls > 50, "the calls of a training are not seen"
    assert not faults
