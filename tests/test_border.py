"""One place opens and parses files, one place prints: what comes from outside reaches neither past it."""

import ast
import io
import json
import os
import socket
import stat
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from PIL import Image

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error, limits
from numpy_vgg7.cli.console import Screen
from numpy_vgg7.config import CONFIG_FILE
from numpy_vgg7.data import load
from numpy_vgg7.data.idx import read_idx
from numpy_vgg7.engine import executor
from numpy_vgg7.errors import LONGEST, DataError
from numpy_vgg7.parity.case_file import KEY, find_case, read_case
from numpy_vgg7.pictures.read import read_images
from numpy_vgg7.reading import LONGEST_TEXT, NUMBERS, WIDEST, FileKind, border, most_bytes, read_npy, read_npz
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.run_folder import RunConfig, create_folder, read_config
from numpy_vgg7.weights import import_weights, save
from tests.commands import ROOT

KIND = FileKind("text")

# What opens or parses files, and the modules that may call it. Parsers of contents that were read by the
# border stand beside the module that has them.
OPENERS = {
    "open", "read_bytes", "read_text", "load", "loadtxt", "genfromtxt", "fromfile", "memmap", "ZipFile",
    "GzipFile", "safe_open", "File", "fdopen", "read_array", "load_file", "open_memmap", "mmap", "NpzFile",
    "load_model", "read_csv", "unpickle", "Unpickler",
}  # fmt: skip
ALLOWED = {
    "reading/border.py": {"open", "fdopen"},
    "reading/zips.py": {"ZipFile", "open"},  # ZipFile.open, of bytes
    "data/idx.py": {"GzipFile"},  # of a file that the border opened
    "data/csv_file.py": {"loadtxt"},
    "pictures/decode.py": {"open"},  # Image.open, of bytes
    "weights/keras_files.py": {"File"},  # h5py.File, of bytes
    "weights/pytorch.py": {"load"},  # of our own reader of pickles
    "limits.py": {"read_text"},  # of the system
    "engine/memory.py": {"mmap"},  # of no file
    "bench/processor.py": {"read_text"},
    "bench/children.py": {"read_text"},
    "exercise/write.py": {"read_text"},  # of the package
    "locks.py": {"open"},  # reads nothing
    "temporary.py": {"open"},  # for writing
    "cli/console.py": {"open", "fdopen"},  # of /dev/null
}
OURS = {"VGG7.load", "child.load", "model.load"}  # names of functions of this package that are called "load"


def calls(path):
    """Line, full name and last name of what is called, or imported from other packages."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield node.lineno, name, name.rpartition(".")[2]
        if isinstance(node, ast.ImportFrom) and not f"{node.module}".startswith("numpy_vgg7"):
            for alias in node.names:
                yield node.lineno, f"{node.module}.{alias.name}", alias.name


@pytest.mark.parametrize("path", sorted((ROOT / "numpy_vgg7").rglob("*.py")), ids=str)
def test_nothing_but_the_border_opens_files(path):
    module = str(path.relative_to(ROOT / "numpy_vgg7"))
    if "template" in module:
        return
    for line, name, last in calls(path):
        ours = name in OURS or (last == "load" and "." not in name)
        if last in OPENERS and not ours:
            allowed = last in ALLOWED.get(module, set())
            assert allowed, f"{path}:{line}: {name}(...) reads a file past numpy_vgg7.reading"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "numpy_vgg7" / "cli").glob("*.py")), ids=lambda path: path.name
)
def test_the_command_line_prints_by_its_console_only(path):
    if path.name == "console.py":
        return
    for line, name, _ in calls(path):
        assert name not in ("print", "Console", "sys.stdout.write"), f"{path}:{line}: {name} escapes nothing"


def no_files(folder, suffix):
    """What is not a regular file, and what is said of it."""
    names = ("pipe", "folder", "link", "loop", "socket", "device", "nothing", "x" * 5000, "x\0y")
    paths = [folder / f"{name}{suffix}" for name in names]
    os.mkfifo(paths[0])
    paths[1].mkdir()
    paths[2].symlink_to(folder / "gone")
    paths[3].symlink_to(paths[3])
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.path.relpath(paths[4]))
    listening.close()
    paths[5].symlink_to("/dev/zero")
    words = (
        "a pipe", "a folder", "a link to nothing", "too many levels", "a socket", "a device", "nothing there",
        "file name too long", "null",
    )  # fmt: skip
    return [*zip(paths, words, strict=True), (Path(__file__) / f"x{suffix}", "not a directory")]


READERS = {
    "weights": import_weights, "npz": read_npz, "npy": read_npy, "IDX": lambda p: read_idx(p, 3),
    "picture": lambda p: read_images(p, 8), "config.json": lambda p: read_config(p, "correct it"),
    "network": CONFIG_FILE.read, "case": read_case,
}  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="pipes, sockets and devices of POSIX")
@pytest.mark.parametrize("reader", READERS)
def test_what_is_no_regular_file_is_one_line_at_once(tmp_path, monkeypatch, reader):
    monkeypatch.chdir(tmp_path)
    suffix = ".safetensors" if reader in ("weights", "case") else ""
    for path, words in no_files(tmp_path, suffix):
        with pytest.raises(VGG7Error, match=words):
            READERS[reader](path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_pipe_that_takes_the_place_of_a_file_while_it_is_opened_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    path.touch()
    before = os.stat(path)
    path.unlink()
    os.mkfifo(path)
    monkeypatch.setattr(border.os, "stat", lambda path: before)
    with pytest.raises(DataError, match="a pipe"):
        read_npy(path)


def test_a_pipe_beside_a_candidate_does_not_hang_the_search_for_the_case(tmp_path):
    os.mkfifo(tmp_path / "a.safetensors")
    with pytest.raises(VGG7Error, match="one case file in the same folder"):
        find_case(tmp_path / "mine.npz")


def test_a_file_that_may_not_be_read_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"x")

    def locked(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.open", locked)
    with pytest.raises(VGG7Error, match="permission denied"):
        KIND.read(tmp_path / "x")


def test_a_file_longer_than_the_memory_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "x.npy").open("wb") as file:
        file.truncate(2**43)  # takes no space
    with pytest.raises(VGG7Error, match="memory available"):
        read_npy(tmp_path / "x.npy")


def test_a_configuration_that_is_too_long_is_refused_before_it_is_parsed(tmp_path):
    path = tmp_path / "config.json"
    path.write_text("{}" + " " * LONGEST_TEXT)
    with pytest.raises(VGG7Error, match="of at most 1,048,576 bytes, found 1,048,578"):
        CONFIG_FILE.read(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_an_archive_with_two_arrays_of_one_name_is_refused(tmp_path):
    path, content = tmp_path / "twice.npz", io.BytesIO()
    np.save(content, np.zeros(3))
    with zipfile.ZipFile(path, "w") as archive:
        for _ in range(2):
            archive.writestr("images.npy", content.getvalue())
    with pytest.raises(VGG7Error, match="2 entries"):
        read_npz(path)


def test_an_archive_larger_than_the_memory_is_refused_before_it_is_expanded(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", a=np.zeros(10**6), b=np.zeros(10**6))
    monkeypatch.setattr(limits, "available_memory", lambda: 10**7)
    with pytest.raises(DataError, match=r"found 16 MB needed; use a machine with more memory"):
        read_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compressed_images_in_black_and_white_are_no_bomb(tmp_path, dtype):
    ink = np.random.default_rng(0).random((600, 28, 28)) < 0.01
    np.savez_compressed(tmp_path / "x.npz", images=ink.astype(dtype))
    assert (read_npz(tmp_path / "x.npz")["images"] == ink).all()
    times = {np.float32: 62.8, np.float64: 98}[dtype]  # as long as its file is all of MNIST
    times *= WIDEST / np.dtype(dtype).itemsize
    assert most_bytes(10**7, NUMBERS) >= times * 10**7, "all of MNIST would be refused"


def test_a_compressed_array_of_bytes_is_counted_as_what_it_becomes(tmp_path):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros(3_000_000, np.uint8))
    with pytest.raises(DataError, match=r"compressed from at most 16,\d+,\d+ bytes, found 24,000,000"):
        read_npz(tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", x=np.zeros(3_000_000, np.uint8))
    assert not read_npz(tmp_path / "x.npz")["x"].any()


def test_what_is_wrong_in_a_file_is_named_once_and_not_a_message_in_a_message(tmp_path):
    create_folder(RunConfig("vgg7", "digits", "float32", VGG7Config(), TrainingConfig()), tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace('"epochs": 60', '"epochs": 0'))
    case = tmp_path / "case.safetensors"
    safetensors.numpy.save_file({"input": np.zeros(1)}, case, {KEY: '{"config": {}}'})
    readers = {config: lambda path: read_config(path, "train again"), case: read_case}
    for path, words in ((config, "epochs: expected a whole number >= 1, found 0"), (case, "metadata")):
        with pytest.raises(VGG7Error) as caught:
            readers[path](path)
        line = str(caught.value)
        assert line.startswith(f"{path}: {words}")
        assert line.count("expected") == line.count("; ") == 1, line


def test_a_file_that_does_not_fit_the_memory_is_not_called_damaged(tmp_path):
    with pytest.raises(DataError, match=r"fits the memory.*more memory"), KIND.parsing(Path("x")):
        raise MemoryError("Unable to allocate 9 GB")


@pytest.mark.parametrize("error", [KeyError, RecursionError, AttributeError, OverflowError, LookupError])
def test_whatever_a_library_raises_becomes_the_error_of_the_file(error):
    with pytest.raises(DataError, match="complete text"), KIND.parsing(Path("x")):
        raise error("boom")


DTYPES = {
    "objects": np.array([{}], dtype=object),
    "structures": np.zeros(3, [("a", "f4")]),
    "raw bytes": np.zeros(3, "V4"),
    "dates": np.zeros(3, "M8[s]"),
    "complex numbers": np.zeros(3, complex),
}


@pytest.mark.parametrize("kind", DTYPES)
def test_arrays_of_other_than_plain_numbers_are_refused(tmp_path, kind):
    np.save(tmp_path / "x.npy", DTYPES[kind])
    np.savez(tmp_path / "x.npz", x=DTYPES[kind])
    for read in (read_npy, read_npz):
        with pytest.raises(VGG7Error, match=r"objects|plain numbers"):
            read(tmp_path / f"x.{read.__name__[-3:]}")


def test_arrays_in_either_order_and_byte_order_are_read(tmp_path):
    for dtype in ("<f4", ">f8", ">i2", "?", "<U3", "f2"):
        array = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
        np.save(tmp_path / "x.npy", array)
        np.savez_compressed(tmp_path / "x.npz", x=array)
        assert (read_npy(tmp_path / "x.npy") == array).all()
        assert (read_npz(tmp_path / "x.npz")["x"] == array).all()


def test_a_damaged_pixel_of_a_png_file_is_refused(tmp_path):
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(content, "PNG")
    damaged = bytearray(content.getvalue())
    damaged[damaged.index(b"IDAT") + 12] ^= 1
    (tmp_path / "x.png").write_bytes(damaged)
    with pytest.raises(VGG7Error, match="wrong checksum"):
        read_images(tmp_path / "x.png", 8)


def test_a_long_label_in_a_csv_file_takes_no_memory_in_every_row(tmp_path):
    (tmp_path / "x.csv").write_text("\n".join(["label,a,b", "x" * 100_000 + ",1,2", *["1,2,3"] * 5000]))
    with pytest.raises(VGG7Error, match="at most 64 characters"):
        load(str(tmp_path / "x.csv"))


def test_a_tiny_file_of_a_network_with_huge_images_is_refused_before_its_probe(tmp_path):
    wide = VGG7Config(image_size=580, channels=(2000,) * 3 + (1,), groups=(1, 2000, 2000, 1), hidden=(1, 1))
    with pytest.raises(VGG7Error, match="GB for two images"):
        save(tmp_path / "x.safetensors", VGG7(wide))


@pytest.mark.parametrize("key", ["dtype", "encoding", "limit", "model", "recipe", "data"])
@pytest.mark.parametrize("value", [None, 3.5, [], {"a": 1}, "x\0", 10**30])
def test_a_config_with_a_wrong_field_is_one_line(tmp_path, key, value):
    path = tmp_path / "config.json"
    record = {"preset": "vgg7", "data": "digits", "dtype": "float32", "recipe": {}, "encoding": {}}
    record["model"] = json.loads(VGG7Config().to_json())
    path.write_text(json.dumps(record))
    read_config(path, "correct it")
    path.write_text(json.dumps(record | {key: value}))
    if (key, value) in (("limit", None), ("limit", 10**30)):
        read_config(path, "correct it")
        return
    with pytest.raises(VGG7Error, match=r"config\.json"):
        read_config(path, "correct it")


HOSTILE = "[/b] [red]x[/] :smile: \x1b[2J\x07 \u202egnp.exe \udce9 a\rb \x00 \u2028 \u200b"


def test_messages_are_one_short_line_without_what_a_terminal_acts_on():
    class Silent:
        def __str__(self):
            raise OSError

    for error in (
        VGG7Error(HOSTILE, HOSTILE, HOSTILE, HOSTILE),
        VGG7Error("x" * 9999, "y" * 9999, "z" * 9999, "fix" * 999),
        VGG7Error("x", "y", Silent(), "z"),
    ):
        assert str(error).isprintable(), ascii(str(error))
        assert len(str(error)) <= LONGEST, str(error)
        str(error).encode()
    assert r"\x1b[2J" in str(VGG7Error(HOSTILE, "a", "b", "c"))
    assert str(VGG7Error("x" * 9999, "a", "b", "c")).endswith("x: expected a, found b; c")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1252", "latin-1"])
def test_names_are_printed_as_they_are_in_any_encoding(monkeypatch, encoding):
    from rich.table import Table

    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    screen = Screen()
    table = Table(title=HOSTILE)
    table.add_column("é[/b]")
    table.add_row(HOSTILE)
    screen.print(table)
    screen.print(HOSTILE, "é" * 300)
    stream.seek(0)
    text = stream.read()
    assert "[red]x[/]" in text, "markup in a name was interpreted"
    assert ":smile:" in text
    assert not set(text) & set("\x1b\x07\u202e\x00\u2028\u200b"), ascii(text)
    assert text.rstrip("\n").rpartition("\n")[2].count(".exe") == 1, "a long line was broken"


def test_memory_that_is_not_there_is_refused_in_words(monkeypatch):
    monkeypatch.setattr(limits, "available_memory", lambda: 10**9)
    with pytest.raises(VGG7Error, match=r"1.0 GB of memory available, found 2 TB needed"):
        VGG7(VGG7Config(channels=(100_000,) * 4))
    with pytest.raises(VGG7Error, match="from 1 to 256"):
        VGG7(VGG7Config(image_size=8), threads=100_000)
    model = VGG7(VGG7Config(image_size=512, hidden=(4, 4)))
    monkeypatch.setattr(executor, "available_memory", lambda: 10**7)
    with pytest.raises(
        VGG7Error, match=r"batch of 1 512x512 image: expected at most the 10 MB .* found \d+ MB"
    ):
        model.predict(np.zeros((1, 512, 512)))


def test_the_memory_that_there_is_has_a_size():
    assert limits.available_memory() > 10**6
    assert [limits.size(n) for n in (0, 999, 1500, 2 * 10**9, 10**16)] == [
        "0 bytes", "999 bytes", "1.5 kB", "2.0 GB", "10,000 TB",
    ]  # fmt: skip


def test_the_border_opens_no_file_that_others_may_change_meanwhile(tmp_path):
    (tmp_path / "x").write_bytes(b"content")
    with KIND.opened(tmp_path / "x") as file:
        assert stat.S_ISREG(os.fstat(file.fileno()).st_mode)
        assert file.read() == b"content"


# The files of a control group in both versions, and the line of the process that names it.
CONTAINERS = {
    "version 2": ("0::/own", "own", {"max": 2000, "current": 1900}, "anon 100\nfile 1700"),
    "version 2, as the root": ("0::/own", "", {"max": 2000, "current": 1900}, "anon 100\nfile 1700"),
    "version 1": (
        "9:cpu:/own\n4:hugetlb,memory:/own\n0::/",
        "memory/own",
        {"limit_in_bytes": 2000, "usage_in_bytes": 1900},
        "cache 1\ntotal_cache 1700",
    ),
    "no limit": ("0::/own", "own", {"max": "max", "current": 1900}, "file 1700"),
}


@pytest.mark.parametrize("kind", CONTAINERS)
def test_cached_files_of_a_container_are_memory_that_there_is(kind, tmp_path, monkeypatch):
    lines, folder, figures, stat_text = CONTAINERS[kind]
    monkeypatch.setattr(limits, "GROUPS", tmp_path)
    monkeypatch.setattr(limits, "OWN_GROUPS", tmp_path / "cgroup")
    (tmp_path / "cgroup").write_text(lines + "\n")
    (tmp_path / folder).mkdir(parents=True, exist_ok=True)
    for name, text in (figures | {"stat": stat_text}).items():
        (tmp_path / folder / f"memory.{name}").write_text(f"{text}\n")
    assert limits._container() == (sys.maxsize if kind == "no limit" else 1800)


def test_a_system_that_does_not_tell_its_memory_refuses_nothing(monkeypatch):
    def unknown():
        raise LookupError("MemAvailable")

    for source in ("_physical", "_free", "_container", "_process"):
        monkeypatch.setattr(limits, source, unknown)
    assert limits.available_memory() == sys.maxsize
