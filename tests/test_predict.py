"""`predict`: the weights of the package or others, several files of which some are bad, and --show."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from numpy_vgg7 import VGG7, VGG7Config, pretrained
from numpy_vgg7.cli.commands import app
from numpy_vgg7.pictures import SUFFIXES
from tests.commands import ROOT, numpy_vgg7

CASES = ROOT / "tests" / "cases" / "pictures"
BIG, TWO = CASES / "big_01_3.png", CASES / "two_01_3.png"


def predict(*words):
    return CliRunner().invoke(app, ["predict", *map(str, words)])


def rows(*words):
    """The predictions in the JSON of a command that succeeds."""
    done = predict(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["predictions"]


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.safetensors"
    VGG7(VGG7Config.preset("article"), seed=3).save(path)
    return path


def test_without_weights_those_of_the_package_are_used(tmp_path):
    done = numpy_vgg7("predict", BIG)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith(f"{BIG}: 3 (")
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["w.safetensors", "weights", "w.st"])
def test_a_first_file_without_the_suffix_of_an_image_is_the_weights(weights, tmp_path, name):
    path = tmp_path / name
    if path != weights:
        shutil.copy(weights, path)
    expected = VGG7.load(weights).predict_proba(pretrained_input())[0]
    assert np.allclose(rows(path, BIG)[0]["probabilities"], expected, atol=1e-6)


def pretrained_input():
    from numpy_vgg7.pictures.read import read_images

    return read_images(BIG, 28).images


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG"])
def test_a_first_file_with_the_suffix_of_an_image_is_an_image(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    if suffix == ".npy":
        np.save(path, np.asarray(Image.open(CASES / "orig28_01_3.png")))
    else:
        Image.open(BIG).convert("L").save(path)
    found = rows(path, BIG)
    assert [row["file"] for row in found] == [str(path), str(BIG)]
    expected = pretrained.mnist().predict_proba(pretrained_input())[0]
    assert np.allclose(found[1]["probabilities"], expected, atol=1e-6)
    assert found[0]["label"] == 3


def test_weights_without_an_image_are_a_usage_error(weights):
    done = predict(weights)
    assert done.exit_code == 2
    assert "no image is given" in " ".join(done.output.split())


def test_a_bad_file_does_not_lose_the_answers_of_the_others(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"some text")
    Image.new("L", (30, 30), 90).save(tmp_path / "blank.png")
    files = (
        tmp_path / "bad.png",
        BIG,
        tmp_path / "no.png",
        tmp_path / "blank.png",
        CASES / "pencil_01_3.png",
    )
    done = numpy_vgg7("predict", *files)
    assert done.code == 3
    assert [line.split(" (")[0] for line in done.stdout.splitlines()] == [f"{files[1]}: 3", f"{files[4]}: 3"]
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    for line, path in zip(lines, (files[0], files[2], files[3]), strict=True):
        assert line.startswith(f"numpy-vgg7: {path}: expected ")
    record = numpy_vgg7("predict", *files, "--json")
    assert record.code == 3
    record = json.loads(record.stdout)
    assert [row["label"] for row in record["predictions"]] == [3, 3]
    assert [error["file"] for error in record["errors"]] == [str(files[n]) for n in (0, 2, 3)]


def test_warnings_go_to_standard_error_and_into_the_record():
    done = predict(TWO)
    assert done.exit_code == 0
    assert done.stderr.startswith(f"{TWO}: warning: several shapes")
    assert "warning" not in done.stdout
    assert rows(TWO)[0]["warnings"] == ["several shapes, of which the largest was read"]
    assert rows(BIG)[0]["warnings"] == []


def test_show_writes_what_the_network_saw(tmp_path):
    rows(BIG, CASES / "orig28_01_3.png", "--show", tmp_path / "seen.png")
    seen = np.asarray(Image.open(tmp_path / "seen.png"))
    original = np.asarray(Image.open(CASES / "orig28_01_3.png")).repeat(6, axis=0).repeat(6, axis=1)
    assert (seen[8 : 8 + 168, 184 : 184 + 168] == original).all()
    prepared = np.rint(pretrained_input()[0, 0] * 255).repeat(6, axis=0).repeat(6, axis=1)
    assert (seen[8 : 8 + 168, 8 : 8 + 168] == prepared).all()
    assert (seen[177:190] < 200).any(), "no caption"


def test_show_draws_at_most_200_images_and_takes_a_name_ending_in_png(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((300, 28, 28)))
    done = predict(tmp_path / "x.npy", "--show", tmp_path / "seen.png", "--json")
    assert "only the first 200 images" in " ".join(done.stderr.split())
    assert len(json.loads(done.stdout)["predictions"]) == 300
    done = numpy_vgg7("predict", BIG, "--show", tmp_path / "seen.jpg")
    assert done.code == 3
    assert "ending in .png" in done.stderr
    assert done.stdout == ""


def test_an_image_is_not_replaced_by_what_the_network_saw(tmp_path):
    shutil.copy(ROOT / "docs" / "images" / "three.png", tmp_path / "three.png")
    before = (tmp_path / "three.png").read_bytes()
    done = numpy_vgg7("predict", tmp_path / "three.png", "--show", tmp_path / "three.png")
    assert (done.code, (tmp_path / "three.png").read_bytes()) == (3, before)
    assert "not one of the images" in done.stderr


def test_a_mistyped_run_folder_is_named_as_missing(tmp_path):
    done = numpy_vgg7("evaluate", tmp_path / "runs" / "firts")
    assert done.code == 3
    assert "expected a run folder or a weights file, found nothing there" in done.stderr
