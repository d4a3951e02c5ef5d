"""How much memory there is, and errors for what would take more, before any of it is taken."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from numpy_vgg7.errors import ConfigError, VGG7Error

GROUPS = Path("/sys/fs/cgroup")
MOST_THREADS = 256  # more never help, and each has arrays of its own


def available_memory() -> int:
    """Bytes that this process can still take; `sys.maxsize` where the system does not tell.

    That is the least of the free memory of the machine, the limit of the container, and that of the process.
    """
    found = [sys.maxsize]
    for source in (_physical, _free, _container, _process):
        with suppress(OSError, ValueError, LookupError, AttributeError, ImportError):  # no such system
            found.append(source())
    return max(0, min(found))


def _physical() -> int:
    pages = os.sysconf("SC_PHYS_PAGES")
    if pages <= 0:
        raise ValueError("unknown")
    return pages * os.sysconf("SC_PAGE_SIZE")


def _free() -> int:
    """Linux: what is free, or could be freed."""
    return 1024 * int(_table(Path("/proc/meminfo"))["MemAvailable:"].split()[0])


def _container() -> int:
    """Linux: what the control group of this process leaves. Cached files can be dropped."""
    group = GROUPS / Path("/proc/self/cgroup").read_text().split("::")[-1].strip().lstrip("/")
    if not (group / "memory.max").exists():  # the container shows its own group as the root
        group = GROUPS
    limit = int((group / "memory.max").read_text())  # "max" is no number
    cached = int(_table(group / "memory.stat")["file"])
    return limit - int((group / "memory.current").read_text()) + cached


def _process() -> int:
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return sys.maxsize
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return limit - pages * os.sysconf("SC_PAGE_SIZE")


def _table(path: Path) -> dict[str, str]:
    """Lines of a name and a value."""
    return dict(line.split(maxsplit=1) for line in path.read_text().splitlines())


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
