"""The formats that `fuzz.py` mutates: a valid file of each, and how this package reads it."""

import gzip
import json
import pickle
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from keras_ref import write_keras
from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.config import CONFIG_FILE
from numpy_vgg7.data import load as load_data
from numpy_vgg7.data.idx import read_idx
from numpy_vgg7.inputs import InputWarning
from numpy_vgg7.parity.candidate import read_names
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.parity.case_file import read_case
from numpy_vgg7.pictures.decode import read_grey
from numpy_vgg7.pictures.read import read_images
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.loop import Epoch, start
from numpy_vgg7.training.run_folder import CHECKPOINT, RunConfig, RunFolder, read_config
from numpy_vgg7.weights import Origin, import_weights, load, save
from numpy_vgg7.weights.formats import WRITERS
from numpy_vgg7.weights.onnx.export import onnx_model
from numpy_vgg7.weights.onnx.proto import encode_model
from numpy_vgg7.weights.probe import read_probe, write_probe
from parity_tests import damage
from torch_ref.weights import write_pt

CONFIG = VGG7Config(image_size=8, channels=(2, 2, 4, 4), hidden=(6, 6))
Reader = Callable[[Path], Any]


class Format(NamedTuple):
    """A valid file, its reader, and what that gives. With a `checksum`, nothing else may be accepted."""

    name: str
    path: Path
    content: bytes
    read: Reader
    checksum: bool = False
    value: Any = None


def formats_in(folder: Path) -> list[Format]:
    """All formats, with their valid files in `folder`."""
    found = []
    for make in (_weights, _data, _pictures, _settings, _cases):
        below = folder / make.__name__.strip("_")
        below.mkdir()
        for format_ in make(below):
            format_.path.write_bytes(format_.content)
            found.append(format_._replace(value=format_.read(format_.path)) if format_.checksum else format_)
    return found


def same(found: Any, expected: Any) -> bool:
    """Whether two dictionaries of arrays, or two arrays, are equal bit by bit."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[n], expected[n]) for n in expected)
    return found.dtype == expected.dtype and found.shape == expected.shape and (found == expected).all()


def _silent(line: str) -> None:
    """A note that nobody reads."""
    assert isinstance(line, str), InputWarning


def _params(path: Path) -> Any:
    return load(path).params


def _imported(path: Path) -> Any:
    return import_weights(path, Origin(layout="keras") if path.suffix == ".h5" else None).model.params


def _weights(folder: Path) -> Iterator[Format]:
    model = random_model(CONFIG, 3, "float32")
    writers = {**WRITERS, ".pt": write_pt, ".keras": write_keras, ".h5": write_keras}
    for suffix in (".safetensors", ".npz", ".pt", ".onnx", ".keras", ".weights.h5"):
        path = folder / f"ours{suffix}"
        save(path, model, writers)
        content = path.read_bytes()
        if suffix in WRITERS:
            yield Format(f"weights{suffix}, load", path, content, _params, checksum=True)
        yield Format(f"weights{suffix}", path, content, _imported, checksum=suffix == ".pt")
    state = {name: torch.tensor(parameter) for name, parameter in model.params.items()}
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    halves = safetensors.torch.save({name: tensor.bfloat16() for name, tensor in state.items()})
    compressed = BytesIO()
    np.savez_compressed(compressed, **model.params)
    graph = encode_model(onnx_model(model.config, model.params))
    yield Format("foreign.onnx", folder / "foreign.onnx", graph, _imported)
    yield Format("bfloat16.safetensors", folder / "b.safetensors", halves, _imported)
    yield Format("compressed.npz", folder / "c.npz", compressed.getvalue(), _imported)
    yield Format("arrays.pkl", folder / "a.pkl", pickle.dumps(arrays, 5), _imported)
    for name, tree, new in (
        ("old.pt", state, False),
        ("checkpoint.pt", {"model": state, "epoch": 3}, True),
        ("arrays.pt", arrays, True),
        ("old arrays.pt", arrays, False),
    ):
        stream = BytesIO()
        torch.save(tree, stream, _use_new_zipfile_serialization=new)
        yield Format(name, folder / name, stream.getvalue(), _imported)
    path = folder / "probe.npz"
    write_probe(path, model)
    yield Format("probe.npz", path, path.read_bytes(), read_probe)


def _dataset(path: Path) -> Any:
    data = load_data(str(path))
    return {"pixels": data.pixels, "labels": data.labels}


def _pair(path: Path) -> Any:
    return load_data(f"{path},{path.with_name('labels.npy')}")


def _data(folder: Path) -> Iterator[Format]:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 10
    for name, write in (("stored.npz", np.savez), ("compressed.npz", np.savez_compressed)):
        stream = BytesIO()
        write(stream, images=images, labels=labels)
        yield Format(f"data, {name}", folder / name, stream.getvalue(), _dataset, checksum=True)
    np.save(folder / "labels.npy", labels)
    np.save(folder / "images.npy", images)
    yield Format("data.npy", folder / "images.npy", (folder / "images.npy").read_bytes(), _pair)
    rows = [
        f"{label}," + ",".join(map(str, image.ravel())) for image, label in zip(images, labels, strict=True)
    ]
    header = "label," + ",".join(f"pixel{n}" for n in range(64))
    yield Format("data.csv", folder / "d.csv", "\n".join([header, *rows]).encode(), _dataset)
    idx = bytes([0, 0, 8, 3]) + np.array(images.shape, ">u4").tobytes() + images.tobytes()
    yield Format("IDX", folder / "idx", idx, lambda path: read_idx(path, 3))
    packed = gzip.compress(idx, mtime=0)
    yield Format("IDX.gz", folder / "idx.gz", packed, lambda path: read_idx(path, 3), checksum=True)


def _pictures(folder: Path) -> Iterator[Format]:
    drawn = np.zeros((40, 30), np.uint8)
    drawn[8:30, 12:16] = np.linspace(180, 250, 22)[:, None]
    for kind, mode in (
        ("PNG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("PNG", "I;16"), ("JPEG", "RGB"),
        ("WEBP", "RGB"), ("BMP", "L"), ("TIFF", "L"),
    ):  # fmt: skip
        image = Image.fromarray(drawn)
        image = Image.fromarray(drawn.astype(np.uint16) * 256) if mode == "I;16" else image.convert(mode)
        stream = BytesIO()
        image.save(stream, kind)
        path = folder / f"x.{kind.lower()}"
        yield Format(f"{kind} {mode}", path, stream.getvalue(), lambda p: read_images(p, 8))
        if kind == "PNG":
            yield Format(f"{kind} {mode}, grey", path, stream.getvalue(), read_grey, checksum=True)
    np.save(folder / "x.npy", drawn[:8, :8])
    yield Format(
        "picture.npy", folder / "x.npy", (folder / "x.npy").read_bytes(), lambda p: read_images(p, 8)
    )


def _settings(folder: Path) -> Iterator[Format]:
    run = RunConfig("vgg7", "digits", "float32", CONFIG, TrainingConfig())
    model = run.new_model()
    state = start(model, run.training)
    state.history.append(Epoch(1, *[0.5] * (len(Epoch._fields) - 1)))
    runs = RunFolder(folder / "run")
    runs.create(run)
    binding = {"data": ""}
    runs.write(model, state, binding)
    record = run.to_json().encode()
    yield Format("config.json", folder / "config.json", record, lambda p: read_config(p, "give another"))
    yield Format(
        "network.json",
        folder / "n.json",
        CONFIG.to_json().encode(),
        lambda p: VGG7Config.from_json(CONFIG_FILE.read(p)),
    )
    names = json.dumps({"mine": "conv1"}).replace(":", " =").strip("{}").encode()
    yield Format("names.toml", folder / "names.toml", names, read_names)
    path = runs.path / CHECKPOINT
    yield Format("checkpoint", path, path.read_bytes(), lambda _: runs.read_state(model, binding, _silent))


def _case(path: Path) -> Any:
    return read_case(path, _silent).reference


def _judged(path: Path) -> None:
    if damage.judge(path.parent, path.name) == "refused":
        raise VGG7Error("candidate", "something that can be judged", "something else", "see above")


def _cases(folder: Path) -> Iterator[Format]:
    contents = damage.originals(folder)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    for name, content in contents.items():
        yield Format(name, folder / name, content, _judged)
    name = "case.safetensors"
    yield Format(f"{name}, read", folder / name, contents[name], _case, checksum=True)
