"""Damaged and hostile weights files cause typed errors only, in bounded time and memory."""

import io
import pickle
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.parity.case import random_model
from numpy_vgg7.weights import import_weights
from scripts.fuzz import fuzz
from tests.commands import python


@pytest.fixture(scope="module")
def model():
    return random_model(VGG7Config(image_size=8, channels=(2, 2, 4, 4), hidden=(6, 6)), 3, "float32")


def state(model):
    return {name: torch.tensor(parameter) for name, parameter in model.params.items()}


def test_mutated_files_of_all_formats_are_imported_or_refused_in_bounded_time_and_memory():
    result = fuzz(360, 1)
    assert result["untyped"] == []
    assert result["changed"] == [], "numbers that a checksum covers were read otherwise"
    assert result["passed"], result
    assert result["refused"] > 100  # else the mutations change nothing


def test_dictionaries_that_contain_each_other_many_times_are_read_once(tmp_path):
    tree = {"x": 1}
    for _ in range(6):
        tree = dict.fromkeys(map(str, range(200)), tree)
    torch.save(tree, tmp_path / "w.pt")
    with pytest.raises(VGG7Error, match="state_dict"):
        import_weights(tmp_path / "w.pt")  # 200**6 visits would not end


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


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("old", [False, True], ids=["zip", "legacy"])
def test_no_code_in_a_pickle_is_executed(model, tmp_path, old):
    content = {**state(model), "trap": Trap(tmp_path / "sprung")}
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=not old)
    import_weights(tmp_path / "w.pt")
    (tmp_path / "x.pt").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(VGG7Error, match="state_dict"):
        import_weights(tmp_path / "x.pt")
    assert not (tmp_path / "sprung").exists()


def test_a_tensor_that_claims_more_than_its_storage_is_refused(tmp_path):
    torch.save({"conv1.weight": torch.ones(1).expand(1900, 1000, 1000)}, tmp_path / "w.pt")
    assert (tmp_path / "w.pt").stat().st_size < 6000
    with pytest.raises(VGG7Error, match=r"\(1900, 1000, 1000\) in a storage of 1 numbers"):
        import_weights(tmp_path / "w.pt")


def test_tensors_that_share_a_storage_cannot_claim_more_than_the_file(tmp_path):
    one = torch.ones(2_000_000, dtype=torch.float32)
    torch.save({f"a{n}.weight": one for n in range(40)}, tmp_path / "w.pt")
    with pytest.raises(VGG7Error, match="claim 320,000,000 bytes"):
        import_weights(tmp_path / "w.pt")


def test_a_wrong_checksum_in_a_pt_file_is_refused(model, tmp_path):
    torch.save(state(model), tmp_path / "w.pt")
    content = bytearray((tmp_path / "w.pt").read_bytes())
    place = content.index(model.params["fc6.weight"].tobytes())
    content[place + 2] ^= 1
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(VGG7Error, match="CRC"):
        import_weights(tmp_path / "w.pt")


def test_an_archive_that_claims_more_than_it_contains_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("conv1.weight.npy", bytes(300_000_000))
    with pytest.raises(VGG7Error, match="claim 300,000,000 bytes"):
        import_weights(tmp_path / "w.npz")


def test_an_array_header_that_claims_more_than_its_entry_is_refused(tmp_path):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": (10**12,)})
    with zipfile.ZipFile(tmp_path / "w.npz", "w") as archive:
        archive.writestr("conv1.weight.npy", stream.getvalue() + bytes(8))
    with pytest.raises(VGG7Error, match="do not fit its"):
        import_weights(tmp_path / "w.npz")


def test_a_byte_array_in_a_pickle_that_claims_more_than_the_file_takes_no_memory(tmp_path):
    (tmp_path / "w.pkl").write_bytes(b"\x80\x05\x96" + (10**10).to_bytes(8, "little") + b"x.")
    tracemalloc.start()
    with pytest.raises(VGG7Error, match="state_dict"):
        import_weights(tmp_path / "w.pkl")
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


# Children that export forever, in turn one model and the other, are killed one after another.
EXPORT = """
import os, signal, sys, time
from pathlib import Path
from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.weights import import_weights, save

path = Path(sys.argv[1])
models = [VGG7(VGG7Config(image_size=8), seed) for seed in (1, 2)]
contents, left = set(), 0
for model in models:
    save(path, model)
    contents.add(path.read_bytes())
for number in range(50):
    child = os.fork()
    while not child:
        for model in models:
            save(path, model)
    time.sleep(0.001 * number)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_bytes() in contents, number
    import_weights(path)
    left += len(list(path.parent.glob(".*.tmp")))  # the next writer removes it
print(left)
"""


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_50_kills_during_an_export_leave_the_old_file_or_the_new_one(tmp_path, suffix):
    done = python("-c", EXPORT, tmp_path / f"w{suffix}")
    assert done.code == 0, done.stderr
    assert int(done.stdout) > 5, "the kills came while nothing was written"
