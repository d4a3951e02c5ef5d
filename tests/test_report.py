"""The report of a training and the comparison of several: complete, self-contained, and right."""

import json
import re
import shutil
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from typer.testing import CliRunner

from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.cli.commands import app
from numpy_vgg7.data import Dataset, load, split
from numpy_vgg7.errors import TrainingError, VGG7Error
from numpy_vgg7.report import charts, images, write
from numpy_vgg7.report.run import read_run
from numpy_vgg7.report.scores import Scores

TINY = ("--channels", "4,4,8,8", "--hidden", "24,16", "--epochs", "2", "--limit", "100", "--seed", "3")
SECTIONS = ["curves", "confusion", "classes", "calibration", "mistakes", "kernels", "activations", "settings",
            "environment"]  # fmt: skip
VOID = {"meta", "img", "br"}


def run(*words):
    """The result of a command, in this process."""
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=True)
    if done.exception and not isinstance(done.exception, (SystemExit, VGG7Error)):
        raise done.exception
    return done


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run folder, and the record that its training printed."""
    out = tmp_path_factory.mktemp("report") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("numpy_vgg7.plots.write_plots", lambda *_: None)  # they take longer than the training
        done = run("train", *TINY, "--out", out, "--json")
    assert done.exit_code == 0, done.stderr
    return out, json.loads(done.stdout)


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of the run folder, to be damaged, without its report."""
    folder = tmp_path / "copy"
    shutil.copytree(trained[0], folder)
    (folder / "report.html").unlink()
    return folder


class Page(HTMLParser):
    """A page as it is read: its tags, with attributes, and a list of what is wrong with it."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.wrong = [], [], []
        self.feed(text)
        self.wrong += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}> at {self.getpos()} closes nothing")

    def of(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def sections(text):
    return re.findall(r'<h2 id="(\w+)">', text)


@pytest.fixture(scope="module", params=["report", "comparison"])
def page(request, trained, tmp_path_factory):
    folder = trained[0]
    if request.param == "report":
        return (folder / "report.html").read_text()
    path = tmp_path_factory.mktemp("comparison") / "page.html"
    assert run("report", folder, folder, "--out", path).exit_code == 0
    return path.read_text()


def test_a_training_writes_a_report_with_all_sections(trained):
    text = (trained[0] / "report.html").read_text()
    assert sections(text) == SECTIONS
    assert text.count("<svg") == 4
    assert f"best: epoch {trained[1]['best_epoch']}" in text
    links = re.findall(r'<a href="#(\w+)">', text)
    assert links == SECTIONS


def test_a_page_is_self_contained_and_small(page):
    for outside in ("http", "<script", "<link", "@import", "<iframe"):
        assert outside not in page
    assert all(image["src"].startswith("data:image/png;base64,") for image in Page(page).of("img"))
    assert not re.findall(r"url\((?!#)", page)
    assert len(page) < 2_000_000


def test_a_page_is_well_formed_and_says_in_words_what_it_shows(page):
    found = Page(page)
    assert not found.wrong
    assert all("alt" in image for image in found.of("img"))
    assert all(svg["role"] == "img" and len(svg["aria-label"]) > 20 for svg in found.of("svg"))
    heads = [head for head in found.of("th") if head.get("scope") not in ("row", "col")]
    assert not heads, "screen readers need the scope of a head"
    ids = Counter(attributes["id"] for _, attributes in found.tags if "id" in attributes)
    assert max(ids.values()) == 1, f"{ids.most_common(1)} is used more than once"
    used = set(re.findall(r'href="#(\w+)"|url\(#(\w+)\)', page))
    assert {name for pair in used for name in pair if name} <= ids.keys()


def test_a_page_has_both_schemes_and_a_form_for_narrow_screens(page):
    for part in ("color-scheme: light dark", "prefers-color-scheme: dark", "max-width: 600px"):
        assert part in page
    assert "width=device-width" in page
    defined = Counter(re.findall(r"--(\w+): #", page))
    assert set(defined.values()) == {2}, f"{defined}: every colour is defined once for each scheme"
    assert set(re.findall(r"var\(--(\w+)\)", page)) - {"share"} <= defined.keys()
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        assert not re.search(r"(fill|stroke): #", svg), "a colour of a chart does not follow the scheme"


def test_the_same_run_gives_the_same_bytes(trained, copy):
    done = run("report", copy)
    assert done.stdout.strip() == str(copy / "report.html")
    found = (copy / "report.html").read_text()
    assert found.replace("copy: vgg7", "tiny: vgg7") == (trained[0] / "report.html").read_text()


def test_the_figures_are_those_of_the_training(trained):
    folder, record = trained
    done = run("report", folder, "--json")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed.keys() == {"out", "runs", "differences"}
    assert printed["out"] == str(folder / "report.html")
    (found,) = printed["runs"]
    for key in ("preset", "data", "seed", "epochs", "best_epoch", "test_accuracy", "test_loss"):
        assert found[key] == record[key], key
    assert found["validation_accuracy"] == record["validation_accuracy"]
    assert found["missing"] == []

    test = split(load("digits", 10)).test
    predicted = VGG7.load(folder / "best.safetensors").predict(test.images)
    counts = np.array(found["confusion"])
    for true in range(10):
        expected = np.bincount(predicted[test.labels == true], minlength=10)
        assert (counts[true] == expected).all(), f"row {true} of the confusion matrix"
        row = found["classes"][true]
        assert (row["images"], row["predicted"]) == (counts[true].sum(), counts[:, true].sum())
        assert row["recall"] == pytest.approx(counts[true, true] / counts[true].sum())
    assert found["test_errors"] == counts.sum() - np.trace(counts)
    cells = re.findall(r'class="(?:hit|miss)"[^>]*>(\d+)<', (folder / "report.html").read_text())
    assert list(map(int, cells)) == counts[counts > 0].tolist()


def scores(probs, labels, **names):
    pixels = np.zeros((len(labels), 1, 8, 8), "float32")
    return Scores(Dataset("data", pixels, np.asarray(labels), **names), np.log(np.asarray(probs)))


def test_the_calibration_error_is_the_mean_gap_weighted_by_images():
    # Three images of confidence 0.6, one of them right; one of 0.95, right.
    found = scores([[0.6, 0.4], [0.6, 0.4], [0.6, 0.4], [0.05, 0.95]], [0, 1, 1, 1])
    assert found.calibration_error == pytest.approx((3 * (0.6 - 1 / 3) + 0.05) / 4)


def test_the_bins_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    found = scores(rng.dirichlet(np.full(4, 0.5), 500), rng.integers(4, size=500))
    right = found.predicted == found.data.labels
    accuracy, confidence = calibration_curve(right, found.confidence, n_bins=10)
    filled = [row for row in found.calibration if row.images]
    assert [row.accuracy for row in filled] == pytest.approx(accuracy)
    assert [row.confidence for row in filled] == pytest.approx(confidence)
    assert sum(row.images for row in found.calibration) == 500


def test_a_class_that_is_never_predicted_has_no_precision():
    found = scores([[0.6, 0.4], [0.7, 0.3]], [0, 1])
    assert np.isnan(found.classes[1].precision)
    assert found.classes[1].recall == 0


def test_the_worst_mistakes_are_the_most_confident_ones_by_the_names_of_their_classes():
    found = scores([[0.6, 0.4], [0.3, 0.7], [0.1, 0.9], [0.9, 0.1]], [1, 0, 0, 0], class_names=("cat", "dog"))
    assert [(row.at, row.true, row.predicted) for row in found.worst(2)] == [
        (2, "cat", "dog"),
        (1, "cat", "dog"),
    ]
    assert found.worst(1)[0].confidence == pytest.approx(0.9)


def test_all_images_of_a_layer_are_on_one_scale():
    model = VGG7(VGG7Config.preset("vgg7", image_size=8, channels=(40, 8, 8, 8)), seed=0)
    shown = {view.name: view for view in images.activations(model, split(load("digits", 10)).test, 0)}
    assert list(shown) == ["act1", "act2", "pool2", "act3", "act4", "pool4", "act5", "act6"]
    assert (shown["act1"].channels, len(shown["act1"].images)) == (40, images.MAX_CHANNELS)
    assert shown["act1"].lowest == 0
    assert not shown["act1"].signed
    assert shown["act5"].signed
    assert len(shown["act5"].images) == 1


def test_data_that_are_gone_cost_only_what_needs_them(copy):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"data": "gone.npz"}))
    done = run("report", copy, "--json")
    assert done.exit_code == 0
    assert "no test scores or activations: gone.npz" in done.stderr
    (found,) = json.loads(done.stdout)["runs"]
    assert found["test_accuracy"] is None
    assert found["parameters"]
    text = (copy / "report.html").read_text()
    assert sections(text) == ["curves", "kernels", "settings", "environment"]
    assert "No test scores or activations: gone.npz" in text


def test_weights_that_are_gone_cost_only_what_needs_them(copy):
    (copy / "best.safetensors").write_bytes(b"damaged")
    (copy / "env.json").unlink()
    done = run("report", copy)
    assert done.exit_code == 0
    assert "no test scores, kernels or activations" in done.stderr
    assert "no environment" in done.stderr
    assert sections((copy / "report.html").read_text()) == ["curves", "settings"]
    done = run("report", copy, copy, "--out", copy / "both.html")
    assert done.exit_code == 0
    assert sections((copy / "both.html").read_text()) == ["scores", "settings", "curves"]


DAMAGE = {
    "no folder": lambda folder: shutil.rmtree(folder),
    "no settings": lambda folder: (folder / "config.json").unlink(),
    "damaged settings": lambda folder: (folder / "config.json").write_text("{"),
    "no metrics": lambda folder: (folder / "metrics.csv").unlink(),
    "empty metrics": lambda folder: (folder / "metrics.csv").write_text(""),
    "other columns": lambda folder: (folder / "metrics.csv").write_text("a,b\n1,2\n"),
    "bytes": lambda folder: (folder / "metrics.csv").write_bytes(b"\xff\x00" * 40),
    "a cut row": lambda folder: (folder / "metrics.csv").write_text(
        (folder / "metrics.csv").read_text()[:-30]
    ),
    "a missing row": lambda folder: (folder / "metrics.csv").write_text(
        re.sub(r"\n1,.*", "", (folder / "metrics.csv").read_text())
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_run_folder_is_one_line(copy, kind):
    DAMAGE[kind](copy)
    with pytest.raises(TrainingError) as caught:
        read_run(copy)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith(str(copy))
    assert "object" not in line, "the words of Python, not of a user"


def test_the_report_is_scored_on_the_threads_that_are_given(copy, monkeypatch):
    used = []
    scored = write.scores_of
    monkeypatch.setattr(write, "scores_of", lambda run: used.append(run.model.threads) or scored(run))
    assert run("report", copy, "--threads", "2").exit_code == 0
    assert used == [2]


def test_a_run_of_an_earlier_version_has_a_report(copy):
    config = json.loads((copy / "config.json").read_text())
    for key in ("encoding", "data_dir", "test_data", "limit"):
        del config[key]
    for key in ("motion", "schedule", "nesterov", "decay_biases", "label_smoothing", "clip_norm", "average"):
        del config["recipe"][key]
    (copy / "config.json").write_text(json.dumps(config))
    assert run("report", copy).exit_code == 0
    assert sections((copy / "report.html").read_text()) == SECTIONS


def test_an_interrupted_training_is_named(copy):
    config = json.loads((copy / "config.json").read_text())
    config["recipe"]["epochs"] = 5
    (copy / "config.json").write_text(json.dumps(config))
    run("report", copy)
    assert "interrupted after 2 of 5 epochs" in (copy / "report.html").read_text()


def test_a_comparison_has_scores_differences_and_a_place_of_its_own(trained, copy, tmp_path, monkeypatch):
    config = json.loads((copy / "config.json").read_text())
    config["recipe"]["lr_conv"] = 0.125
    (copy / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    done = run("report", trained[0], copy, "--json")
    assert done.exit_code == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["out"] == "comparison.html"
    assert printed["differences"] == {"training.lr_conv": ["0.05", "0.125"]}
    assert [row["run"] for row in printed["runs"]] == [str(trained[0]), str(copy)]
    text = (tmp_path / "comparison.html").read_text()
    assert sections(text) == ["scores", "settings", "curves"]
    assert text.count(f"{trained[1]['test_accuracy']:.2%}".replace("%", "\N{NO-BREAK SPACE}%")) >= 2
    assert "cannot be compared" not in text
    assert not (copy / "report.html").exists()


def test_runs_on_different_data_are_said_not_to_compare(trained, copy, tmp_path):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"data": "gone.npz"}))
    run("report", trained[0], copy, "--out", tmp_path / "page.html")
    assert "different data cannot be compared" in (tmp_path / "page.html").read_text()


def test_runs_of_one_name_are_told_apart_by_their_paths(trained, tmp_path):
    shutil.copytree(trained[0], tmp_path / "other" / "tiny")
    run("report", trained[0], tmp_path / "other" / "tiny", "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert f"{trained[0]}</th>" in text
    assert f"{tmp_path / 'other' / 'tiny'}</th>" in text


def test_names_are_text_and_not_markup(trained, tmp_path):
    folder = tmp_path / "a<i>&'\\1\""
    shutil.copytree(trained[0], folder)
    assert run("report", folder).exit_code == 0
    assert run("report", folder, trained[0], "--out", tmp_path / "page.html").exit_code == 0
    for path in (folder / "report.html", tmp_path / "page.html"):
        text = path.read_text()
        assert "<i>" not in text
        assert "a&lt;i&gt;" in text
        assert not Page(text).wrong


def test_many_runs_have_lines_of_their_own():
    marks = [charts.mark(index) for index in range(24)]
    assert len(set(marks)) == 24


def test_without_matplotlib_a_training_has_no_report_and_says_so(tmp_path, monkeypatch, trained):
    monkeypatch.setattr("numpy_vgg7.plots.available", lambda: False)
    done = run("train", *TINY, "--epochs", "1", "--out", tmp_path / "run")
    assert done.exit_code == 0
    assert "no plots and no report: matplotlib is not installed (extra: plot)" in done.stderr
    assert not (tmp_path / "run" / "report.html").exists()
    done = run("report", trained[0])
    assert "pip install 'numpy-vgg7[plot]'" in str(done.exception)
