"""How much memory there is, and errors for what would take more, before any of it is taken."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from numpy_vgg7.errors import ConfigError, VGG7Error

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
MOST_THREADS = 256  # more never help, and each has arrays of its own


class Version(NamedTuple):
    """Where a version of Linux's control groups has its figures; `cached` is a row of memory.stat."""

    folder: str
    limit: str
    used: str
    cached: str


VERSIONS = (
    Version("memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
    Version("", "memory.max", "memory.current", "file"),
)


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
    """Linux: what the control group of this process leaves, in either version of control groups."""
    found = []
    for version in VERSIONS:
        with suppress(OSError, ValueError, LookupError):  # another version, or "max", which is no number
            found.append(_left(version))
    return min(found, default=sys.maxsize)


def _left(version: Version) -> int:
    """What a control group leaves. Cached files can be dropped."""
    rows = (line.split(":", 2)[1:] for line in OWN_GROUPS.read_text().splitlines())
    (own,) = (path for controllers, path in rows if version.folder in controllers.split(","))
    root = GROUPS / version.folder
    group = root / own.lstrip("/")
    if not (group / version.limit).exists():  # the container shows its own group as the root
        group = root
    limit, used = (int((group / name).read_text()) for name in (version.limit, version.used))
    return limit - used + int(_table(group / "memory.stat")[version.cached])


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


def require_memory(
    what: str, needed: int, fix: str, error: type[VGG7Error] = ConfigError, there: int | None = None
) -> None:
    """Raise `error` if so many bytes are more than there are: `available_memory`, unless `there` is given."""
    there = available_memory() if there is None else there
    if needed > there:
        raise error(what, f"at most the {size(there)} of memory available", f"{size(needed)} needed", fix)


def size(count: float) -> str:
    """A number of bytes in words: 1.5 GB."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if count < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit in ("bytes", "TB") or count >= 10 else f"{count:.1f} {unit}"
