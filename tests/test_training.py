"""Training learns, is reproducible, and can be interrupted and resumed."""

import csv
import json
import signal
import subprocess
import sys
import time
from functools import partial

import numpy as np
import pytest

from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.data import load, split
from numpy_vgg7.optim import one_cycle
from numpy_vgg7.training.config import TrainingConfig
from numpy_vgg7.training.loop import score
from numpy_vgg7.training.run_folder import RunConfig
from tests.commands import ROOT, numpy_vgg7


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The default training: (JSON record, folder)."""
    out = tmp_path_factory.mktemp("runs") / "run"
    done = numpy_vgg7("train", "--seed", "0", "--json", "--out", out)
    assert done.code == 0, done.stderr
    return json.loads(done.stdout), out


def test_the_default_training_learns_the_digits(run):
    record, _ = run
    assert record["test_accuracy"] >= 0.985
    assert record["train_accuracy"] >= 0.99
    assert record["test_loss"] < 0.1


def test_the_record_has_the_agreed_keys(run):
    record, out = run
    keys = (
        "preset data epochs seed train_accuracy validation_accuracy test_accuracy test_loss "
        "images_per_second seconds out best_epoch learned"
    )
    assert list(record) == keys.split()
    assert record["out"] == str(out)


def test_the_run_folder_is_complete(run):
    _, out = run
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    plots = {f"plots/{name}.png" for name in ("curves", "confusion", "kernels", "misclassified")}
    weights = {"best.safetensors", "last.safetensors"}
    weights |= {"checkpoint/state.safetensors", "checkpoint/previous.safetensors"}
    assert found == plots | weights | {"config.json", "env.json", "metrics.csv", "report.html"}


def test_evaluate_reproduces_the_test_figures_of_the_training(run):
    record, out = run
    found = json.loads(numpy_vgg7("evaluate", out / "best.safetensors", "--json").stdout)
    assert found.keys() == {"accuracy", "loss", "n", "errors"}
    assert found["accuracy"] == record["test_accuracy"]
    assert found["loss"] == record["test_loss"]
    assert found["errors"] == round((1 - found["accuracy"]) * found["n"])


def test_the_best_weights_are_those_of_the_lowest_mean_validation_loss(run):
    _, out = run
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    losses = [float(row["validation_loss"]) for row in rows]
    means = [np.mean(losses[max(0, end - 5) : end]) for end in range(1, len(losses) + 1)]
    best = VGG7.load(out / "best.safetensors")
    assert score(best, split(load("digits", 10)).validation).loss == losses[int(np.argmin(means))]


def test_predict_recognizes_image_files_of_test_digits(run, tmp_path):
    from PIL import Image

    _, out = run
    test = split(load("digits", 10)).test
    paths = []
    for index in range(30):
        grey = np.kron(1 - test.images[index, 0], np.ones((15, 15)))
        grey = np.pad(grey, ((40, 10), (20, 90)), constant_values=1.0)
        paths.append(tmp_path / f"{index}.png")
        Image.fromarray((grey * 255).astype(np.uint8)).save(paths[-1])
    done = numpy_vgg7("predict", out / "best.safetensors", *paths, "--json")
    rows = json.loads(done.stdout)["predictions"]
    right = sum(row["label"] == label for row, label in zip(rows, test.labels[:30], strict=True))
    assert right >= 27, f"only {right} of 30 upscaled, inverted test digits are recognized"
    assert "inverted" in rows[0]["assumed"]


def test_two_trainings_with_one_seed_end_with_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        assert numpy_vgg7("train", "--epochs", "3", "--seed", "5", "--out", tmp_path / name).code == 0
    for weights in ("last.safetensors", "best.safetensors"):
        assert (tmp_path / "a" / weights).read_bytes() == (tmp_path / "b" / weights).read_bytes()


def test_a_resumed_training_ends_with_the_same_bytes(tmp_path):
    settings = ["--epochs", "6", "--seed", "5"]
    assert numpy_vgg7("train", *settings, "--out", tmp_path / "whole").code == 0
    broken = tmp_path / "broken"
    command = [sys.executable, "-m", "numpy_vgg7", "train", *settings, "--out", str(broken)]
    listen = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # ignored in a shell's background
    child = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL, preexec_fn=listen)
    deadline = time.monotonic() + 60
    while not (broken / "metrics.csv").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    child.send_signal(signal.SIGINT)
    assert child.wait() == 130
    assert len((broken / "metrics.csv").read_text().splitlines()) < 7, "it was over before the interrupt"
    done = numpy_vgg7("train", "--resume", broken, "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["epochs"] == 6
    for weights in ("last.safetensors", "best.safetensors"):
        assert (broken / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


def test_a_training_interrupted_in_its_first_epoch_can_be_resumed(tmp_path):
    settings = ["--epochs", "2", "--seed", "5"]
    assert numpy_vgg7("train", *settings, "--out", tmp_path / "whole").code == 0
    broken = tmp_path / "broken"
    (broken / "checkpoint").mkdir(parents=True)
    (broken / "config.json").write_bytes((tmp_path / "whole" / "config.json").read_bytes())
    assert numpy_vgg7("train", "--resume", broken).code == 0
    for weights in ("last.safetensors", "best.safetensors"):
        assert (broken / weights).read_bytes() == (tmp_path / "whole" / weights).read_bytes()


def test_a_resumed_training_keeps_its_settings(tmp_path):
    assert numpy_vgg7("train", "--epochs", "1", "--out", tmp_path / "run").code == 0
    done = numpy_vgg7("train", "--resume", tmp_path / "run", "--epochs", "9")
    assert done.code == 2
    assert "--epochs" in done.stderr


def test_a_diverging_training_ends_with_one_line(tmp_path):
    done = numpy_vgg7("train", "--lr-conv", "1e30", "--lr-fc", "1e30", "--out", tmp_path / "run")
    assert done.code == 3
    assert len(done.stderr.strip().splitlines()[-1].split("numpy-vgg7:")) == 2
    assert "finite loss" in done.stderr
    assert "Traceback" not in done.stderr


def test_training_on_an_npz_file(tmp_path):
    digits = load("digits", 10)
    np.savez(tmp_path / "d.npz", images=digits.images[:400], labels=digits.labels[:400])
    done = numpy_vgg7("train", "--data", tmp_path / "d.npz", "--epochs", "1", "--json", cwd=tmp_path)
    assert done.code == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["out"] == "runs/vgg7-d-seed0"
    assert (tmp_path / record["out"] / "best.safetensors").exists()


def test_the_schedule_rises_to_one_and_falls_to_zero():
    factors = [one_cycle(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.1)
    assert max(factors) == 1
    assert factors.index(1.0) in (9, 10)
    assert factors[-1] < 0.001
    assert one_cycle(0, 1) == 1


def test_the_config_of_a_run_from_before_named_augmentations_can_be_read():
    config = RunConfig("vgg7", "digits", "float32", VGG7Config(), TrainingConfig(augmentation="strong"))
    assert RunConfig.from_json(config.to_json().encode()) == config
    record = json.loads(config.to_json())
    del record["recipe"]["motion"]
    assert RunConfig.from_json(json.dumps(record).encode()).training == TrainingConfig()
