"""The command line. `main` turns errors into exit codes; the other modules contain one function per command.

Exit codes: 0 success, 1 unexpected error, 2 usage, 3 bad input (one line, no traceback), 4 parity failed,
130 interrupted.
"""

import sys

BAD_INPUT = 3


def main() -> None:
    """Run the command line and exit with its code."""
    from numpy_vgg7.cli import console
    from numpy_vgg7.cli.commands import app
    from numpy_vgg7.errors import VGG7Error

    console.accept_any_text()
    try:
        try:
            app(prog_name="numpy-vgg7")
        finally:
            console.flush()
    except VGG7Error as error:
        console.complain(str(error))
    except MemoryError as error:
        line = f"expected enough for the arrays, found too little ({error}); use smaller sizes or batches"
        console.complain(f"memory: {line}")
    except OSError as error:
        console.give_up(error)
    sys.exit(BAD_INPUT)
