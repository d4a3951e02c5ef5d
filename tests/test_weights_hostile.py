"""Mutated weights files cause typed errors only."""

import os
import runpy
import signal
import subprocess
import sys
import time

from numpy_vgg7 import VGG7Config
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import import_weights
from tests.commands import ROOT


def test_mutated_files_of_all_formats_are_imported_or_refused_in_bounded_time_and_memory():
    result = runpy.run_path(str(ROOT / "scripts" / "fuzz_weights.py"))["fuzz"](360, 1)
    assert result["untyped"] == []
    assert result["passed"], result
    assert result["refused"] > 100  # else the mutations change nothing


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
