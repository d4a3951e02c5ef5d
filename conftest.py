"""Options of the test run."""

import os

# The networks here are small: a second BLAS thread gains nothing, and waiting for it costs much where
# something else runs on the machine. Set before NumPy is loaded, and for the commands that tests run.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"


def pytest_addoption(parser):
    """Add `--fuzz N`."""
    parser.addoption("--fuzz", type=int, default=0, help="draw N more random architectures")
