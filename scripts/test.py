"""Run all checks: style, types and tests.

Arguments are passed to pytest: `python3 scripts/test.py parity_tests -k conv`.
"""

import sys

from environment import PYTHON, prepare, run


def main() -> None:
    """Prepare the environment, then run the checks until one fails."""
    prepare("dev")
    run(PYTHON, "-m", "ruff", "check", ".")
    run(PYTHON, "-m", "ruff", "format", "--check", ".")
    run(PYTHON, "-m", "mypy")
    # A worker per core. The tests of a file stay together, since they share what is slow to make, and the
    # files are taken in the order of `conftest.py`.
    workers = ("--numprocesses", "auto", "--dist", "loadfile", "--no-loadscope-reorder")
    run(PYTHON, "-m", "pytest", *workers, *sys.argv[1:])


if __name__ == "__main__":
    main()
