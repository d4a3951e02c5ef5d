"""The processor: its name and its caches, as far as the system tells."""

import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
SYSFS = Path("/sys/devices/system/cpu/cpu0/cache")
KINDS = {"Data": "d", "Instruction": "i", "Unified": ""}
# Of these names in macOS the first that exists counts; perflevel0 are the fast cores of Apple's processors.
SYSCTL = {
    cache: (f"hw.perflevel0.{cache.lower()}cachesize", f"hw.{cache.lower()}cachesize")
    for cache in ("L1d", "L2", "L3")
}


@dataclass(frozen=True)
class Processor:
    """Its name, the cores that this process may use, and its caches; None where the size is unknown."""

    name: str
    cores: int
    caches_kib: dict[str, int | None]  # L1d, L2, L3: each as one core sees it. Several cores may share it.

    def __str__(self) -> str:
        sizes = ", ".join(f"{cache} {size or '?'} KiB" for cache, size in self.caches_kib.items())
        return f"{self.name}, {self.cores} cores, {sizes}"


def processor() -> Processor:
    """The processor of this machine."""
    if sys.platform == "darwin":
        name, caches = sysctl("machdep.cpu.brand_string"), macos_caches()
    else:
        name, caches = linux_name(), linux_caches()
    return Processor(name or platform.processor() or platform.machine(), cores(), caches)


def cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def linux_name(path: Path = CPUINFO) -> str | None:
    """Name, family and model of the first core. In a virtual machine the name may be just "AMD EPYC"."""
    if not path.exists():
        return None
    first, *_ = path.read_text().split("\n\n")
    pairs = (line.partition(":") for line in first.splitlines())
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if "cpu family" in found:
        return f"{found['model name']} (family {found['cpu family']}, model {found['model']})"
    return found.get("model name")


def linux_caches(folder: Path = SYSFS) -> dict[str, int | None]:
    """KiB of each cache of the first core."""
    caches: dict[str, int | None] = dict.fromkeys(SYSCTL)
    for size in folder.glob("index*/size"):  # some virtual machines list caches without a size
        level, kind = ((size.parent / name).read_text().strip() for name in ("level", "type"))
        name = f"L{level}{KINDS[kind]}"
        if name in caches:
            caches[name] = int(size.read_text().strip().removesuffix("K"))
    return caches


def macos_caches() -> dict[str, int | None]:
    """KiB of each cache of a fast core."""
    sizes = {cache: sysctl(new) or sysctl(old) for cache, (new, old) in SYSCTL.items()}
    return {cache: int(size) // 1024 if size else None for cache, size in sizes.items()}


def sysctl(name: str) -> str | None:
    """A value of the macOS kernel; None if there is no such name."""
    done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None
