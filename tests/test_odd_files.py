"""Files that are not what a command reads, and places that it cannot write to: each is one line."""

import errno
import os

import pytest

from tests.odd import LINUX, furnish, require, run, run_in_child, without_privileges, words_of

pytestmark = LINUX  # pipes, links and devices; a test of the border runs everywhere

# Commands that read a file, and what is said of each kind of file that `furnish` makes.
READERS = (
    "evaluate {}.safetensors",
    "inspect {}.npz",
    "inspect {}.onnx",
    "predict {}.pt p.png",
    "predict w.safetensors {}.png",
    "predict w.safetensors {}.npy",
    "export {}.keras o.npz",
    "import {}.pkl o.safetensors",
    "import w.safetensors o.safetensors --config {}.json",
    "import w.safetensors o.safetensors --check {}.npz",
    "evaluate w.safetensors --data {}.npz",
    "evaluate w.safetensors --data {}.csv",
    "evaluate w.safetensors --data i.npy,{}.npy",
    "train --data d.npz --test-data {}.npz",
    "train --config {}.json",
    "parity run {}.safetensors",
    "parity case o.safetensors --weights {}.weights.h5",
    "parity check {}.npz --case w.safetensors",
    "parity check d.npz --case {}.safetensors",
    "parity prove --tests {}.py",
)
KINDS = {
    "missing": "found nothing there",
    "folder": "found a folder",
    "empty": "found an empty file",
    "words": "expected a complete",
    "pipe": "found a pipe",
    "loop": "found too many levels of symbolic links; check the symbolic links",
    "nowhere": "found a link to nothing",
    "device": "found a device",
    "w.safetensors/inside": "found not a directory",
}
# Two kinds of Python files are executed, which takes seconds: another test does so.
FILES = [
    (reader, kind)
    for reader in READERS
    for kind in KINDS
    if not (reader.startswith("parity prove") and kind in ("empty", "words"))
]
# Commands that read a folder that other commands made.
FOLDER_READERS = ("train --resume {}", "report {}", "exercise check {}")
FOLDER_KINDS = {
    "missing": "nothing there",
    "folder.csv": "found nothing there",
    "words.csv": "found not a directory",
    "pipe.csv": "found not a directory",
    "loop.csv": "found too many levels of symbolic links",
    "nowhere.csv": "found nothing there",
    "w.safetensors/inside": "found not",
}
FOLDERS = [(reader, kind) for reader in FOLDER_READERS for kind in FOLDER_KINDS][:-1]
WRITERS = (
    "export w.safetensors {}.npz",
    "export w.safetensors {}.onnx",
    "export w.safetensors o.npz --probe {}.npz",
    "import w.safetensors {}.safetensors",
    "predict w.safetensors p.png --show {}.png",
)
PLACES = {
    "gone/o": "found no such file or directory; create its folder first",
    "w.safetensors/o": "found not a directory; choose another path",
    "x" * 300: "found file name too long; choose a shorter name",
    "folder": "found is a directory; choose another path",
    "/proc/o": "found no such file or directory",
}
# What the system says while a file is written, and the remedy.
REASONS = {
    errno.ENOSPC: "no space left on device; make room there, or choose another place",
    errno.EDQUOT: "quota exceeded; make room in your quota",
    errno.EFBIG: "file too large; raise the limit on the size of files (ulimit -f)",
    errno.EACCES: "permission denied; check the permissions",
    errno.EROFS: "read-only file system; choose a place that is not read-only",
    errno.EMFILE: "too many open files; raise the limit on open files (ulimit -n)",
    errno.EIO: "input/output error; choose another path",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("odd")
    furnish(path)
    return path


@pytest.mark.parametrize(("reader", "kind"), FILES)
def test_a_file_of_another_kind_is_one_line(folder, monkeypatch, capsys, reader, kind):
    monkeypatch.chdir(folder)
    require(run(words_of(reader.format(kind)), monkeypatch, capsys), 3, KINDS[kind])


@pytest.mark.parametrize(("reader", "kind"), FOLDERS)
def test_what_is_no_folder_of_the_command_is_one_line(folder, monkeypatch, capsys, reader, kind):
    monkeypatch.chdir(folder)
    require(run(words_of(reader.format(kind)), monkeypatch, capsys), 3, FOLDER_KINDS[kind])


@pytest.mark.parametrize("reader", READERS)
def test_a_file_that_may_not_be_read_is_bad_input(folder, reader):
    def prepare():
        os.chdir(folder)
        without_privileges()

    done = run_in_child(words_of(reader.format("locked")), prepare)
    require(done, 3, "permission denied; check the permissions, or choose another place")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place[:20])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_place_that_cannot_be_written_to_is_one_line(folder, monkeypatch, capsys, writer, place):
    monkeypatch.chdir(folder)
    require(run(words_of(writer.format(place)), monkeypatch, capsys), 3, PLACES[place])


@pytest.mark.parametrize("writer", WRITERS)
def test_a_folder_that_may_not_be_written_to_is_one_line(folder, tmp_path, writer):
    def prepare():
        os.chdir(folder)
        tmp_path.chmod(0o555)
        without_privileges()

    done = run_in_child(words_of(writer.format(tmp_path / "o")), prepare)
    require(done, 3, "permission denied; check the permissions, or choose another place")


@pytest.mark.parametrize("reason", REASONS, ids=errno.errorcode.get)
def test_the_remedy_is_that_of_the_reason(folder, monkeypatch, capsys, reason):
    def refuse(*_):
        raise OSError(reason, os.strerror(reason))

    monkeypatch.chdir(folder)
    monkeypatch.setattr("os.fsync", refuse)
    done = run(["export", "w.safetensors", "refused.npz"], monkeypatch, capsys)
    require(done, 3, REASONS[reason])
    assert "Errno" not in done.stderr
    assert not os.path.exists("refused.npz")


@pytest.mark.parametrize("kind", ["loop", "nowhere", "pipe"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_link_or_a_pipe_is_replaced_by_the_file(folder, monkeypatch, capsys, writer, kind):
    monkeypatch.chdir(folder)
    suffix = writer.rpartition("{}")[2]
    name = f"{kind}-{len(writer)}"
    os.link(f"{kind}{suffix}", f"{name}{suffix}", follow_symlinks=False)
    require(run(words_of(writer.format(name)), monkeypatch, capsys), 0, "")
    assert os.path.isfile(f"{name}{suffix}")
