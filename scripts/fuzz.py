"""Read mutated files of every format: typed errors only, no hang, bounded memory, no changed tensor.

    .venv/bin/python -m scripts.fuzz [--files 20000] [--seed 0] [--only NAME]

Prints one JSON object: what became of how many files by format, the slowest, by how many bytes the memory of
the process that reads them all grew, at most, above that after reading a valid file of each, every error of
another type, and every file that was accepted with other numbers though it has a checksum. Exits with 1 if
there is one of these, a file took longer than 10 s, or the memory grew by more than twice the largest valid
file and 64 MB.

"memory_measure" is the source of the figures: outside Linux it is "ru_maxrss", where a growth that remains
below what importing and preparing took is not seen.
"""

import argparse
import faulthandler
import json
import resource
import signal
import sys
import tempfile
import time
import traceback
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from numpy_vgg7 import VGG7Error
from parity_tests import damage
from scripts.fuzz_formats import Format, formats_in, same
from scripts.fuzz_memory import measured

SPARE = 64e6
SLOWEST = 10.0
ADDRESSES = 6_000_000_000  # bytes of address space, so that a mistake does not take all memory
# Numbers that sizes, offsets and counts are replaced with.
NUMBERS = (0, 1, 127, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)

PNG = b"\x89PNG\r\n\x1a\n"

Mutation = Callable[[np.random.Generator, bytearray], bytes]


class HangError(BaseException):
    """A file that is still being read. No Exception, which the reader would take for damage."""


def flipped(rng: np.random.Generator, content: bytearray) -> bytes:
    """A few bits, most of them where headers are."""
    for _ in range(rng.integers(1, 9)):
        end = len(content) if rng.random() < 0.5 else min(len(content), 600)
        content[rng.integers(end)] ^= 1 << rng.integers(8)
    return bytes(content)


def truncated(rng: np.random.Generator, content: bytearray) -> bytes:
    """The beginning or the end."""
    place = int(rng.integers(len(content)))
    return bytes(content[:place] if rng.random() < 0.7 else content[place:])


def renumbered(rng: np.random.Generator, content: bytearray) -> bytes:
    """An integer replaced, in any width and order."""
    width = int(rng.choice([1, 2, 4, 8]))
    number = NUMBERS[rng.integers(len(NUMBERS))] % (1 << (8 * width))
    end = len(content) if rng.random() < 0.5 else min(len(content), 600)
    place = int(rng.integers(max(1, end - width)))
    content[place : place + width] = number.to_bytes(width, "little" if rng.random() < 0.7 else "big")
    return bytes(content)


def spliced(rng: np.random.Generator, content: bytearray) -> bytes:
    """A part repeated, moved or removed."""
    start, end, to = (int(n) for n in sorted(rng.integers(len(content), size=3)))
    return bytes(content[:start] + content[end:to] + content[start:end] * int(rng.integers(3)) + content[to:])


def digits_changed(rng: np.random.Generator, content: bytearray) -> bytes:
    """A digit of a textual header replaced, as in the shapes of safetensors and npy."""
    places = [place for place, byte in enumerate(content[:4000]) if 48 <= byte <= 57]
    for _ in range(int(rng.integers(1, 4))):
        content[places[rng.integers(len(places))] if places else 0] = 48 + int(rng.integers(10))
    return bytes(content)


def junk(rng: np.random.Generator, content: bytearray) -> bytes:
    """A value of a JSON object replaced, at any depth; other files are truncated."""
    try:
        record = json.loads(content)
    except ValueError:
        return truncated(rng, content)
    place = record
    while isinstance(place, dict) and place:
        key = list(place)[rng.integers(len(place))]
        if not isinstance(place[key], dict) or rng.random() < 0.3:
            place[key] = damage.JUNK[rng.integers(len(damage.JUNK))]
            break
        place = place[key]
    text = json.dumps(record)
    return text.replace('"[b]"', damage.DEEP).encode() if rng.random() < 0.05 else text.encode()


def repacked(rng: np.random.Generator, content: bytearray) -> bytes:
    """A part of a zip archive or PNG file mutated, and all written anew with correct sizes and checksums."""
    if content.startswith(PNG):
        return _png_repacked(rng, content)
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        return junk(rng, content)
    pickles = [name for name in entries if name.endswith("data.pkl")]
    name = pickles[0] if pickles and rng.random() < 0.8 else list(entries)[rng.integers(len(entries))]
    if entries[name]:
        entries[name] = MUTATIONS[rng.integers(len(MUTATIONS) - 1)](rng, bytearray(entries[name]))
    stream = BytesIO()
    with zipfile.ZipFile(
        stream, "w", zipfile.ZIP_DEFLATED if rng.random() < 0.3 else zipfile.ZIP_STORED
    ) as out:
        for key, value in entries.items():
            out.writestr(key, value)
    return stream.getvalue()


def _png_repacked(rng: np.random.Generator, content: bytearray) -> bytes:
    chunks = []
    place = len(PNG)
    while place < len(content):
        length = int.from_bytes(content[place : place + 4])
        chunks.append([content[place + 4 : place + 8], content[place + 8 : place + 8 + length]])
        place += 12 + length
    name, data = chosen = chunks[rng.integers(len(chunks))]
    packed = name == b"IDAT" and rng.random() < 0.5
    if packed:
        data = bytearray(zlib.decompress(data))
    if data:
        data = bytearray(MUTATIONS[rng.integers(4)](rng, data))
    chosen[1] = zlib.compress(data) if packed else data
    out = bytearray(PNG)
    for name, data in chunks:
        out += len(data).to_bytes(4) + name + data + zlib.crc32(name + data).to_bytes(4)
    return bytes(out)


def headed(rng: np.random.Generator, content: bytearray) -> bytes:
    """A safetensors header with other claims, an npz file with other headers; other files are spliced."""
    with suppress(Exception):  # it is no such file
        return damage.another_header(bytes(content), rng)
    with suppress(Exception):
        return damage.other_npz(bytes(content), rng)
    return spliced(rng, content)


# The last ones make checksums anew, or remove them.
MUTATIONS: tuple[Mutation, ...] = (
    flipped, truncated, renumbered, spliced, digits_changed, junk, headed, repacked,
)  # fmt: skip
KEEPS_CHECKSUMS = MUTATIONS[:4]


def fuzz(files: int, seed: int, only: str = "") -> dict[str, Any]:
    """Read `files` mutated files; the result is JSON."""
    outcomes: dict[str, Counter[str]] = {}
    untyped: list[str] = []
    changed: list[str] = []
    times = {"": 0.0}
    for number in (signal.SIGPROF, signal.SIGALRM):
        signal.signal(number, _hang)
    with tempfile.TemporaryDirectory() as name:
        formats = [format_ for format_ in formats_in(Path(name)) if only in format_.name]
        largest = max(len(format_.content) for format_ in formats)
        for format_ in formats:  # so that imports and caches are not counted
            format_.path.write_bytes(format_.content)
            format_.read(format_.path)
        before, peak_now, measure = measured()
        peak = 0
        heaviest = ""
        for number in range(files):
            format_ = formats[number % len(formats)]
            rng = np.random.default_rng([seed, number])
            mutate = MUTATIONS[rng.integers(len(MUTATIONS))]
            format_.path.write_bytes(mutate(rng, bytearray(format_.content)))
            label = f"{number}: {format_.name}, {mutate.__name__}"
            began = time.process_time()
            outcome = _read(format_, mutate, label, untyped, changed)
            outcomes.setdefault(format_.name, Counter())[outcome] += 1
            times[label] = time.process_time() - began
            times = dict([max(times.items(), key=lambda item: item[1])])
            if (now := peak_now()) > peak:
                peak, heaviest = now, label
            format_.path.write_bytes(format_.content)  # others may read it beside their own
    ((slowest, seconds),) = times.items()
    grown = peak - before
    return {
        "files": files,
        "outcomes": {name: dict(found) for name, found in outcomes.items()},
        "refused": sum(found["refused"] for found in outcomes.values()),
        "untyped": untyped,
        "changed": changed,
        "slowest_s": round(seconds, 3),
        "slowest": slowest,
        "memory_measure": measure,
        "memory_growth_bytes": grown,
        "heaviest": heaviest,
        "largest_valid_bytes": largest,
        "passed": not untyped and not changed and seconds < SLOWEST and grown < 2 * largest + SPARE,
    }


def _read(format_: Format, mutate: Mutation, label: str, untyped: list[str], changed: list[str]) -> str:
    # Seconds of the processor, since others may use it, too; and of the clock, for one that waits.
    signal.setitimer(signal.ITIMER_PROF, SLOWEST)
    signal.setitimer(signal.ITIMER_REAL, 12 * SLOWEST)
    try:
        found = format_.read(format_.path)
        if format_.checksum and mutate in KEEPS_CHECKSUMS and not same(found, format_.value):
            changed.append(label)
            return "changed"
        return "accepted"
    except VGG7Error as error:
        if len(str(error)) > 300 or not str(error).isprintable():
            untyped.append(f"{label}: not one short line: {str(error)[:400]!r}")
        return "refused"
    except (Exception, HangError):  # this is what is looked for
        untyped.append(f"{label}: {traceback.format_exc()}")
        return "untyped"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _hang(*_: object) -> None:
    raise HangError(f"longer than {SLOWEST} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="a part of the name of a format")
    options = parser.parse_args()
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    found = fuzz(options.files, options.seed, options.only)
    print(json.dumps(found))
    sys.exit(not found["passed"])
