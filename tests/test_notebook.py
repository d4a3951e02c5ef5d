"""The notebook runs from top to bottom and contains its output, so that it can be read without running it."""

import json

import pytest

from tests.commands import ROOT, python

NOTEBOOK = ROOT / "notebooks" / "vgg7_from_scratch.ipynb"
CELLS = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]
MAX_MEGABYTES = 1.5  # what code hosting sites still render quickly

STORE = "store it with: .venv/bin/python scripts/notebook.py"


def test_it_runs_from_top_to_bottom():
    # Deprecation warnings of Jupyter itself are not errors here.
    command = ("-m", "pytest", "-o", "filterwarnings=default", "--nbmake", NOTEBOOK)
    result = python(*command, NUMPY_VGG7_FAST="1")
    assert result.code == 0, result.stdout + result.stderr


@pytest.mark.parametrize("cell", CODE, ids=lambda cell: cell["id"])
def test_a_cell_that_prints_or_plots_contains_its_output(cell):
    source = "".join(cell["source"])
    shows = [
        line for line in source.splitlines() if line.startswith(("print(", "show", "plt.show", "display"))
    ]
    if shows:
        assert cell["outputs"], f"no output for {shows[0]!r}; {STORE}"
    kinds = {output["output_type"] for output in cell["outputs"]}
    assert kinds <= {"stream", "display_data", "execute_result"}, f"the stored output is an error; {STORE}"


def test_its_cells_were_run_in_order():
    counts = [cell["execution_count"] for cell in CODE]
    assert counts == list(range(1, len(CODE) + 1)), STORE


def test_it_is_small_enough_to_be_rendered_and_names_no_path_of_the_machine_that_ran_it():
    assert NOTEBOOK.stat().st_size < MAX_MEGABYTES * 1e6
    texts = [text for cell in CODE for output in cell["outputs"] for text in output.get("text", [])]
    assert not [text for text in texts if str(ROOT) in text or "site-packages" in text]


def test_every_cell_has_a_unique_name():
    names = [cell["id"] for cell in CELLS]
    assert len(set(names)) == len(names)
    assert all(name.replace("-", "").isalnum() for name in names)
