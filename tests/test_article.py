"""The article's experiment, held to a second transcription of its script."""

import copy
import gzip
import json
import subprocess
import sys

import numpy as np
import pytest

from numpy_vgg7.article.protocol import BACKPROPS, SEED, binary_cost, prepare, replay, ulp_apart
from numpy_vgg7.data.dataset import Dataset
from numpy_vgg7.data.mnist import IMAGES, LABELS, read_idx, read_t10k
from numpy_vgg7.errors import ConfigError, DataError
from tests import t10k
from tests.article_script import costs
from tests.commands import ROOT, numpy_vgg7


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return t10k.folder(lambda: tmp_path_factory.mktemp("t10k"))


@pytest.fixture(scope="module")
def data(folder):
    return read_t10k(folder)


@pytest.mark.parametrize(("backprop", "steps"), [("true", 200), ("published", 20), ("broken", 20)])
@pytest.mark.parametrize("seed", [SEED, 1, 23])
def test_costs_of_the_first_steps_are_those_of_the_script(data, seed, backprop, steps):
    steps = steps if t10k.REAL else 5  # the stand-in is chaotic at once
    split, model = prepare(data, seed)
    few = split.train.take(np.arange(steps))
    pixels = np.rint(data.images[:, 0] * 255).astype(np.uint8)
    expected = costs(pixels, data.labels, seed, backprop, steps)
    twin = replay(ulp_apart(model), few, backprop, 1).step_cost
    found = replay(model, few, backprop, 1).step_cost
    # Where a training is chaotic, two that start one rounding apart show how far rounding may lead.
    drift = np.maximum.accumulate(np.abs(np.subtract(twin, found)))
    outside = np.abs(np.subtract(found, expected)) > np.maximum(1e-8, 100 * drift)
    assert not outside.any(), f"from step {np.argmax(outside) + 1} on"


def test_the_protocol_is_50_to_test_600_to_learn_and_the_rest_unused(data):
    split, _ = prepare(data)
    assert [len(part) for part in (split.test, split.train, split.unused)] == [50, 600, len(data) - 650]
    whole = np.concatenate([part.images for part in (split.test, split.train, split.unused)])
    assert np.array_equal(np.sort(whole.sum(axis=(1, 2, 3))), np.sort(data.images.sum(axis=(1, 2, 3))))


@pytest.mark.skipif(not t10k.REAL, reason="needs MNIST's test file: set NUMPY_VGG7_DATA to its folder")
def test_a_rounding_grows_with_the_faulty_gradients_and_not_with_the_true_one(data):
    apart = {}
    for backprop in ("true", "published"):
        run = []
        for shift in (False, True):
            split, model = prepare(data)
            model = ulp_apart(model) if shift else model
            run.append(replay(model, split.train.take(np.arange(60)), backprop, 1).step_cost)
        apart[backprop] = abs(run[0][-1] - run[1][-1])
    assert apart["true"] < 1e-10
    assert apart["published"] > 1e-6


def test_faults_act_on_a_model_that_has_trained_before_and_leave_it_afterwards(data):
    split, used = prepare(data)
    few = split.train.take(np.arange(3))
    replay(used, few, "true", 1)
    start = {name: parameter.copy() for name, parameter in used.params.items()}
    fresh = prepare(data)[1]
    for name, parameter in start.items():
        fresh.params[name][...] = parameter
    used.loss_and_gradients(few.images[:1], few.labels[:1])  # recorded, and without faults
    faulty = [replay(model, few, "broken", 1).step_cost for model in (used, fresh)]
    assert faulty[0] == faulty[1]
    for model in (used, fresh):
        for name, parameter in start.items():
            model.params[name][...] = parameter
    healthy = [replay(model, few, "true", 1).step_cost for model in (used, prepare_from(fresh))]
    assert healthy[0] == healthy[1] != faulty[0]


def prepare_from(model):
    """A model of the same parameters that has never run."""
    copied = copy.deepcopy(model)
    copied.release()
    return copied


def test_the_binary_cost_counts_the_other_classes_too():
    probs = np.array([[0.5, 0.25, 0.25]])
    assert binary_cost(probs, np.array([0])) == pytest.approx(-np.log(0.5) - 2 * np.log(0.75))


def test_an_unknown_back_propagation_is_refused(data):
    split, model = prepare(data)
    with pytest.raises(ConfigError, match="true, published, broken"):
        replay(model, split.train, "guessed")


def test_too_few_images_are_refused(data):
    with pytest.raises(ConfigError, match="more than 650"):
        prepare(data.take(np.arange(650)))


def test_the_command_reports_costs_and_scores(folder, tmp_path):
    done = numpy_vgg7(
        "article", "--backprop", "broken", "--epochs", 1, "--seed", 5678, "--data-dir", folder,
        "--plots", tmp_path / "plots", "--json",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {
        "backprop", "seed", "epochs", "cost", "step_cost", "test_correct", "test_total", "unused_accuracy",
        "seconds",
    }  # fmt: skip
    assert (found["backprop"], found["seed"], found["epochs"]) == ("broken", 5678, 1)
    assert (len(found["cost"]), len(found["step_cost"]), found["test_total"]) == (1, 200, 50)
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "article-broken-confusion.png",
        "article-broken-cost.png",
    ]


def test_a_preset_trains_the_same_images_well(folder):
    done = numpy_vgg7("article", "--preset", "article-tuned", "--data-dir", folder, "--json")
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert found.keys() == {
        "preset", "seed", "epochs", "reporting_accuracy", "tuning_accuracy", "seconds",
    }  # fmt: skip
    assert (found["preset"], found["seed"], found["epochs"]) == ("article-tuned", 0, 60)
    assert found["reporting_accuracy"] > (0.93 if t10k.REAL else 0.8)


@pytest.mark.parametrize(
    ("words", "code"), [(["--preset", "best"], 3), (["--preset", "article-tuned", "--epochs", "3"], 2)]
)
def test_a_preset_must_be_known_and_fixes_the_rest(folder, words, code):
    done = numpy_vgg7("article", *words, "--data-dir", folder)
    assert done.code == code
    assert "Traceback" not in done.stderr


def test_without_the_file_one_line_says_where_to_get_it(tmp_path):
    done = numpy_vgg7("article", "--data-dir", tmp_path)
    assert done.code == 3
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for words in (IMAGES, "https://", "--data-dir"):
        assert words in done.stderr


def idx(*sizes):
    return t10k.idx(np.zeros(sizes))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file"),
        (idx(2), "00 00 08 03"),
        (idx(2, 28, 28)[:100], "2 x 28 x 28"),
        (idx(2, 28, 28) + bytes(9), "found 1577"),
        (b"<html>", "3c 68 74 6d"),
    ],
    ids=["empty", "another dimension", "cut off", "too long", "a web page"],
)
def test_a_bad_idx_file_is_refused_in_one_line(tmp_path, content, words):
    path = tmp_path / IMAGES
    path.write_bytes(content)
    with pytest.raises(DataError, match="download it again") as refused:
        read_idx(path, 3)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_damaged_gzip_file_is_refused(tmp_path):
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(gzip.compress(idx(2, 28, 28))[:-9])
    with pytest.raises(DataError, match="download it again"):
        read_idx(path, 3)


def test_files_are_read_with_and_without_gz(tmp_path):
    (tmp_path / IMAGES).write_bytes(idx(2, 4, 4))
    (tmp_path / f"{LABELS}.gz").write_bytes(gzip.compress(idx(2)))
    found = read_t10k(tmp_path)
    assert found.images.shape == (2, 1, 4, 4)
    assert np.array_equal(found.labels, [0, 0])


def test_images_and_labels_of_different_number_are_refused(tmp_path):
    (tmp_path / IMAGES).write_bytes(idx(2, 4, 4))
    (tmp_path / LABELS).write_bytes(idx(3))
    with pytest.raises(DataError):
        read_t10k(tmp_path)


def test_the_study_writes_its_table_and_figures_and_goes_on_where_it_was(folder, tmp_path):
    words = [sys.executable, "scripts/article_study.py", "--data-dir", str(folder), "--seeds", "1"]
    words += ["--epochs", "1", "--jobs", "1", "--out", str(tmp_path)]
    first = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert [first.stdout.count(f"| `{backprop}` | 1 |") for backprop in BACKPROPS] == [1, 1, 1]
    assert {path.name for path in tmp_path.iterdir()} == {"runs.csv", "table.md", "study.png", "chaos.png"}
    second = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert second.stdout == first.stdout
    assert second.stderr == "", "runs that were finished are done again"


def test_a_data_set_is_taken_apart_in_the_order_asked_for():
    images = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1) / 4
    data = Dataset("four", images, np.arange(4))
    assert np.array_equal(data.take(np.array([2, 0])).labels, [2, 0])
