"""The largest memory of this process.

Linux tells the largest since a moment ("VmHWM" in /proc). Elsewhere it is that since the start of the process
("ru_maxrss"), so that what takes less than the process took before is not seen.
"""

import gc
import resource
import sys
from collections.abc import Callable
from pathlib import Path

VMHWM, MAXRSS = "VmHWM", "ru_maxrss"


def measured() -> tuple[int, Callable[[], int], str]:
    """The memory now, a function for the largest from now on, both in bytes, and their source."""
    gc.collect()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the largest so far becomes that of now
        return _since(), _since, VMHWM
    except (OSError, LookupError):
        return _ever(), _ever, MAXRSS


def _since() -> int:
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def _ever() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
