"""Every option of train, evaluate and predict reaches its place: in this process, without a training."""

import json
from dataclasses import replace
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from numpy_vgg7 import VGG7, VGG7Config, data
from numpy_vgg7.cli.commands import app
from numpy_vgg7.data import Encoding, load
from numpy_vgg7.inputs import PLAIN
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.run_folder import RunConfig
from tests.test_data_border import CASES, LABELS, UNIT

PIXELS = ["--pixel-max", "16", "--mean", "3", "--std", "2", "--invert"]
WHERE = ["--data", "mnist", "--data-dir", "d", "--download"]
ENCODING = Encoding(16.0, 3.0, 2.0, True, 3, (), 1)


class AskedError(Exception):
    """Ends a command when it asks for the data."""


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def weights(tmp_path):
    VGG7(VGG7Config.preset("article", image_size=28)).save(tmp_path / "w.safetensors")
    return tmp_path / "w.safetensors"


@pytest.fixture
def asked(monkeypatch):
    """What `data.load` is asked for."""
    found = {}

    def spy(*words, **options):
        found.update(signature(load).bind(*words, **options).arguments)
        raise AskedError

    monkeypatch.setattr(data, "load", spy)
    monkeypatch.setattr("numpy_vgg7.training.run_folder.load", spy)
    return found


def test_train_asks_for_the_data_with_all_options(asked):
    run("train", *WHERE, *PIXELS, "--classes", 3, "--labels-from", 1, "--test-data", "t.npz")
    assert (asked["name"], asked["data_dir"], asked["download"]) == ("mnist", Path("d"), True)
    assert (asked["encoding"], asked["test"]) == (ENCODING, "t.npz")


def test_evaluate_asks_for_the_data_with_all_options(asked, weights):
    run("evaluate", weights, *WHERE, *PIXELS, "--classes", 3, "--labels-from", 1)
    assert (asked["name"], asked["data_dir"], asked["download"]) == ("mnist", Path("d"), True)
    assert (asked["encoding"], asked["classes"], asked["image_size"]) == (ENCODING, 10, 28)


def test_predict_reads_images_with_all_options(weights, monkeypatch):
    seen = []

    def spy(path, size, encoding=PLAIN):
        seen.append(encoding)
        raise AskedError

    monkeypatch.setattr("numpy_vgg7.pictures.read.read_images", spy)
    run("predict", weights, "x.npy", *PIXELS)
    assert seen == [Encoding(16.0, 3.0, 2.0, True)]


@pytest.mark.parametrize(("split", "n"), [((), 50), (("--split", "all"), 200), (("--split", "train"), 135)])
def test_evaluate_knows_the_official_test_part(split, n, weights):
    done = run("evaluate", weights, "--data", CASES / "keras_names.npz", *split, "--json")
    assert json.loads(done.stdout)["n"] == n


def test_the_whole_data_set_has_the_images_and_labels_of_both_parts():
    found = load(str(CASES / "keras_names.npz"))
    whole = found.whole()
    assert np.array_equal(whole.labels, np.concatenate([found.labels, found.test.labels]))
    assert np.array_equal(whole.images, np.concatenate([found.images, found.test.images]))


def test_all_fields_of_a_run_return_from_its_config():
    config = VGG7Config.preset("article")
    run_config = RunConfig("article", "mnist", "float32", config, TrainingConfig(), ENCODING, "d", "t.npz")
    assert RunConfig.from_json(run_config.to_json().encode()) == run_config
    old = json.loads(run_config.to_json())
    for name in ("encoding", "data_dir", "test_data"):
        del old[name]
    expected = replace(run_config, encoding=PLAIN, data_dir=None, test_data=None)
    assert RunConfig.from_json(json.dumps(old).encode()) == expected


def test_train_takes_the_number_of_classes_from_the_data_and_says_what_it_assumed(tmp_path):
    np.savez(tmp_path / "x.npz", images=np.tile(UNIT, (5, 1, 1)) * 255, labels=np.tile(LABELS, 5))
    words = ("--preset", "article", "--data", tmp_path / "x.npz", "--epochs", 1, "--out", tmp_path / "run")
    done = run("train", *words)
    assert done.exit_code == 0, done.output
    assert VGG7.load(tmp_path / "run" / "last.safetensors").config.classes == 3
    assert "255 is white" in done.stderr


@pytest.mark.parametrize(
    "words", [("--data-dir", "d"), ("--test-data", "t"), ("--invert",), ("--labels-from", 1), ("--download",)]
)
def test_settings_of_the_data_are_fixed_by_the_run_folder(words, tmp_path):
    assert run("train", "--resume", tmp_path, *words).exit_code == 2


def test_a_test_set_must_have_the_size_and_the_classes_of_the_training_set(tmp_path):
    np.savez(tmp_path / "x.npz", images=UNIT, labels=LABELS)
    np.savez(tmp_path / "small.npz", images=UNIT[:, 2:-2, 2:-2], labels=LABELS)
    np.savez(tmp_path / "more.npz", images=UNIT, labels=np.arange(12) % 4)
    for name, words in (("small", "8x8 pixels"), ("more", "label 3 at index 3")):
        with pytest.raises(Exception, match=words):
            load(str(tmp_path / "x.npz"), test=str(tmp_path / f"{name}.npz"))
