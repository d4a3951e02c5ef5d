"""The notebook is what its source gives, and its exercises give a point to those who solve them."""

import base64
import importlib.util
import io
import re
import runpy
import subprocess
import sys

import nbformat
import numpy as np
import pytest
from PIL import Image

from numpy_vgg7 import network
from tests.commands import ROOT

BUILDER = runpy.run_path(str(ROOT / "scripts" / "notebook.py"))
PATH, FOLDER = BUILDER["PATH"], BUILDER["FOLDER"]
STORED = nbformat.read(PATH, as_version=4)
CELLS = {cell.id: cell for cell in STORED.cells}
CODE = [cell for cell in STORED.cells if cell.cell_type == "code"]
EXERCISES = [cell.id for cell in CODE if "exercise" in cell.metadata.get("tags", [])]
MAX_MEGABYTES = 1.5  # what code hosting sites still render quickly
STORE = "write it again: .venv/bin/python scripts/notebook.py"


def test_it_has_the_cells_of_its_source():
    for built, stored in zip(BUILDER["source"]().cells, STORED.cells, strict=True):
        assert (built.id, built.source, built.metadata) == (stored.id, stored.source, stored.metadata), STORE


def test_it_runs_from_top_to_bottom_and_gives_the_stored_output():
    for cell in BUILDER["executed"]().cells:
        stored = CELLS[cell.id]
        assert cell.get("execution_count") == stored.get("execution_count"), STORE
        for fresh, kept in zip(cell.get("outputs", []), stored.get("outputs", []), strict=True):
            assert text_of(fresh) == text_of(kept), f"{cell.id} prints something else; {STORE}"
            if "image/png" in fresh.get("data", {}):
                assert_similar(fresh, kept, cell.id)


def text_of(output):
    data = {kind: text for kind, text in output.get("data", {}).items() if kind != "image/png"}
    return output.output_type, output.get("name"), output.get("text"), output.get("metadata"), data


def assert_similar(fresh, kept, name):
    """Fonts may differ by the version of matplotlib, and the curve of a training by rounding."""
    pixels = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("L"), float)
        for output in (fresh, kept)
    ]
    assert pixels[0].shape == pixels[1].shape, f"{name} shows an image of another size; {STORE}"
    assert np.abs(pixels[0] - pixels[1]).mean() < 5, f"{name} shows another image; {STORE}"


def test_it_is_small_and_contains_neither_errors_nor_widgets_nor_paths_of_a_machine():
    text = PATH.read_text(encoding="utf-8")
    assert len(text) < MAX_MEGABYTES * 1e6
    assert str(ROOT) not in text
    assert "site-packages" not in text
    outputs = [output for cell in CODE for output in cell.outputs]
    assert {output.output_type for output in outputs} == {"stream", "display_data", "execute_result"}
    assert not [output for output in outputs if output.get("name") == "stderr"]
    results = [cell.id for cell in CODE for output in cell.outputs if output.output_type == "execute_result"]
    assert results == [f"{exercise}-check" for exercise in EXERCISES], "only points are shown without a print"
    kinds = {kind for output in outputs for kind in output.get("data", {})}
    assert kinds == {"image/png", "text/plain", "text/markdown"}


def test_every_figure_has_a_description_of_its_own():
    captions = []
    for cell in CODE:
        for index, figure in enumerate(cell.outputs):
            if "image/png" in figure.get("data", {}):
                captions.append(figure.metadata["image/png"]["alt"])
                assert cell.outputs[index + 1].data["text/markdown"] == f"*{captions[-1]}*"
    assert len(captions) == len(set(captions)) > 10
    assert min(map(len, captions)) > 60, "a description says what there is to see"


@pytest.fixture(scope="module")
def unsolved():
    """The names that the notebook defines up to the last exercise, without its figures."""
    names = {}
    for name in (
        "setup",
        "example-code",
        *(name for exercise in EXERCISES for name in (exercise, f"{exercise}-check")),
    ):
        exec(CELLS[name].source, names)
    return names


def test_unsolved_exercises_give_no_points(unsolved):
    assert list(unsolved["scores"].values()) == [0] * len(EXERCISES) == [0] * 8
    for exercise in EXERCISES:
        printed, points = CELLS[f"{exercise}-check"].outputs
        assert "raises NotImplementedError: not written yet" in printed.text
        # nbgrader takes a number that is the result of a cell for its points.
        assert (points.output_type, points.data["text/plain"]) == ("execute_result", "0")


@pytest.mark.parametrize("exercise", EXERCISES)
def test_a_solution_gives_a_point_whatever_else_is_solved(exercise, unsolved):
    names = unsolved | {"scores": {}}
    names["grade"] = lambda exercise, report: names["scores"].update({exercise: report})
    exec(CELLS[f"{exercise}-solution"].source.replace("_solution", ""), names)
    exec(CELLS[f"{exercise}-check"].source, names)
    (report,) = names["scores"].values()
    assert report.ok, report
    (printed,) = CELLS[f"{exercise}-solution"].outputs
    assert printed.text.startswith("PASS")


def test_solutions_together_make_a_network_with_the_right_gradients_that_learns(unsolved, capsys):
    names = dict(unsolved)
    for exercise in EXERCISES:
        exec(CELLS[f"{exercise}-solution"].source.replace("_solution", ""), names)
    names["scores"] = dict.fromkeys(names["scores"], 1)
    rng = np.random.default_rng(0)
    names["layers"] = network.vgg7(image_size=8, channels=(2, 2, 3, 3), hidden=(12, 10))
    names["batch"], names["truth"] = rng.uniform(size=(4, 1, 8, 8)), np.array([1, 0, 9, 4])
    exec(CELLS["yours-code"].source, names)
    printed = capsys.readouterr().out
    assert "All 14 gradients of your network agree" in printed
    first, *_, last = [float(loss) for loss in re.findall(r"loss (\d\.\d+)", printed)]
    assert last < first, printed


def test_the_install_cell_installs_from_the_repository_around_it_and_only_if_needed(monkeypatch, capsys):
    commands = []
    monkeypatch.setattr(subprocess, "run", lambda command, check: commands.append(command))
    exec(CELLS["install"].source, {})
    assert (commands, "There is nothing to do" in capsys.readouterr().out) == ([], True)

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.chdir(FOLDER)
    exec(CELLS["install"].source, {})
    (command,) = commands
    assert command[:4] == [sys.executable, "-m", "pip", "install"]
    assert command[-1] == f"{FOLDER.parent}[plot]"


def test_the_install_cell_says_what_to_do_where_there_is_no_repository(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="Open this notebook in a copy of its repository"):
        exec(CELLS["install"].source, {})
