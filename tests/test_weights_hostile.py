"""Mutated weights files cause typed errors only."""

import os
import runpy
import signal
import subprocess
import sys
import time
import tracemalloc
import zipfile

import pytest
import torch

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import import_weights
from tests.commands import ROOT


def test_mutated_files_of_all_formats_are_imported_or_refused_in_bounded_time_and_memory():
    result = runpy.run_path(str(ROOT / "scripts" / "fuzz_weights.py"))["fuzz"](360, 1)
    assert result["untyped"] == []
    assert result["passed"], result
    assert result["refused"] > 100  # else the mutations change nothing


def test_dictionaries_that_contain_each_other_many_times_are_read_once(tmp_path):
    tree = {"x": 1}
    for _ in range(6):
        tree = dict.fromkeys(map(str, range(200)), tree)
    torch.save(tree, tmp_path / "w.pt")
    start = time.perf_counter()
    with pytest.raises(VGG7Error, match="state_dict"):
        import_weights(tmp_path / "w.pt")
    assert time.perf_counter() - start < 5


def test_a_text_that_is_encoded_many_times_takes_no_more_memory_than_the_file(tmp_path):
    text = b"X" + (10**6).to_bytes(4, "little") + b"a" * 10**6
    encode = b"c_codecs\nencode\n" + b"h\x00X\x06\x00\x00\x00latin1\x86R"
    (tmp_path / "w.pt").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as archive:
        archive.writestr("w/data.pkl", b"\x80\x02" + text + b"q\x00](" + encode * 300 + b"e.")
    tracemalloc.start()
    with pytest.raises(VGG7Error, match="more bytes than it contains"):
        import_weights(tmp_path / "w.pt")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


def test_an_archive_with_another_compression_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("conv1.weight.npy", bytes(1000))
    with pytest.raises(VGG7Error, match="compression"):
        import_weights(tmp_path / "w.npz")


def test_a_kill_during_an_export_leaves_the_old_file_or_the_new_one(tmp_path):
    config = VGG7Config(image_size=8)
    models = [random_model(config, seed, "float32") for seed in (1, 2)]
    path = tmp_path / "w.npz"
    models[0].save(path)
    old = path.read_bytes()
    models[1].save(path)
    new = path.read_bytes()
    code = (
        "import sys; from pathlib import Path; from numpy_vgg7.files import write_bytes\n"
        "a, b, path = (Path(name) for name in sys.argv[1:])\n"
        "contents = [a.read_bytes(), b.read_bytes()]\n"
        "print(flush=True)\n"
        "while True:\n    [write_bytes(path, content) for content in contents]"
    )
    (tmp_path / "a").write_bytes(old)
    (tmp_path / "b").write_bytes(new)
    for number in range(10):
        words = [sys.executable, "-c", code, tmp_path / "a", tmp_path / "b", path]
        with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE) as child:
            child.stdout.readline()
            time.sleep(0.003 * number)
            os.kill(child.pid, signal.SIGKILL)
        assert path.read_bytes() in (old, new)
        import_weights(path)
