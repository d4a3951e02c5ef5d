"""Write the tables of docs/checks.md: which known bugs usual checks catch.

Run it after a change to the catalogue of bugs or to docs/my_checks.py: `.venv/bin/python scripts/checks.py`.
It runs `numpy-vgg7 parity prove --tests docs/my_checks.py`, which takes about five minutes on two cores.
"""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, CHECKS = ROOT / "docs" / "checks.md", ROOT / "docs" / "my_checks.py"
COMMAND = ["-m", "numpy_vgg7", "parity", "prove", "--tests", str(CHECKS), "--time-limit", "300", "--json"]
KINDS = ("forward", "backward", "optimiser", "engine", "weights")  # the last word of a place
START = "<!-- The rest is written by scripts/checks.py. -->\n"


def run() -> dict[str, Any]:
    """The record of `parity prove --tests`."""
    done = subprocess.run([sys.executable, *COMMAND], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def criteria() -> dict[str, str]:
    """What each check demands: the docstrings of the functions, without the last full stop."""
    tree = ast.parse(CHECKS.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {f.name: (ast.get_docstring(f) or "").rstrip(".") for f in functions if f.name.startswith("test_")}


def tables(record: dict[str, Any]) -> str:
    """The rest of the page: how many bugs each check catches, and which."""
    bugs, texts = record["mutants"], criteria()
    kinds = [kind for kind in KINDS if any(bug["expected"].endswith(kind) for bug in bugs)]
    of_kind = {kind: [bug for bug in bugs if bug["expected"].endswith(kind)] for kind in kinds}
    head = [f"{kind} ({len(found)})" for kind, found in of_kind.items()]
    lines = [row(["", "check", *head, f"all ({len(bugs)})"]), row(["---"] * (len(kinds) + 3))]
    for number, (name, text) in enumerate(texts.items(), 1):
        counts = [sum(name in bug["caught_by"] for bug in found) for found in of_kind.values()]
        lines.append(row([number, text, *counts, sum(counts)]))
    caught = [
        sum(not texts.keys().isdisjoint(bug["caught_by"]) for bug in found) for found in of_kind.values()
    ]
    lines.append(row(["", "all of them together", *caught, sum(caught)]))
    lines += ["", "## Which bugs", "", "x: caught by the check of that number.", ""]
    lines += [row(["bug", "place", *range(1, len(texts) + 1)]), row(["---"] * (len(texts) + 2))]
    for bug in bugs:
        marks = ["x" if name in bug["caught_by"] else "" for name in texts]
        lines.append(row([bug["name"], bug["expected"], *marks]))
    return "\n".join(lines) + "\n"


def row(cells: list[Any]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


if __name__ == "__main__":
    record = run()
    introduction, start, _ = PAGE.read_text(encoding="utf-8").partition(START)
    assert start, f"{PAGE} has no line {START}"
    PAGE.write_text(f"{introduction}{START}\n{tables(record)}", encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
