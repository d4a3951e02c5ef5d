"""Mutate weights files of all formats and import them: typed errors only, no hang, bounded memory.

    .venv/bin/python scripts/fuzz_weights.py [--files 10000] [--seed 0]

Prints one JSON object: how many files were imported and refused, the slowest, the peak of the memory that an
import allocated in Python, and the growth of the process. Exits with 1 if an error was not typed, an import
took longer than 10 s, or one of the two is more than twice the largest valid file and 80 MB.
"""

import argparse
import io
import json
import pickle
import resource
import sys
import tempfile
import time
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from keras_ref import write_keras
from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import Origin, import_weights, save
from numpy_vgg7.weights.formats import WRITERS
from numpy_vgg7.weights.onnx.export import onnx_model
from numpy_vgg7.weights.onnx.proto import encode_model
from torch_ref.weights import write_pt

LIMIT = 80e6  # `archive.SPARE`, and what reading any file takes
SLOWEST = 10.0
CONFIG = VGG7Config(image_size=8, channels=(2, 2, 4, 4), hidden=(6, 6))
# Numbers that sizes, offsets and counts are replaced with.
NUMBERS = (0, 1, 127, 255, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1)


def valid_files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """A suffix and the content of a valid file, for every format and version of it."""
    model = random_model(CONFIG, 3, "float32")
    state = {name: torch.tensor(parameter) for name, parameter in model.params.items()}
    for suffix in (".safetensors", ".npz", ".pt", ".onnx", ".keras", ".weights.h5"):
        path = folder / f"valid{suffix}"
        save(path, model, {**WRITERS, ".pt": write_pt, ".keras": write_keras, ".h5": write_keras})
        yield suffix, path.read_bytes()
    graph = onnx_model(model.config, model.params)  # without metadata, as other programs write it
    yield ".onnx", encode_model(graph)
    yield ".safetensors", safetensors.torch.save({name: t.bfloat16() for name, t in state.items()})
    stream = io.BytesIO()
    np.savez_compressed(stream, **model.params)
    yield ".npz", stream.getvalue()
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    yield ".pkl", pickle.dumps(arrays, 5)
    for content, new in (
        (state, False),
        ({"model": state, "epoch": 3}, True),
        (arrays, True),
        (arrays, False),
    ):
        stream = io.BytesIO()
        torch.save(content, stream, _use_new_zipfile_serialization=new)
        yield ".pt", stream.getvalue()


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
    """An integer replaced, in any width."""
    width = int(rng.choice([1, 2, 4, 8]))
    number = NUMBERS[rng.integers(len(NUMBERS))] % (1 << (8 * width))
    place = int(rng.integers(max(1, len(content) - width)))
    content[place : place + width] = number.to_bytes(width, "little")
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


def repacked(rng: np.random.Generator, content: bytearray) -> bytes:
    """An entry of a zip archive mutated, and the archive written anew with correct sizes and checksums."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except zipfile.BadZipFile:
        return flipped(rng, content)
    pickles = [name for name in entries if name.endswith("data.pkl")]
    name = pickles[0] if pickles and rng.random() < 0.8 else list(entries)[rng.integers(len(entries))]
    if entries[name]:
        entries[name] = MUTATIONS[rng.integers(len(MUTATIONS) - 1)](rng, bytearray(entries[name]))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for key, value in entries.items():
            archive.writestr(key, value)
    return stream.getvalue()


MUTATIONS: tuple[Callable[[np.random.Generator, bytearray], bytes], ...] = (
    flipped, truncated, renumbered, spliced, digits_changed, repacked,
)  # fmt: skip


def fuzz(files: int, seed: int) -> dict[str, object]:
    """Import `files` mutated files; the result is JSON."""
    rng = np.random.default_rng(seed)
    outcomes = Counter[str]()
    untyped: list[str] = []
    slowest, peak, resident = 0.0, 0, _resident_peak()
    with tempfile.TemporaryDirectory() as name:
        valid = list(valid_files(Path(name)))
        tracemalloc.start()
        for number in range(files):
            suffix, content = valid[number % len(valid)]
            mutate = MUTATIONS[rng.integers(len(MUTATIONS))]
            path = Path(name) / f"mutated{suffix}"
            path.write_bytes(mutate(rng, bytearray(content)))
            tracemalloc.reset_peak()
            before, start = tracemalloc.get_traced_memory()[0], time.perf_counter()
            try:
                import_weights(path, Origin(layout="keras") if suffix == ".weights.h5" else None)
                outcomes["imported"] += 1
            except VGG7Error:
                outcomes["refused"] += 1
            except Exception as error:  # this is what is looked for
                untyped.append(f"{number}, {mutate.__name__} {suffix}: {error!r}")
            slowest = max(slowest, time.perf_counter() - start)
            peak = max(peak, tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()
    largest = max(len(content) for _, content in valid)
    grown = _resident_peak() - resident
    return {
        "files": files,
        "imported": outcomes["imported"],
        "refused": outcomes["refused"],
        "untyped": untyped,
        "slowest_s": round(slowest, 3),
        "peak_bytes": peak,
        "resident_growth_bytes": grown,
        "largest_valid_bytes": largest,
        "passed": not untyped and slowest < SLOWEST and max(peak, grown) < 2 * largest + LIMIT,
    }


def _resident_peak() -> int:
    """The largest memory of this process so far, in bytes, with what libraries in other languages take."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = fuzz(options.files, options.seed)
    print(json.dumps(found))
    sys.exit(not found["passed"])
