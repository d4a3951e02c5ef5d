"""How much memory there is, and errors for what would take more, before any of it is taken."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from numpy_vgg7.errors import ConfigError, VGG7Error

MOST_THREADS = 256  # more never help, and each has arrays of its own


def available_memory() -> int:
    """Bytes that this process can still take; `sys.maxsize` where the system does not tell.

    That is the least of the free memory of the machine, the limit of the container, and that of the process.
    """
    found = [sys.maxsize]
    with suppress(OSError, ValueError, AttributeError):  # not on Windows, and fewer files on macOS
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        fields = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(1024 * int(fields["MemAvailable"].split()[0]))
    with suppress(OSError, ValueError):  # "max" is no number
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(limit - used)
    with suppress(ImportError, OSError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_AS)
        if limit != resource.RLIM_INFINITY:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            found.append(limit - pages * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(found))


def require_memory(what: str, needed: int, fix: str, error: type[VGG7Error] = ConfigError) -> None:
    """Raise `error` if so many bytes are more than there are."""
    there = available_memory()
    if needed > there:
        raise error(what, f"at most the {size(there)} of memory there are", f"{size(needed)} needed", fix)


def size(count: float) -> str:
    """A number of bytes in words: 1.5 GB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit in ("bytes", "TB") or count >= 10 else f"{count:.1f} {unit}"
