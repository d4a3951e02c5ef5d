"""docs/api.md agrees with the source, and its example runs."""

import re
import runpy

from tests.commands import ROOT, python

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_docstrings_say():
    generated = runpy.run_path(str(ROOT / "scripts" / "docs.py"))["page"]()
    assert generated == PAGE, "a signature or docstring changed: run .venv/bin/python scripts/docs.py"


def test_the_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    result = python("-W", "error", "-c", example, cwd=tmp_path)
    assert result.code == 0, result.stderr
