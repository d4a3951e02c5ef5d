"""Files of less than 1 MB that unpack as far as they may, or further."""

import sys

import pytest

from tests.largest_files import FAR, SHORT, in_new_process

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the largest memory since a moment is in /proc"
)


@pytest.mark.parametrize("name", SHORT)
def test_a_file_below_1_mb_that_unpacks_as_far_as_it_may_takes_less_than_1_gb(tmp_path, name):
    """The short form of `python -m tests.largest_files all`."""
    found = in_new_process(name, tmp_path)
    assert found["file"] < 1e6
    assert SHORT[name] in found["outcome"]
    assert found["peak"] < 1000, found


@pytest.mark.parametrize("name", FAR)
def test_a_file_below_1_mb_that_would_take_more_than_it_may_is_refused_before(tmp_path, name):
    found = in_new_process(name, tmp_path)
    assert found["file"] < 1e6
    assert FAR[name] in found["outcome"]
    assert found["peak"] - found["before"] < 150, found
