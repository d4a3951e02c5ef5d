"""Files are written atomically."""

import os
import signal
import stat
import threading
from pathlib import Path

import pytest

from numpy_vgg7 import VGG7Error
from numpy_vgg7.files import write_text
from numpy_vgg7.temporary import new_folder
from tests.commands import python

needs_locks = pytest.mark.skipif(os.name == "nt", reason="Windows does not delete files that are open")


@pytest.mark.parametrize("step", ["os.write", "os.fsync", "os.replace"])
def test_a_full_disk_leaves_the_old_content_and_no_temporary_file(tmp_path, monkeypatch, step):
    path = tmp_path / "x.txt"
    write_text(path, "old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(step, fail)
    with pytest.raises(VGG7Error, match="no space left"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_the_new_content_is_synced_before_the_file_is_renamed(tmp_path, monkeypatch):
    calls = []
    fsync, rename = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda number: (calls.append("sync"), fsync(number)))
    monkeypatch.setattr("os.replace", lambda a, b: (calls.append("rename"), rename(a, b)))
    write_text(tmp_path / "x.txt", "new")
    assert calls == ["sync", "rename"]
    assert (tmp_path / "x.txt").read_text() == "new"


def test_a_file_gets_the_permissions_of_the_umask(tmp_path):
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "x.txt", "new")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x.txt").stat().st_mode) == 0o640


def test_a_symbolic_link_stays_and_the_file_that_it_names_is_replaced(tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (there / "x.txt").write_text("old")
    link, missing = here / "link.txt", here / "missing.txt"
    link.symlink_to(Path("..") / "there" / "x.txt")
    missing.symlink_to(there / "y.txt")
    renamed = []
    rename = os.replace
    monkeypatch.setattr("os.replace", lambda a, b: (renamed.append((a, b)), rename(a, b)))
    for path in (link, missing):
        write_text(path, "new")
        assert path.is_symlink()
        assert path.read_text() == "new"
    assert all(temporary.parent == target.parent == there for temporary, target in renamed), renamed
    assert sorted(os.listdir(there)) == ["x.txt", "y.txt"]
    assert sorted(os.listdir(here)) == ["link.txt", "missing.txt"]


def test_the_umask_is_left_alone_while_a_file_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr("os.umask", lambda mask: pytest.fail("files of other threads get these rights"))
    write_text(tmp_path / "x.txt", "new")


KILLED = """
import os, signal, sys
from pathlib import Path
from numpy_vgg7.files import write_text
from numpy_vgg7.temporary import new_folder
path = Path(sys.argv[1])
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
if path.suffix:
    write_text(path, "new")
with new_folder(path) as folder:
    write_text(folder / "x.txt", "new")
"""


def left(folder):
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


@needs_locks
def test_the_temporary_file_of_a_killed_process_is_removed_when_the_file_is_written(tmp_path):
    path = tmp_path / "x.txt"
    for _ in range(2):
        assert python("-c", KILLED, path).code == -signal.SIGKILL
        assert len(left(tmp_path)) == 1, "temporary files pile up"
    write_text(tmp_path / "other.txt", "")
    assert len(left(tmp_path)) == 1
    write_text(path, "new")
    assert not left(tmp_path)


@needs_locks
def test_the_temporary_folder_of_a_killed_process_is_removed_when_the_folder_is_made(tmp_path):
    for _ in range(2):
        assert python("-c", KILLED, tmp_path / "run").code == -signal.SIGKILL
        assert len(left(tmp_path)) == 1, "temporary folders pile up"
    with new_folder(tmp_path / "run"):
        pass
    assert os.listdir(tmp_path) == ["run"]


@needs_locks
def test_the_temporary_file_of_a_living_writer_is_not_removed(tmp_path, monkeypatch):
    path, writing, written = tmp_path / "x.txt", threading.Event(), threading.Event()
    fsync = os.fsync

    def wait(number):
        if threading.current_thread() is not threading.main_thread():
            writing.set()
            written.wait(20)
        fsync(number)

    monkeypatch.setattr("os.fsync", wait)
    slow = threading.Thread(target=write_text, args=(path, "slow"))
    slow.start()
    assert writing.wait(20)
    write_text(path, "fast")
    assert len(left(tmp_path)) == 1
    written.set()
    slow.join()
    assert path.read_text() == "slow"
    assert not left(tmp_path)


def no_locks(*_):
    raise PermissionError(1, "Operation not permitted")


@needs_locks
def test_a_file_system_that_permits_no_locks_is_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr("fcntl.flock", no_locks)
    write_text(tmp_path / "x.txt", "new")
    with new_folder(tmp_path / "run"):
        pass
    assert sorted(os.listdir(tmp_path)) == ["run", "x.txt"]


@needs_locks
def test_a_temporary_file_that_is_always_locked_is_an_error_that_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("numpy_vgg7.temporary.lock", lambda number: False)
    with pytest.raises(VGG7Error, match="another process locked"):
        write_text(tmp_path / "x.txt", "new")
    with pytest.raises(OSError, match="another process locked"), new_folder(tmp_path / "run"):
        pass
    assert not os.listdir(tmp_path)


def test_a_folder_is_not_seen_before_it_is_complete_and_removed_after_an_error(tmp_path):
    path = tmp_path / "run"

    def fail():
        with new_folder(path) as folder:
            write_text(folder / "x.txt", "")
            assert not path.exists()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not os.listdir(tmp_path)
    path.mkdir()
    with pytest.raises(FileExistsError), new_folder(path):
        pass
    assert os.listdir(tmp_path) == ["run"]
