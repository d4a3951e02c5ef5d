"""Options of the test run."""

import os

# The networks here are small: a second BLAS thread gains nothing, and waiting for it costs much where
# something else runs on the machine. Set before NumPy is loaded, and for the commands that tests run.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"

# The files that take longest come first: what is left in the end is short, and no core waits for another.
LONGEST = (
    "test_prove", "test_readme", "test_training", "test_foreign_mistakes", "test_article", "test_rounding",
    "test_parity_command", "test_random_architectures", "test_bench", "test_data_border", "test_notebook",
    "test_case_and_check", "test_exercise", "test_keras", "test_kernels", "test_engine_check",
)  # fmt: skip


def pytest_collection_modifyitems(items):
    """Order the files; the tests of a file keep their order."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))


def pytest_addoption(parser):
    """Add `--fuzz N`."""
    parser.addoption("--fuzz", type=int, default=0, help="draw N more random architectures")
