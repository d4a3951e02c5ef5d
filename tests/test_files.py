"""Files are written atomically."""

import os
import stat

import pytest

from numpy_vgg7 import VGG7Error
from numpy_vgg7.files import write_text


@pytest.mark.parametrize("step", ["os.fsync", "os.replace", "os.chmod"])
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
