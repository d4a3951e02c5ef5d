"""Run the notebook and store its output in it: `.venv/bin/python scripts/notebook.py`.

Set NUMPY_VGG7_DATA to a folder with MNIST's test files, so that the last section has output, too.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient

PATH = Path(__file__).resolve().parent.parent / "notebooks" / "vgg7_from_scratch.ipynb"


def main() -> None:
    """Execute all cells in order. A cell that raises leaves the file unchanged."""
    notebook = nbformat.read(PATH, as_version=4)
    folder = {"metadata": {"path": str(PATH.parent)}}
    NotebookClient(notebook, resources=folder, record_timing=False, coalesce_streams=True).execute()
    notebook.metadata.language_info = {"name": "python"}  # no version of the interpreter that ran it
    nbformat.write(notebook, PATH)


if __name__ == "__main__":
    main()
