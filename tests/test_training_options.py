"""Every option of `train` reaches its place, in this process, and settings do what they say."""

import json
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from numpy_vgg7 import VGG7, VGG7Config, VGG7Error
from numpy_vgg7.cli.commands import app
from numpy_vgg7.config import PRESETS as NETWORKS
from numpy_vgg7.data import load, split
from numpy_vgg7.optim import SCHEDULES
from numpy_vgg7.training import loop
from numpy_vgg7.training.config import PRESETS, TrainingConfig
from numpy_vgg7.training.run_folder import RunConfig, RunFolder

DIGITS = load("digits")
SMALL = ("--channels", "4,4,8,8", "--hidden", "24,16", "--limit", "60", "--batch-size", "16")


class StoppedError(Exception):
    """Ends a command when it has its settings."""


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(autouse=True)
def _no_plots(monkeypatch):
    monkeypatch.setattr("numpy_vgg7.plots.available", lambda: False)  # they take most of the time


@pytest.fixture
def settings(monkeypatch):
    """What `train` would do with some options: the run's settings, flat, without a training."""

    def of(*words):
        found = {}

        def create(self, config):
            record = asdict(config)
            model, training, encoding = (record.pop(key) for key in ("model", "training", "encoding"))
            found.update(record | encoding | training | model | {"out": self.path})
            raise StoppedError

        with monkeypatch.context() as patch:
            patch.setattr(RunFolder, "create", create)
            done = run("train", *words)
        assert isinstance(done.exception, StoppedError), done.output
        return found

    return of


# Each option, with a value that is no option's default, and the field that it sets.
OPTIONS = [
    ("--channels", "2,4,6,8", "channels", (2, 4, 6, 8)),
    ("--groups", "1,2,4,8", "groups", (1, 2, 4, 8)),
    ("--hidden", "33,17", "hidden", (33, 17)),
    ("--activations", "tanh,relu,arctan,relu,relu,tanh,arctan", "activations",
     ("tanh", "relu", "arctan", "relu", "relu", "tanh", "arctan")),
    ("--no-bias", None, "bias", False),
    ("--limit", "77", "limit", 77),
    ("--epochs", "7", "epochs", 7),
    ("--batch-size", "11", "batch_size", 11),
    ("--lr-conv", "0.013", "lr_conv", 0.013),
    ("--lr-fc", "0.017", "lr_fc", 0.017),
    ("--schedule", "cosine", "schedule", "cosine"),
    ("--momentum", "0.73", "momentum", 0.73),
    ("--no-nesterov", None, "nesterov", False),
    ("--weight-decay", "0.0031", "weight_decay", 0.0031),
    ("--no-decay-biases", None, "decay_biases", False),
    ("--label-smoothing", "0.07", "label_smoothing", 0.07),
    ("--clip-norm", "3.5", "clip_norm", 3.5),
    ("--average", "4", "average", 4),
    ("--patience", "6", "patience", 6),
    ("--no-augment", None, "augment", False),
    ("--augmentation", "strong", "augmentation", "strong"),
    ("--dtype", "float64", "dtype", "float64"),
    ("--seed", "19", "seed", 19),
    ("--out", "elsewhere", "out", Path("elsewhere")),
]  # fmt: skip


@pytest.mark.parametrize(("flag", "text", "name", "value"), OPTIONS, ids=[row[0] for row in OPTIONS])
def test_an_option_sets_its_field_and_no_other(settings, flag, text, name, value):
    default, found = settings(), settings(flag, *([text] if text else []))
    assert found[name] == value
    others = {key for key in found if found[key] != default[key]} - {name}
    assert others <= {"out"}, "the name of the run folder may contain the seed"


def test_there_is_an_option_for_every_setting():
    named = {row[2] for row in OPTIONS}
    found = {field.name for config in (TrainingConfig, VGG7Config) for field in fields(config)}
    assert found - {"image_size", "classes"} <= named  # the data give these


@pytest.mark.parametrize("name", PRESETS)
def test_named_settings_are_the_defaults_of_the_other_options(settings, name):
    found = settings("--settings", name, "--epochs", "3", "--no-nesterov")
    expected = asdict(TrainingConfig.preset(name, epochs=3, nesterov=False))
    assert {key: found[key] for key in expected} == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_options_of_the_network_change_the_preset(settings, name):
    found = settings("--preset", name, "--hidden", "12,13")
    expected = asdict(VGG7Config.preset(name, image_size=8, hidden=(12, 13)))
    assert {key: found[key] for key in expected} == expected


def test_the_settings_of_a_run_are_taken_from_its_config_and_changed_by_options(settings, tmp_path):
    network = VGG7Config(image_size=8, channels=(2, 4, 6, 8), hidden=(9, 7))
    training = TrainingConfig(epochs=5, schedule="step", clip_norm=2.0, seed=3)
    saved = RunConfig("vgg7", "digits", "float64", network, training, limit=50)
    (tmp_path / "config.json").write_text(saved.to_json())
    found = settings("--config", tmp_path / "config.json")
    expected = asdict(training) | asdict(network) | {"dtype": "float64", "limit": 50}
    assert {key: found[key] for key in expected} == expected
    changed = settings("--config", tmp_path / "config.json", "--epochs", "60", "--hidden", "8,6")
    assert {key for key in found if found[key] != changed[key]} == {"epochs", "hidden"}
    assert (changed["epochs"], changed["hidden"]) == (60, (8, 6))


def test_a_config_that_is_none_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    done = run("train", "--config", tmp_path / "config.json")
    assert isinstance(done.exception, VGG7Error)
    assert "--config" in str(done.exception)


@pytest.mark.parametrize("words", [("--channels", "1,2,x,4"), ("--channels", "1,2"), ("--schedule", "steep")])
def test_a_setting_that_is_not_possible_is_one_line_that_names_the_option(words):
    done = run("train", *words)
    assert isinstance(done.exception, VGG7Error)
    assert str(done.exception).startswith(f"{words[0]}: expected")
    assert "\n" not in str(done.exception)


def test_the_limit_leaves_the_test_set_complete_and_is_kept_for_a_resumed_training(tmp_path):
    done = run("train", *SMALL, "--epochs", "1", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    counts = [int(line.split("(")[1].split()[0]) for line in done.stdout.splitlines()[:3]]
    assert counts == [60, 60, 359]
    assert RunFolder(tmp_path / "run").read_config().limit == 60


def test_the_config_of_a_run_from_before_these_settings_can_be_read():
    saved = RunConfig("vgg7", "digits", "float32", VGG7Config(), TrainingConfig(epochs=7))
    record = json.loads(saved.to_json())
    oldest = ("epochs", "batch_size", "lr_conv", "lr_fc", "momentum", "weight_decay", "augment", "seed")
    record["recipe"] = {name: record["recipe"][name] for name in oldest}
    del record["limit"]
    assert RunConfig.from_json(json.dumps(record).encode()) == saved


@pytest.mark.parametrize(
    ("words", "part"),
    [((), "test"), *((("--split", part), part) for part in ("train", "validation", "test", "all"))],
    ids=str,
)
def test_evaluate_scores_the_part_that_is_named_with_its_threads(words, part, tmp_path, monkeypatch):
    model = VGG7(VGG7Config.preset("article", image_size=8))
    model.save(tmp_path / "w.safetensors")
    images = DIGITS if part == "all" else getattr(split(DIGITS), part)
    expected = loop.score(model, images)
    used = []
    real = loop.score
    monkeypatch.setattr(loop, "score", lambda model, data: used.append(model.threads) or real(model, data))
    done = run("evaluate", tmp_path / "w.safetensors", *words, "--threads", "3", "--json")
    assert json.loads(done.stdout) == expected._asdict()
    assert used == [3]


@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_starts_above_zero_and_stays_in_the_unit_interval(name):
    for steps in (1, 2, 3, 10, 97):
        factors = [SCHEDULES[name](step, steps) for step in range(steps)]
        assert all(0 < factor <= 1 for factor in factors)
        assert max(factors) == 1


def test_the_schedules_are_those_of_their_sources():
    steps = np.arange(20)
    found = {name: [schedule(step, 20) for step in steps] for name, schedule in SCHEDULES.items()}
    assert found["constant"] == [1.0] * 20
    assert np.allclose(found["step"], [1.0] * 10 + [0.1] * 5 + [0.01] * 5, rtol=1e-12)
    assert np.allclose(found["cosine"], np.cos(np.pi * steps / 40) ** 2, rtol=1e-12)
    assert np.allclose(
        found["one-cycle"], [0.5, *np.cos(np.pi * np.arange(-1, 18) / 36).clip(0) ** 2][:20], atol=0.02
    )


def test_weights_after_the_last_epochs_are_averaged(tmp_path):
    states = []
    model = VGG7(VGG7Config(image_size=8, channels=(2, 2, 4, 4), hidden=(9, 7)), dtype="float64")
    splits = loop.Splits(*(DIGITS.take(np.arange(40)) for _ in range(3)))
    config = TrainingConfig(epochs=5, average=3, batch_size=16)
    for state in loop.train(model, splits, config, loop.start(model, config), lambda *batch: None):
        states.append({name: parameter.copy() for name, parameter in state.params.items()})
        weights = states[-1] if len(states) < 3 else {
            name: np.mean([earlier[name] for earlier in states[2:]], axis=0) for name in model.params
        }  # fmt: skip
        for name, mean in weights.items():
            assert np.allclose(model.params[name], mean, rtol=1e-12, atol=1e-15)
        assert state.history[-1].validation_loss == loop.score(model, splits.validation).loss


def test_a_training_stops_early_and_stays_stopped_when_it_is_resumed(tmp_path):
    words = ("--patience", "2", "--epochs", "30", "--lr-conv", "0", "--lr-fc", "0")
    done = run("train", *SMALL, *words, "--out", tmp_path / "run", "--json")
    record = json.loads(done.stdout)
    assert (record["epochs"], record["best_epoch"], record["learned"]) == (3, 1, False)
    again = json.loads(run("train", "--resume", tmp_path / "run", "--json").stdout)
    assert again["epochs"] == 3


def test_a_finished_training_says_so_and_its_results_are_scored_once(tmp_path, monkeypatch):
    assert run("train", *SMALL, "--epochs", "1", "--out", tmp_path / "run").exit_code == 0
    monkeypatch.setattr("numpy_vgg7.plots.available", lambda: True)
    monkeypatch.setattr("numpy_vgg7.plots.write", lambda *_: None)  # which takes most of the time
    scored = []
    forward = VGG7.forward
    monkeypatch.setattr(VGG7, "forward", lambda model, x: scored.append(len(x)) or forward(model, x))
    again = run("train", "--resume", tmp_path / "run")
    assert again.stderr.startswith(f"already finished: {tmp_path / 'run'}, 1 epoch\n")
    counts = [int(line.split("(")[1].split()[0]) for line in again.stdout.splitlines()[:3]]
    assert sum(scored) == sum(counts), "a set is scored more than once"
    assert again.stdout.splitlines()[3].startswith("weights with the lowest"), "it gives a time of nothing"
    monkeypatch.setattr("numpy_vgg7.plots.available", lambda: False)
    record = json.loads(run("train", "--resume", tmp_path / "run", "--json").stdout)
    assert record["seconds"] is None
    assert record["epochs"] == 1


@pytest.mark.parametrize(("words", "rest"), [((), ""), (("--threads", "2"), " --threads 2")])
def test_an_interrupted_training_says_how_it_ends_with_the_same_bytes(tmp_path, monkeypatch, words, rest):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", interrupt)
    done = run("train", *SMALL, *words, "--out", tmp_path / "run")
    again = f"interrupted; continue with: numpy-vgg7 train --resume {tmp_path / 'run'}{rest}\n"
    assert again in done.stderr


def test_the_best_epoch_is_that_of_the_lowest_mean_loss():
    losses = [3, 1, 9, 2, 2, 2, 0.5, 0.5]  # the means over five epochs: 3, 2, 4.3, 3.75, 3.4, 3.2, 3.1, 1.4
    state = loop.State({}, {}, [loop.Epoch(i + 1, 0, 0, loss, 0, 0) for i, loss in enumerate(losses)])
    assert state.best_epoch == 8
    state.history.pop()
    assert state.best_epoch == 2
    assert state.is_over(TrainingConfig(epochs=9, patience=5))
    assert not state.is_over(TrainingConfig(epochs=9, patience=6))
    assert state.is_over(TrainingConfig(epochs=7))


def test_a_log_has_a_line_for_each_epoch_and_no_bar(tmp_path):
    done = run("train", *SMALL, "--epochs", "2", "--out", tmp_path / "run")
    lines = [line for line in done.stderr.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    for words in ("epoch 2/2", "validation loss", "best epoch", "ETA"):
        assert words in lines[1]
    assert "scoring the test set, 359 images" in done.stderr


def test_scores_are_taken_with_the_threads_of_the_training(tmp_path, monkeypatch):
    used = []
    real = loop.infer

    def infer(model, data, *progress):
        used.append(model.threads)
        return real(model, data, *progress)

    monkeypatch.setattr(loop, "infer", infer)
    done = run("train", *SMALL, "--epochs", "1", "--threads", "2", "--out", tmp_path / "run")
    assert done.exit_code == 0, done.output
    assert used == [2] * 4  # a validation, and three parts in the end


@pytest.mark.parametrize("rate", ["5", "50"])
def test_a_training_that_learned_nothing_says_so(tmp_path, rate):
    words = ("--epochs", "2", "--lr-conv", rate, "--lr-fc", rate, "--out", tmp_path / "run", "--json")
    done = run("train", *SMALL, *words)
    assert done.exit_code == 0
    assert json.loads(done.stdout)["learned"] is False
    assert len([line for line in done.stderr.splitlines() if "nothing was learned" in line]) == 1
    assert "resume" not in done.stderr


def test_a_diverging_training_has_learned_nothing(tmp_path):
    words = ("--lr-conv", "1e30", "--lr-fc", "1e30", "--out", tmp_path / "run", "--json")
    done = run("train", *SMALL, *words)
    record = json.loads(done.stdout)
    assert (record["learned"], record["test_accuracy"]) == (False, None)
    assert isinstance(done.exception, VGG7Error)
    assert "resume" not in done.stderr + str(done.exception)


@pytest.mark.parametrize("damage", [b"", b"x" * 1000, "shortened"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    words = (*SMALL, "--epochs", "4", "--average", "2")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    assert run("train", *words, "--out", whole).exit_code == 0
    assert run("train", *words, "--out", broken).exit_code == 0
    newest = broken / "checkpoint" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-9] if damage == "shortened" else damage)
    done = run("train", "--resume", broken, "--json")
    assert done.exit_code == 0, done.output
    assert "continuing from the checkpoint before it" in done.stderr
    assert json.loads(done.stdout)["epochs"] == 4
    for name in ("best.safetensors", "last.safetensors"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_without_an_undamaged_checkpoint_there_is_one_line(tmp_path):
    assert run("train", *SMALL, "--epochs", "2", "--out", tmp_path / "run").exit_code == 0
    for path in (tmp_path / "run" / "checkpoint").iterdir():
        path.write_bytes(b"")
    assert isinstance(run("train", "--resume", tmp_path / "run").exception, VGG7Error)
