"""The notebook runs from top to bottom, and is kept without what it printed."""

import json

import pytest

from tests.commands import ROOT, python

NOTEBOOK = ROOT / "notebooks" / "vgg7_from_scratch.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]


def test_it_runs_from_top_to_bottom():
    # What Jupyter warns of is not ours to mend.
    done = python("-m", "pytest", "-o", "filterwarnings=default", "--nbmake", NOTEBOOK, NUMPY_VGG7_FAST="1")
    assert done.code == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "cell", [cell for cell in CELLS if cell["cell_type"] == "code"], ids=lambda c: c["id"]
)
def test_it_is_kept_without_output(cell):
    assert cell["outputs"] == []
    assert cell["execution_count"] is None
    assert cell["metadata"] == {}


def test_every_cell_has_a_name_of_its_own():
    names = [cell["id"] for cell in CELLS]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() for name in names)
