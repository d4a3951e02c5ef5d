"""Damaged and hostile files: cases and candidates with bytes, headers and metadata changed.

    python -m parity_tests.damage 10000

judges so many of them and prints every error that is no VGG7Error.
"""

import io
import json
import struct
import sys
import tempfile
import traceback
import zipfile
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.parity import check
from numpy_vgg7.parity.candidate import read_candidate
from numpy_vgg7.parity.case import definition_trace, random_case, random_model
from numpy_vgg7.parity.case_file import KEY, CaseFile, find_case, read_case, write_case
from numpy_vgg7.parity.html import as_html
from numpy_vgg7.parity.report import as_table, check_json, summary
from numpy_vgg7.parity.second import second_case

CONFIG = VGG7Config(image_size=8, classes=3, channels=(3, 4, 3, 4), hidden=(4, 5))
# Anything in place of a number, a list or a name in JSON.
JUNK = (None, True, -1, 0, 1.5, 1e308, 10**30, 10**9, "", "x", "[b]", "\ud800", [], [1], {}, {"a": 1}, [[[]]])
DEEP = "[" * 5000
NAMES = ("[/]", "\x1b[2J", "second/", "reference/", "a" * 9999, "second/second/loss")
DTYPES = ("F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "XX", 3)


def originals(folder: Path) -> dict[str, bytes]:
    """An undamaged case, and an undamaged candidate in each format."""
    case = random_case(random_model(CONFIG, 0), 5, 0)
    second = second_case(case, 0)
    inner = CaseFile(second, definition_trace(second))
    write_case(folder / "case.safetensors", case, definition_trace(case), inner, 0)
    mine = definition_trace(case) | {f"second/{name}": a for name, a in inner.reference.items()}
    arrays = {name: np.array(array, order="C") for name, array in mine.items()}
    npz, pt = io.BytesIO(), io.BytesIO()
    np.savez(npz, **arrays)
    torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, pt)
    return {
        "case.safetensors": (folder / "case.safetensors").read_bytes(),
        "mine.safetensors": safetensors.numpy.save(arrays),
        "mine32.safetensors": safetensors.numpy.save({n: a.astype("float32") for n, a in arrays.items()}),
        "mine.npz": npz.getvalue(),
        "mine.pt": pt.getvalue(),
    }


def flipped(content: bytes, rng: np.random.Generator) -> bytes:
    """One to eight bytes changed, half of the time near the beginning or the end."""
    data = bytearray(content)
    span = len(data) if rng.random() < 0.5 else min(4000, len(data))
    for place in rng.integers(span, size=rng.integers(1, 9)):
        data[place if rng.random() < 0.7 else -1 - place] = rng.integers(256)
    return bytes(data)


def cut(content: bytes, rng: np.random.Generator) -> bytes:
    """The end missing, or bytes inserted or repeated."""
    place = int(rng.integers(len(content)))
    kind = rng.integers(3)
    return content[:place] + (b"", rng.bytes(9) + content[place:], content)[kind]


def another_header(content: bytes, rng: np.random.Generator) -> bytes:
    """A safetensors header with shapes, dtypes, offsets, names or metadata changed."""
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    for _ in range(rng.integers(1, 3)):
        _change(header, rng)
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content[8 + size :]


def _change(header: dict[str, object], rng: np.random.Generator) -> None:
    junk = JUNK[rng.integers(len(JUNK))]
    names = [name for name in header if name != "__metadata__"]
    name = names[rng.integers(len(names))]
    entry = header[name]
    if header.get("__metadata__", {KEY: DEEP})[KEY] != DEEP and rng.random() < 0.5:
        record = json.loads(header["__metadata__"][KEY])
        place, keys = record, list(record)
        while True:
            key = keys[rng.integers(len(keys))]
            if isinstance(place[key], (dict, list)) and place[key] and rng.random() < 0.8:
                place = place[key]
                keys = list(place) if isinstance(place, dict) else list(range(len(place)))
                continue
            place[key] = junk
            break
        header["__metadata__"][KEY] = json.dumps(record) if rng.random() < 0.9 else DEEP
    elif rng.random() < 0.3:
        header[NAMES[rng.integers(len(NAMES))]] = header.pop(name)
    elif isinstance(entry, dict) and rng.random() < 0.8:
        shape = entry.get("shape")
        if isinstance(shape, list) and len(shape) > 1 and rng.random() < 0.5:  # the same size
            entry["shape"] = [int(np.prod(shape)), *[1] * int(rng.integers(40))]
        else:
            key = list(entry)[rng.integers(len(entry))]
            entry[key] = DTYPES[rng.integers(len(DTYPES))] if key == "dtype" else junk
    else:
        header[name] = junk


def other_values(content: bytes, rng: np.random.Generator) -> bytes:
    """Whole files with NaN, infinities, huge and tiny numbers, other dtypes and shapes, missing tensors."""
    with np.errstate(all="ignore"):
        return _other_values(content, rng)


def _other_values(content: bytes, rng: np.random.Generator) -> bytes:
    arrays = safetensors.numpy.load(content)
    (size,) = struct.unpack("<Q", content[:8])
    metadata = json.loads(content[8 : 8 + size]).get("__metadata__")
    for name in rng.choice(list(arrays), int(rng.integers(1, 9)), replace=False):
        array = arrays[name]
        kind = rng.integers(9)
        value = (np.nan, np.inf, 1e308, -1e308, 5e-324, 0.0)[rng.integers(6)]
        if kind < 3 and array.dtype.kind == "f" and array.size:
            array = array.copy()
            array.flat[rng.integers(array.size)] = np.float64(value).astype(array.dtype)
            arrays[name] = array if kind else np.full_like(array, array.dtype.type(value))
        elif kind == 3:
            arrays[name] = array.astype(("f2", "f4", "f8", "i4", "u1", "?")[rng.integers(6)])
        elif kind == 4:
            arrays[name] = array.reshape(array.shape[::-1])
        elif kind == 5:
            arrays[name] = array[..., None]
        elif kind == 6:
            arrays[name] = array[:0] if array.ndim else array
        elif kind == 7:
            del arrays[name]
        else:
            arrays[name] = np.ascontiguousarray(array.T)
    return safetensors.numpy.save(arrays, metadata)


def other_npz(content: bytes, rng: np.random.Generator) -> bytes:
    """An npz file with an npy header that claims something else, or a member that is none."""
    archive, changed = zipfile.ZipFile(io.BytesIO(content)), io.BytesIO()
    with zipfile.ZipFile(changed, "w") as out:
        victim = rng.integers(len(archive.namelist()))
        for index, name in enumerate(archive.namelist()):
            data = archive.read(name)
            if index == victim:
                old = data[10 : data.index(b"\n")]
                header = (
                    b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }",
                    b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }",
                    b"{'descr': '<U3', 'fortran_order': True, 'shape': (2, 1), }",
                    b"{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (), }",
                    b"{'descr': '<c16', 'fortran_order': False, 'shape': (-1, 2), }",
                    b"(" * 60,
                    rng.bytes(50),
                )[rng.integers(7)]
                data = data.replace(old, header.ljust(len(old))[: len(old)], 1)
                name = (name, "x", "[/].npy", "\u00e9.npy")[rng.integers(4)]
            out.writestr(name, data)
    return changed.getvalue()


KINDS: dict[str, tuple[Callable[[bytes, np.random.Generator], bytes], ...]] = {
    "case.safetensors": (flipped, cut, another_header, another_header, other_values),
    "mine.safetensors": (flipped, cut, another_header, other_values),
    "mine32.safetensors": (flipped, another_header, other_values),
    "mine.npz": (flipped, cut, other_npz),
    "mine.pt": (flipped, cut),
}


def judge(folder: Path, name: str) -> str:
    """What a damaged file leads to: "refused", "passed" or "failed". Every report must be printable."""
    file = folder / "mine.safetensors" if name.startswith("case") else folder / name
    with suppress(VGG7Error):
        find_case(file)
    try:
        candidate = read_candidate(file)
        report = check(read_case(folder / "case.safetensors"), candidate)
    except VGG7Error as error:
        return "refused" if "\n" not in str(error) else "SEVERAL LINES"
    json.dumps(check_json(report), allow_nan=False)
    as_html(report).encode()
    for line in summary(report):
        line.encode()
    from rich.console import Console

    Console(file=io.StringIO(), markup=False).print(as_table(report))
    return "passed" if report.passed else "failed"


def run(count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """The outcomes by kind of damage, and everything else that was raised."""
    outcomes: Counter[str] = Counter()
    raised = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        whole = originals(folder)
        for name, content in whole.items():
            (folder / name).write_bytes(content)
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            name = list(KINDS)[rng.integers(len(KINDS))]
            damage = KINDS[name][rng.integers(len(KINDS[name]))]
            (folder / name).write_bytes(damage(whole[name], rng))
            try:
                outcome = judge(folder, name)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                outcome = "RAISED"
                raised.append(f"{number} {name} {damage.__name__}: {traceback.format_exc()}")
            outcomes[f"{name} {damage.__name__}: {outcome}"] += 1
            (folder / name).write_bytes(whole[name])
    return outcomes, raised


if __name__ == "__main__":
    found, problems = run(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    for kind, times in sorted(found.items()):
        print(f"{times:6} {kind}")
    print("\n".join(problems[:5]))
    print(f"{len(problems)} of {sys.argv[1]} raised something else than VGG7Error")
    sys.exit(bool(problems))
