"""The command line. `main` turns errors into exit codes; the other modules contain one function per command.

Exit codes: 0 success, 1 unexpected error, 2 usage, 3 bad input (one line, no traceback), 4 parity failed,
130 interrupted, 143 terminated, 129 hung up: 128 and the number of the signal.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable

BAD_INPUT = 3
INTERRUPTED = 128 + signal.SIGINT
STOPS = ("SIGINT", "SIGTERM", "SIGHUP")  # signals that end a command; Windows has no SIGHUP


def main() -> None:
    """Run the command line and exit with its code."""
    arrived: list[int] = []

    def interrupt(number: int, frame: object) -> None:
        arrived.append(number)
        raise KeyboardInterrupt

    handle_stops(leave)  # while modules are loaded
    from numpy_vgg7.cli import console
    from numpy_vgg7.cli.commands import app
    from numpy_vgg7.errors import VGG7Error

    console.prepare_streams()
    try:
        handle_stops(interrupt)
        try:
            app(prog_name="numpy-vgg7")
        finally:
            handle_stops(leave)  # while the results are written and Python ends
            console.flush()
    except VGG7Error as error:
        console.complain(str(error))
    except MemoryError as error:
        found = f"too little ({error})".replace(" ()", "")
        console.complain(f"memory: expected enough, found {found}; use smaller sizes or batches")
    except OSError as error:
        console.give_up(error)
    except (KeyboardInterrupt, SystemExit) as end:
        code = getattr(end, "code", INTERRUPTED)
        if isinstance(end.__context__, BrokenPipeError):  # for which Click and Rich exit with 1
            code = BAD_INPUT
        sys.exit(128 + arrived[0] if arrived and code == INTERRUPTED else code)
    sys.exit(BAD_INPUT)


def handle_stops(handler: Callable[[int, object], object]) -> None:
    """Handle the signals that end a command, except those that it was told to ignore, as by nohup.

    Only the main thread can do so.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for name in STOPS:
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)


def leave(number: int, frame: object) -> None:
    """End at once: there is nothing to save, and an exception would be a traceback of foreign modules."""
    os._exit(128 + number)
