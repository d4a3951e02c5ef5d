"""Memory stays bounded whatever the batch sizes, and is returned to the system; figures are of new processes.

`python -m tests.memory_use` measures other presets and sizes.
"""

import json
import os
import sys

import pytest

from numpy_vgg7.engine.memory import Arena
from tests.commands import python
from tests.memory_use import INFERENCE, MODELS, PARTIAL, TRAINING

LARGEST = 300
SIZES = {"article": range(1, LARGEST, 7), "vgg7": range(1, LARGEST, 13), "vgg7-wide": range(1, LARGEST, 37)}
RATIO = 3.0  # of the peak with all batch sizes to that with the largest alone
RETURNED = 50.0  # megabytes above the start that may stay: what `malloc` keeps of freed arrays

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")


def measured(preset, mode, sizes):
    done = python("-W", "error", "-m", "tests.memory_use", preset, mode, *sizes)
    assert done.code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("mode", [TRAINING, INFERENCE])
@pytest.mark.parametrize("preset", SIZES)
def test_batches_of_many_sizes_take_three_times_the_memory_of_the_largest_at_most(preset, mode):
    alone = measured(preset, mode, [LARGEST] * 3)
    found = measured(preset, mode, [*SIZES[preset], LARGEST, 1])
    assert alone["peak"] > 10, "too little to compare with"
    assert found["peak"] <= RATIO * alone["peak"], f"{found['peak']:.0f} MB; alone {alone['peak']:.0f} MB"
    for moment in ("released", "deleted"):
        assert found[moment] <= RETURNED, f"{found[moment]:.0f} MB stay after the model is {moment}"


def test_models_that_are_made_and_deleted_in_turn_leave_no_memory_behind():
    found = measured("vgg7", MODELS, [64, 13])
    early, late = found[4], found[-1]
    assert late <= early + 5, f"{early:.0f} MB after five models, {late:.0f} MB after all of them"


def test_two_hundred_calls_of_partial_fit_keep_memory_flat():
    found = measured("vgg7", PARTIAL, [64, 50] * 100)
    assert len(found) == 200
    early, late = found[49], found[-1]
    assert late <= early + 1, f"{early:.1f} MB after 50 calls, {late:.1f} MB after all of them"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_does_not_write_into_the_arrays_of_its_parent():
    array = Arena().array((4,), "float64")
    child = os.fork()
    if not child:
        array[:] = 1
        os._exit(0)
    os.waitpid(child, 0)
    assert not array.any(), "memory of the engine is shared between processes"


def test_memory_that_cannot_be_had_is_a_memory_error():
    with pytest.raises(MemoryError, match="cannot be allocated"):
        Arena().array((2**62,), "float64")
