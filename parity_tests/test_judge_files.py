"""What `check` reads: cases, candidates in every format, maps of names, and damaged files."""

import json
import re

import numpy as np
import pytest
import safetensors.numpy
import torch

from numpy_vgg7 import VGG7Error, network
from numpy_vgg7.inputs import InputWarning
from numpy_vgg7.parity import check
from numpy_vgg7.parity.candidate import read_names, suggestion
from numpy_vgg7.parity.case_file import read_case, write_case
from parity_tests import damage
from parity_tests.judge_cases import candidate, case_file
from tests.commands import ROOT, numpy_vgg7

README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def file():
    return case_file()


@pytest.fixture(scope="module")
def right(file):
    return candidate(file)


def test_a_case_comes_back_from_its_file(file, right, tmp_path):
    path = tmp_path / "case.safetensors"
    write_case(path, file.case, file.reference, file.second, 7)
    back = read_case(path)
    assert back.seed == 7
    assert list(back.reference) == list(file.reference)
    assert list(back.second.reference) == list(network.trace_names(file.case.model.layers))
    assert check(path, right).passed


def test_a_case_of_an_earlier_version_is_read(file, right, tmp_path):
    path = tmp_path / "case.safetensors"
    write_case(path, file.case, file.reference)
    header, metadata = safetensors.numpy.load_file(path), {}
    with safetensors.safe_open(path, framework="numpy") as opened:
        metadata = json.loads(opened.metadata()["numpy_vgg7_case"])
    del metadata["seed"], metadata["sha256"]
    safetensors.numpy.save_file(header, path, {"numpy_vgg7_case": json.dumps(metadata)})
    with pytest.warns(InputWarning, match="without a checksum"):
        assert read_case(path).second is None
    with pytest.warns(InputWarning, match="without a checksum"):
        assert check(path, {n: t for n, t in right.items() if not n.startswith("second/")}).passed


def test_a_changed_bit_of_a_case_is_found_before_it_blames_a_candidate(file, tmp_path):
    path = tmp_path / "case.safetensors"
    write_case(path, file.case, file.reference)
    content = bytearray(path.read_bytes())
    for place in (-1, -5000, content.index(b"momentum") + 14):
        damaged = content.copy()
        damaged[place] ^= 1
        path.write_bytes(damaged)
        with pytest.raises(VGG7Error, match="write it again with `parity case`"):
            read_case(path)


NAMES = {
    "d_act3": "act3.grad", "dact3": "act3.grad", "act3_grad": "act3.grad", "act3.gard": "act3.grad",
    "relu3.grad": "act3.grad", "grad_conv1_w": "conv1.weight.grad", "conv1.dW": "conv1.weight.grad",
    "Logits": "logits", "second/act3grad": "second/act3.grad", "qqqq": None,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_name_is_recognised(right, name):
    assert suggestion(name, right) == NAMES[name]


def test_the_report_asks_for_the_name_that_was_meant(file, right):
    mine = {("d_act3" if name == "act3.grad" else name): array for name, array in right.items()}
    failed = {t.name: t.note for t in check(file, mine).comparison.tensors if not t.passed}
    assert failed.keys() == {"act3.grad", "d_act3"}
    assert "did you mean act3.grad?" in failed["d_act3"]


def test_a_map_of_names_holds_for_both_batches(file, right, tmp_path):
    theirs = {"act3.grad": "d_act3", "conv1": "layer.one"}
    mine = {}
    for name, array in right.items():
        prefix = "second/" if name.startswith("second/") else ""
        short = name.removeprefix(prefix)
        mine[prefix + theirs.get(short, short)] = array
    path = tmp_path / "map.toml"
    path.write_text('d_act3 = "act3.grad"\nlayer.one = "conv1"\n')
    assert read_names(path) == {"d_act3": "act3.grad", "layer.one": "conv1"}
    assert check(file, mine, names=path).passed
    for text in ('d_act3 = "act3.gard"', 'd_akt3 = "act3.grad"', "x = 3", "x = ["):
        path.write_text(text)
        with pytest.raises(VGG7Error, match=r"did you mean|in quotes|TOML"):
            check(file, mine, names=path)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt"])
def test_candidates_are_read_in_every_format(file, right, tmp_path, suffix):
    write_case(tmp_path / "case.safetensors", file.case, file.reference, file.second, 0)
    path = tmp_path / f"mine{suffix}"
    contiguous = {name: np.array(array, order="C") for name, array in right.items()}
    if suffix == ".npz":
        np.savez(path, **contiguous)
    elif suffix == ".pt":
        torch.save({name: torch.from_numpy(array) for name, array in contiguous.items()}, path)
    else:
        safetensors.numpy.save_file(contiguous, path)
    done = numpy_vgg7("parity", "check", path, "--case", tmp_path / "case.safetensors")
    assert done.code == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout
    assert "conv1.weight.grad" not in done.stdout
    whole = numpy_vgg7("parity", "check", path, "--case", tmp_path / "case.safetensors", "--all")
    assert "conv1.weight.grad" in whole.stdout


def test_damaged_and_hostile_files_are_refused_or_judged_and_nothing_else_is_raised():
    outcomes, raised = damage.run(200, seed=0)
    assert not raised, raised[0]
    assert {kind.rpartition(": ")[2] for kind in outcomes} == {"refused", "failed", "passed"}


def test_the_undamaged_files_pass(tmp_path):
    for name, content in damage.originals(tmp_path).items():
        (tmp_path / name).write_bytes(content)
    assert [damage.judge(tmp_path, name) for name in damage.KINDS] == ["passed"] * len(damage.KINDS)


def test_the_example_of_the_readme_runs(file, right, tmp_path, monkeypatch):
    (example,) = re.findall(r"```python\n(from numpy_vgg7.parity import check\n.*?)```", README, re.DOTALL)
    write_case(tmp_path / "case.safetensors", file.case, file.reference, file.second)
    monkeypatch.chdir(tmp_path)
    exec(example, {"tensors": right})
    with pytest.raises(AssertionError, match="fc6 backward"):
        exec(example, {"tensors": right | {"fc6.bias.grad": -right["fc6.bias.grad"]}})
