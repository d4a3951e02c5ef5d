"""A run folder is used by one process at a time, and a checkpoint by its own training only."""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from numpy_vgg7 import VGG7Config, VGG7Error
from numpy_vgg7.data import Dataset, Splits
from numpy_vgg7.reading import FileKind
from numpy_vgg7.training import loop
from numpy_vgg7.training.checkpoint import BLANK
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.run_folder import CHECKPOINT, PREVIOUS, RunConfig, RunFolder, create_folder
from numpy_vgg7.weights.safetensors_file import read_safetensors, safetensors_bytes, write_safetensors
from tests.commands import numpy_vgg7

NETWORK = VGG7Config(image_size=8, classes=3, channels=(2, 2, 2, 2), hidden=(4, 4))
RUN = RunConfig("vgg7", "digits", "float32", NETWORK, TrainingConfig(epochs=4, batch_size=8, average=2))


def images(n, seed):
    rng = np.random.default_rng(seed)
    return Dataset("random", rng.random((n, 1, 8, 8), np.float32), np.arange(n) % 3)


SPLITS = Splits(images(20, 0), images(9, 1), images(9, 2))
FILES = ("last.safetensors", "best.safetensors")


def train(folder, run=RUN, splits=SPLITS, epochs=None):
    """Train as the command does, up to an epoch; return the notes on the checkpoint."""
    notes, model, binding = [], run.new_model(), run.binding(splits)
    with folder.locked():
        state = folder.read_state(model, binding, notes.append)
        for after in loop.train(model, splits, run.training, state, lambda *batch: None):
            folder.write(model, after, binding)
            if len(after.history) == epochs:
                break
    return notes


def new(path, **words):
    folder = create_folder(words.get("run", RUN), path)
    train(folder, **words)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of the weights after an uninterrupted training."""
    folder = new(tmp_path_factory.mktemp("whole") / "run")
    return {name: (folder.path / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    """A training after two of four epochs."""
    return new(tmp_path_factory.mktemp("half") / "run", epochs=2)


@pytest.fixture
def copy(half, tmp_path):
    """A copy of `half`."""
    return RunFolder(shutil.copytree(half.path, tmp_path / "copy"))


def weights(folder):
    return {name: (folder.path / name).read_bytes() for name in FILES}


# Checkpoints.


def test_a_flipped_bit_anywhere_in_the_checkpoint_is_found(half, tmp_path):
    model, binding, path = RUN.new_model(), RUN.binding(SPLITS), half.path / CHECKPOINT
    shutil.copytree(half.path, tmp_path / "run")
    (tmp_path / "run" / PREVIOUS).unlink()
    content, damaged = path.read_bytes(), RunFolder(tmp_path / "run")
    rng = np.random.default_rng(0)
    for bit in rng.choice(8 * len(content), size=300, replace=False):
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        (damaged.path / CHECKPOINT).write_bytes(changed)
        with pytest.raises(VGG7Error, match=r"state\.safetensors"):
            damaged.read_state(model, binding)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_this_is_said(copy, whole):
    content = bytearray((copy.path / CHECKPOINT).read_bytes())
    content[-1] ^= 1
    (copy.path / CHECKPOINT).write_bytes(content)
    (note,) = train(copy)
    assert "SHA-256" in note
    assert "continuing from the checkpoint before it" in note
    assert weights(copy) == whole


CHANGES = {
    "seed": {"run": replace(RUN, training=replace(RUN.training, seed=1))},
    "epochs": {"run": replace(RUN, training=replace(RUN.training, epochs=9))},
    "hidden": {"run": replace(RUN, model=replace(NETWORK, hidden=(4, 5)))},
    "dtype": {"run": replace(RUN, dtype="float64")},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_checkpoint_of_other_settings_is_refused_by_their_name(copy, name):
    with pytest.raises(VGG7Error, match=rf"state\.safetensors: {name}: expected"):
        train(copy, **CHANGES[name])


@pytest.mark.parametrize("part", ["train", "validation"])
@pytest.mark.parametrize("field", ["pixels", "labels"])
def test_a_checkpoint_is_refused_if_the_data_have_changed(copy, part, field):
    data = getattr(SPLITS, part)
    changed = getattr(data, field).copy()
    changed.flat[5] = 0 if changed.flat[5] else 1
    splits = SPLITS._replace(**{part: replace(data, **{field: changed})})
    with pytest.raises(VGG7Error, match="data: expected the images and labels of its training"):
        train(copy, splits=splits)


def test_a_changed_test_set_is_said_when_a_training_is_resumed(copy, whole):
    (note,) = train(copy, splits=SPLITS._replace(test=images(9, 3)))
    assert "the test set has changed" in note
    assert weights(copy) == whole


def rebind(folder, change):
    """Write the checkpoint again as if it were bound to something else; return what `change` returns."""
    path = folder.path / CHECKPOINT
    tensors, metadata = read_safetensors(path)
    record = json.loads(metadata)
    found = change(record["binding"])
    content = safetensors_bytes(tensors, json.dumps(record | {"sha256": BLANK})).decode("latin-1")
    digest = hashlib.sha256(content.encode("latin-1")).hexdigest()
    path.write_bytes(content.replace(BLANK, digest, 1).encode("latin-1"))
    return found


def test_a_checkpoint_without_a_hash_of_its_data_is_refused(copy):
    (copy.path / PREVIOUS).unlink()
    rebind(copy, lambda binding: binding.pop("data"))
    with pytest.raises(VGG7Error, match="no hash of its data"):
        train(copy)


def test_settings_that_a_checkpoint_lacks_or_that_are_unknown_are_named(copy, whole):
    rebind(copy, lambda binding: binding.update(future=1, later=binding.pop("seed")))
    notes = train(copy)
    for name, words in {"future": "unknown", "later": "unknown", "seed": "not in the checkpoint"}.items():
        assert any(f"{name}: {words}" in note for note in notes), notes
    assert len(notes) == 3
    assert weights(copy) == whole


def test_a_checkpoint_that_is_replaced_while_it_is_read_is_verified_as_it_was_read(copy, monkeypatch):
    read, reads = FileKind.read, []
    monkeypatch.setattr(FileKind, "read", lambda kind, path: (reads.append(path.name), read(kind, path))[1])
    with copy.locked():
        copy.read_state(RUN.new_model(), RUN.binding(SPLITS))
    assert reads == ["state.safetensors"], "what is verified may be other bytes than what is used"


def test_a_checkpoint_of_another_training_gives_way_to_the_right_one_before(copy, tmp_path, whole):
    other = new(tmp_path / "other", epochs=2, **CHANGES["seed"])
    shutil.copy(other.path / CHECKPOINT, copy.path / CHECKPOINT)
    (note,) = train(copy)
    assert "seed: expected 0" in note
    assert weights(copy) == whole


def test_a_checkpoint_from_before_there_were_checksums_is_used_and_this_is_said(copy, whole):
    tensors, metadata = read_safetensors(copy.path / CHECKPOINT)
    old = json.dumps(json.loads(metadata)["history"])
    write_safetensors(copy.path / CHECKPOINT, tensors, old)
    (note,) = train(copy)
    assert "cannot verify" in note
    assert weights(copy) == whole


@pytest.mark.parametrize("epochs", [1, 2])
def test_results_without_a_checkpoint_are_not_overwritten(tmp_path, epochs):
    folder = new(tmp_path / "run", epochs=epochs)
    if epochs == 1:
        (folder.path / "report.html").touch()
    shutil.rmtree((folder.path / CHECKPOINT).parent)
    before = weights(folder)
    with pytest.raises(VGG7Error, match=rf"found none, but results \(epochs: {epochs}\)"):
        train(folder)
    assert weights(folder) == before


def test_a_training_that_was_interrupted_before_its_first_checkpoint_begins_anew_and_this_is_said(
    tmp_path, whole
):
    folder = new(tmp_path / "run", epochs=1)
    (folder.path / CHECKPOINT).unlink()
    (note,) = train(folder)
    assert "no checkpoint: starting at epoch 1" in note
    assert weights(folder) == whole


def test_a_missing_env_json_is_written_when_the_training_is_resumed(copy):
    content = (copy.path / "env.json").read_bytes()
    (copy.path / "env.json").unlink()
    train(copy)
    assert (copy.path / "env.json").read_bytes() == content


# Two processes.


def test_a_second_process_on_a_run_folder_is_refused_while_the_first_lives(copy):
    with copy.locked():
        second = numpy_vgg7("train", "--resume", copy.path)
    assert second.code == 3
    (line,) = second.stderr.splitlines()
    assert "another process trains" in line


def test_a_folder_cannot_be_locked_twice(copy):
    with copy.locked(), pytest.raises(VGG7Error, match="another process"), copy.locked():
        pass
    with copy.locked():
        pass


@pytest.mark.skipif(os.name == "nt", reason="locks of POSIX")
def test_a_training_on_a_file_system_without_locks_goes_on_and_this_is_said(copy, monkeypatch):
    def no_locks(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("fcntl.flock", no_locks)
    notes = []
    with copy.locked(notes.append):
        pass
    (note,) = notes
    assert "the file system does not support locks" in note


def test_trainings_that_start_at_the_same_time_get_folders_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(4) as starts:
        found = {folder.path.name for folder in starts.map(create_folder, [RUN] * 8)}
    name = "vgg7-digits-seed0"
    assert found == {name, *(f"{name}-{number}" for number in range(2, 9))}
    assert found == set(os.listdir("runs"))


def test_a_name_that_another_process_takes_in_the_last_moment_is_skipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rename = os.rename

    def late(source, target):
        monkeypatch.setattr("os.rename", rename)
        os.mkdir(target)
        (target / "x").touch()
        rename(source, target)

    monkeypatch.setattr("os.rename", late)
    assert create_folder(RUN).path.name == "vgg7-digits-seed0-2"
    assert sorted(os.listdir("runs")) == ["vgg7-digits-seed0", "vgg7-digits-seed0-2"]


def test_resuming_where_nothing_was_begun_says_so(tmp_path):
    done = numpy_vgg7("train", "--resume", tmp_path / "no")
    assert done.code == 3
    assert "no training was begun" in done.stderr
    assert len(done.stderr.splitlines()) == 1
