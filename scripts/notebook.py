"""Build the notebook from `notebooks/source/`, run it, and store it with its output.

    .venv/bin/python scripts/notebook.py

The source is Python in the percent format, which editors show as cells: `# %% [markdown] [kind] name` begins
a cell, both in brackets are optional, and the text of a markdown cell is in comments. An "exercise" is for a
reader to complete, and the "check" behind it gives a point. Both have the metadata of nbgrader, as does a
"locked" cell, which a submission cannot change. The tag "solution" serves to remove solutions.
"""

import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode, v4

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
SOURCE = FOLDER / "source"
PATH = FOLDER / "vgg7_from_scratch.ipynb"
HEAD = re.compile(r"^# %% (?:\[(markdown)\] )?(?:\[(\w+)\] )?([\w-]+)\n", re.MULTILINE)

# What nbgrader needs to know: https://nbgrader.readthedocs.io/en/stable/contributor_guide/metadata.html
GRADING: dict[str, dict[str, Any]] = {
    "exercise": {"solution": True, "grade": False, "locked": False},
    "check": {"solution": False, "grade": True, "locked": True, "points": 1},
    "locked": {"solution": False, "grade": False, "locked": True},
}


def source() -> NotebookNode:
    """The notebook without output."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(SOURCE.glob("*.py")))
    _, *parts = HEAD.split(text)
    cells = [cell(*parts[i : i + 4]) for i in range(0, len(parts), 4)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def cell(markdown: str | None, kind: str | None, name: str, text: str) -> NotebookNode:
    """One cell; `kind` is its tag, if it has one."""
    metadata: dict[str, Any] = {"tags": [kind]} if kind else {}
    if kind in GRADING:
        metadata["nbgrader"] = {"schema_version": 3, "task": False, "grade_id": name, **GRADING[kind]}
    if not markdown:
        return v4.new_code_cell(text.strip(), id=name, metadata=metadata)
    lines = [line.removeprefix("#").removeprefix(" ") for line in text.strip().splitlines()]
    return v4.new_markdown_cell("\n".join(lines), id=name, metadata=metadata)


def executed() -> NotebookNode:
    """The notebook with its output. Raises CellExecutionError if a cell does."""
    notebook = source()
    client = NotebookClient(
        notebook,
        resources={"metadata": {"path": str(FOLDER)}},
        record_timing=False,
        coalesce_streams=True,
    )
    client.execute()
    notebook.metadata.language_info = {"name": "python"}  # no version of the interpreter that ran it
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), PATH)
