"""Files of less than 1 MB, of every format, that unpack as far as they may, and what reading one takes.

`python -m tests.largest_files all` prints a JSON object for each: the size of the file, what became of it,
and the memory of the process in megabytes, before and at its highest.
"""

import gzip
import json
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.data import Encoding, load
from numpy_vgg7.data.idx import read_idx
from numpy_vgg7.parity.candidate import read_candidate, read_names
from numpy_vgg7.pictures.decode import read_grey
from numpy_vgg7.pictures.read import read_images
from numpy_vgg7.reading import NUMBERS, PIXELS, WIDEST, most_bytes
from numpy_vgg7.weights import import_weights
from numpy_vgg7.weights import load as load_weights
from numpy_vgg7.weights.probe import read_probe
from numpy_vgg7.weights.record import KEY, describe
from scripts.fuzz_memory import measured
from tests.commands import python

SIZE = 999_000  # bytes
READ = "read"
NUMBERS_MOST = most_bytes(SIZE, NUMBERS) // WIDEST - 4000
Make = Callable[[Path], object]
Case = tuple[str, Make, Callable[[Path], Any]]


def filled(path: Path) -> None:
    """Bring a file to SIZE with bytes that are read but mean nothing."""
    content = path.read_bytes()
    assert len(content) <= SIZE, f"{len(content):,} bytes"
    path.write_bytes(content + bytes(SIZE - len(content)))


def arrays(path: Path, **found: Any) -> None:
    """A compressed npz file of SIZE, with an array of noise beside the others."""
    noise = np.random.default_rng(0)
    stream = BytesIO()
    np.savez_compressed(stream, **found)
    left = SIZE - len(stream.getvalue()) - 1000
    assert left > 0, left
    np.savez_compressed(path, **found, noise=noise.integers(0, 256, left, np.uint8))


def images(dtype: str, second: str = "labels") -> Make:
    """As many images of 4x4 pixels as an npz file may have, and their labels, or logits."""

    def make(path: Path) -> None:
        count = (NUMBERS_MOST - SIZE) // 17
        pixels = np.zeros((count, 4, 4), dtype)
        pixels[0, 0, 0] = 1
        others = (np.arange(count) < 9).astype(np.uint8)
        arrays(path, **{"images": pixels, second: others if second == "labels" else others[:, None]})

    return make


def one_hot(path: Path) -> None:
    rows = (NUMBERS_MOST - SIZE) // 1020
    hot = np.zeros((rows, 1000), np.uint8)
    hot[:, 0] = 1
    hot[:2, 0] = 0, 1
    hot[0, 1] = 1
    arrays(path, images=np.eye(4, dtype=np.uint8)[None].repeat(rows, 0), labels=hot)


def named(kind: str) -> Make:
    def make(path: Path) -> None:
        count = most_bytes(SIZE, NUMBERS) // (16 * WIDEST + np.dtype(kind).itemsize + 9)
        words = np.array(["1", "0"]).astype(kind)
        arrays(path, images=np.ones((count, 4, 4), np.uint8), labels=words[np.arange(count) % 2])

    return make


def idx(path: Path) -> None:
    count = NUMBERS_MOST // 784
    head = bytes([0, 0, 8, 3]) + struct.pack(">3I", count, 28, 28)
    path.write_bytes(gzip.compress(head + bytes(count * 784)))
    filled(path)  # zeros at the end are left out


def idx_folder(path: Path) -> None:
    """Training images that unpack as far as they may, beside few for the test."""
    path.mkdir()
    for part, count in (("train", NUMBERS_MOST // 784), ("t10k", 10)):
        head = bytes([0, 0, 8, 3]) + struct.pack(">3I", count, 28, 28)
        packed = gzip.compress(head + b"\1" + bytes(count * 784 - 1))
        (path / f"{part}-images-idx3-ubyte.gz").write_bytes(packed)
        filled(path / f"{part}-images-idx3-ubyte.gz")
        own = bytes([0, 0, 8, 1]) + struct.pack(">I", count) + bytes(range(10)) * (count // 10 + 1)
        (path / f"{part}-labels-idx1-ubyte").write_bytes(own[: 8 + count])


def csv(path: Path) -> None:
    path.write_text("label,a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\n" + "".join(["1" + ",0" * 16 + "\n"] * 29000))


def long_rows(path: Path) -> None:
    path.write_text("label,a\n" + "1,0\n" * 249_000)


def pt(path: Path, *extra: tuple[str, bytes]) -> None:
    """Compressed zeros, of which a small tensor is used."""
    import torch

    stream = BytesIO()
    torch.save({"conv1.weight": torch.zeros(4_400_000)}, stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
        new.writestr("archive/noise", np.random.default_rng(0).bytes(SIZE - 30_000), zipfile.ZIP_STORED)


def lists(path: Path) -> None:
    path.write_bytes(b"\x80\x02(" + b"]\x94" * (SIZE // 2 - 10) + b"l.")


def packed_lists(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\x80\x02(" + b"]" * 16_700_000 + b"l.")


def links(path: Path) -> None:
    """One array under many names."""
    import h5py

    with h5py.File(path, "w") as file:
        kept = file.create_dataset("layers/conv2d/vars/0", data=np.zeros(100_000, np.float32))
        for number in range(2000):
            file[f"layers/conv2d/vars/{number + 1}"] = kept


def packed_links(path: Path) -> None:
    import h5py

    stream = BytesIO()
    with h5py.File(stream, "w") as file:
        file.create_dataset("layers/conv2d/vars/0", data=np.zeros(8_000_000, np.float16))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", stream.getvalue())
        archive.writestr("noise", np.random.default_rng(0).bytes(SIZE - 30_000), zipfile.ZIP_STORED)


def onnx(path: Path) -> None:
    from onnx import GraphProto, ModelProto

    graph = GraphProto.FromString(b"\x0a\x00" * (SIZE // 2 - 100))
    path.write_bytes(ModelProto(graph=graph).SerializeToString())


def probe(path: Path) -> None:
    """Weights of a network whose layers are as large as a probe may make them."""
    from safetensors.numpy import save

    config = VGG7Config(image_size=400, channels=(1, 1, 1, 1), hidden=(1, 1))
    params = {
        name: np.ones(shape, np.float32) * 0.1
        for layer in config.layers()
        for name, shape in ((f"{layer.name}.{key}", shape) for key, shape in layer.shapes().items())
    }
    path.write_bytes(save(params, {KEY: describe(config, params)}))


def png(mode: str, bits: int, kind: int, share: float = 1.0) -> Make:
    """Pixels of one colour, in a file that is long enough for as many as it may have."""

    def make(path: Path) -> None:
        from numpy_vgg7.pictures.decode import MODES

        side = min(int((share * most_bytes(SIZE, PIXELS) / MODES[mode]) ** 0.5) - 8, 7070)
        row = b"\0" + bytes(-(-side * bits // 8))
        chunks = {b"IHDR": struct.pack(">IIBBBBB", side, side, min(bits, 8), kind, 0, 0, 0)}
        if mode == "P":
            chunks |= {b"PLTE": bytes(768), b"tRNS": b"\0"}
        if mode == "I;16":
            chunks[b"IHDR"] = struct.pack(">IIBBBBB", side, side, 16, kind, 0, 0, 0)
        ink = bytearray(row * side)
        ink[side // 2 * len(row) + len(row) // 2] = 255
        chunks |= {b"IDAT": zlib.compress(bytes(ink), 9), b"teSt": b"", b"IEND": b""}
        used = sum(12 + len(data) for data in chunks.values()) + 8
        assert used <= SIZE, used
        chunks[b"teSt"] = bytes(SIZE - used)
        content = b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in chunks.items()
        )
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)

    return make


def picture(kind: str, side: int, mode: str, **options: Any) -> Make:
    def make(path: Path) -> None:
        Image.MAX_IMAGE_PIXELS = None
        image = Image.new(mode, (side, side))
        image.paste(
            1 if mode == "1" else 255 if mode == "L" else 60000 if mode == "I;16" else "white",
            (side // 3, side // 3, side // 2, side // 2),
        )
        stream = BytesIO()
        image.save(stream, kind, **options)
        path.write_bytes(stream.getvalue())
        filled(path)

    return make


def text(make: Callable[[int], str]) -> Make:
    return lambda path: path.write_text(make(SIZE))


def _predicted(path: Path) -> Any:
    return read_images(path, 28)


def _cases() -> Iterator[Case]:
    odd = Encoding(mean=0.5, std=0.5, invert=True)
    for dtype in ("uint8", "float16", "float32", "float64", "bool"):
        yield f"images {dtype}.npz", images(dtype), lambda path: load(str(path))
    yield "images normalised.npz", images("uint8"), lambda path: load(str(path), encoding=odd)
    yield "images normalised float64.npz", images("float64"), lambda path: load(str(path), encoding=odd)
    yield "one-hot.npz", one_hot, lambda path: load(str(path))
    for kind in ("S60", "U60", "S1"):
        yield f"labels {kind}.npz", named(kind), lambda path: load(str(path))
    for dtype in ("uint8", "float64"):
        yield f"probe {dtype}.npz", images(dtype, "logits"), read_probe
    yield "weights.npz", images("float16"), import_weights
    yield "mine.npz", images("float16"), read_candidate
    yield "idx.gz", idx, lambda path: read_idx(path, 3)
    yield "idx folder", idx_folder, lambda path: load("mnist", data_dir=path)
    yield "rows.csv", csv, lambda path: load(str(path))
    yield "long.csv", long_rows, lambda path: load(str(path))
    yield "packed.pt", pt, import_weights
    yield "lists.pkl", lists, import_weights
    yield "lists.pt", packed_lists, import_weights
    yield "links.weights.h5", links, import_weights
    yield "packed.keras", packed_links, import_weights
    yield "empty.onnx", onnx, import_weights
    yield "probe.safetensors", probe, load_weights
    for mode, bits, kind in (
        ("L", 8, 0),
        ("1", 1, 0),
        ("P", 8, 3),
        ("RGB", 24, 2),
        ("RGBA", 32, 6),
        ("I;16", 16, 0),
    ):
        yield f"{mode}.png", png(mode, bits, kind), _predicted
    yield "grey L.png", png("L", 8, 0, 0.05), read_grey
    yield "RGB.jpg", picture("JPEG", 7000, "RGB", quality=1), _predicted
    yield "progressive.jpg", picture("JPEG", 6400, "RGB", quality=1, progressive=True), _predicted
    yield "RGB.webp", picture("WEBP", 3990, "RGB", lossless=True), _predicted
    yield "G4.tiff", picture("TIFF", 6400, "1", compression="group4"), _predicted
    yield "deflated.tiff", picture("TIFF", 4000, "RGB", compression="tiff_adobe_deflate"), _predicted
    yield "names.toml", text(lambda size: "a = 'x'\n" + "b" * 1000 + " = 'y'\n"), read_names


CASES = {name: (make, read) for name, make, read in _cases()}
# What the tests read, and words of what becomes of it.
SHORT = {
    "images uint8.npz": READ, "idx.gz": READ, "long.csv": "square", "lists.pkl": "state_dict",
    "empty.onnx": "4096", "RGBA.png": READ, "I;16.png": READ, "RGB.jpg": READ, "RGB.webp": READ,
    "probe.safetensors": READ,
}  # fmt: skip
FAR = {"links.weights.h5": "does not fit", "lists.pt": "a pickle of 16,700,005 bytes"}


def measure(name: str, path: Path) -> dict[str, Any]:
    """The size of a file, what reading it in this process leads to, and the memory that this takes."""
    size = max(part.stat().st_size for part in ([path] if path.is_file() else path.iterdir()))
    before, highest, _ = measured()
    try:
        CASES[name][1](path)
        outcome = READ
    except VGG7Error as error:
        outcome = str(error)
    return {"file": size, "outcome": outcome, "before": before // 10**6, "peak": highest() // 10**6}


def in_new_process(name: str, folder: Path) -> dict[str, Any]:
    """`measure` in a process that did not make the file, which would have taken memory for it."""
    path = folder / name
    CASES[name][0](path)
    done = python("-m", "tests.largest_files", name, path)
    assert done.code == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def main(name: str, *path: str) -> None:
    """Print what one file takes, or what `all` take."""
    if path:
        print(json.dumps(measure(name, Path(*path))))
        return
    for case in CASES if name == "all" else [name]:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps({"name": case} | in_new_process(case, Path(folder))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
