"""Forks, interrupts and calls of the engine, in a short form; `python -m tests.endurance` does thousands."""

import json
import os
import sys

import pytest

from tests.commands import python

pytestmark = pytest.mark.skipif(os.name == "nt", reason="no forks and no signals on this system")


@pytest.mark.parametrize(("kind", "count"), [("forks", 20), ("interrupts", 40), ("calls", 40)])
def test_the_engine_stands(kind, count):
    if kind == "calls" and sys.platform != "linux":
        pytest.skip("the memory of a process is read from /proc")
    done = python("-m", "tests.endurance", kind, count)
    assert done.code == 0, f"{done.stdout}{done.stderr}"
    assert json.loads(done.stdout)[kind] == count
