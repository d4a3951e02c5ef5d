"""`parity prove --tests FILE`: which known bugs someone's own tests catch; and docs/checks.md."""

import json
import re
import runpy

import pytest

from numpy_vgg7.errors import CodeError
from numpy_vgg7.parity import own_tests
from numpy_vgg7.parity.mutants import NETWORK, Mutant
from numpy_vgg7.parity.own_tests import applicable, by_place, names_of_tests, outcomes
from tests.commands import ROOT, numpy_vgg7

POOL = """
import numpy as np
from numpy_vgg7.functional import avg_pool2d_backward


def test_quarter():
    assert np.allclose(avg_pool2d_backward(np.ones((1, 1, 2, 2))), 0.25), "no quarter\\nand more"


def test_sum(size=2):
    assert np.isclose(avg_pool2d_backward(np.eye(size)[None, None]).sum(), 2)


def test_nothing():
    print("{}")


def test_needs_a_fixture(tmp_path):
    raise AssertionError


test_is_no_function = None
"""


def mutants(*names: str) -> list[Mutant]:
    return [mutant for mutant in NETWORK if mutant.name in names]


def written(folder, text):
    path = folder / "mine.py"
    path.write_text(text)
    return path


MISSING, TOP_LEFT, TILED, LEAKY = (
    "pool's factor 1/4 missing (definition)",
    "pool's gradient to the top left pixel only",
    "pool's gradient tiled instead of repeated",
    "leaky ReLU",
)


def test_each_bug_is_caught_or_missed_with_the_tests_that_failed(tmp_path):
    path = written(tmp_path, POOL)
    assert names_of_tests(path) == ["test_quarter", "test_sum", "test_nothing"]
    found = list(outcomes(path, mutants(MISSING, TOP_LEFT, TILED, LEAKY)))
    assert {outcome.mutant.name: list(outcome.failed) for outcome in found} == {
        MISSING: ["test_quarter", "test_sum"],
        TOP_LEFT: ["test_quarter", "test_sum"],
        TILED: [],
        LEAKY: [],
    }
    assert found[1].failed["test_quarter"] == "AssertionError: no quarter"
    assert by_place(found) == {"forward": (0, 1), "backward": (2, 3)}


def test_the_command_prints_a_table_a_summary_and_json(tmp_path):
    path = written(tmp_path, POOL)
    total = sum("pool's" in mutant.name for mutant in NETWORK)
    words = ("parity", "prove", "--only", "pool's", "--tests", path)
    done = numpy_vgg7(*words)
    assert done.code == 0, done.stderr
    assert f"2 of {total} bugs caught by 3 tests in {path}" in done.stdout
    assert f"by place: backward 2 of {total}" in done.stdout
    assert "caught nothing: test_nothing" in done.stdout
    record = json.loads(numpy_vgg7(*words, "--json").stdout)
    assert record["tests"] == ["test_quarter", "test_sum", "test_nothing"]
    assert (record["total"], record["caught"]) == (total, 2)
    assert [bug["caught_by"] for bug in record["mutants"]].count([]) == total - 2
    assert {*record["mutants"][0]} == {"name", "caught", "caught_by", "expected", "messages"}


def test_a_bug_is_in_the_package_before_the_file_is_loaded(tmp_path):
    text = "from numpy_vgg7.functional import avg_pool2d_backward as f\nimport numpy as np\n"
    text += "TOTAL = f(np.ones((1, 1, 1, 1))).sum()\ndef test_total():\n    assert TOTAL == 1\n"
    text += "assert TOTAL < 4\n"
    (outcome,) = outcomes(written(tmp_path, text), mutants(MISSING))
    assert outcome.failed == {"loading": "AssertionError"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def test_a():\n    assert 1 == 2, 'not equal'\n", "test_a: expected tests that pass.*not equal"),
        ("def test_a():\n    import pytest\n    pytest.fail('so')\n", "Failed: so"),
        ("def test_a():\n    raise SystemExit(3)\n", "SystemExit: 3"),
        ("raise ValueError('no')", "loading: expected .* found ValueError: no"),
        ("def test_a(:", "SyntaxError"),
        ("def check_a():\n    pass\n", "at least one test"),
        ("import os\nos._exit(5)\n", "exit code 5"),
        ("while True: pass", "at most 3 seconds"),
    ],
)
def test_a_file_whose_tests_cannot_be_used_is_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(CodeError, match=words) as caught:
        names_of_tests(written(tmp_path, text), seconds=3 if "while" in text else 30)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_with_code_3(tmp_path):
    done = numpy_vgg7("parity", "prove", "--tests", tmp_path / "none.py")
    assert done.code == 3
    assert done.stderr.count("\n") == 1


def test_a_bug_with_which_the_tests_do_not_end_or_end_the_process_is_caught(tmp_path):
    text = "import os, time\nimport numpy as np\nfrom numpy_vgg7.functional import avg_pool2d_backward\n"
    text += "def test_a():\n    total = avg_pool2d_backward(np.ones((1, 1, 1, 1))).sum()\n"
    text += "    if total == 4:\n        time.sleep(60)\n    if total < 1:\n        os._exit(7)\n"
    path = written(tmp_path, text)
    (endless,) = outcomes(path, mutants(MISSING), seconds=4)
    assert endless.failed == {"time limit": "not finished within 4 seconds"}
    (ended,) = outcomes(path, mutants(TOP_LEFT))
    assert ended.failed == {"loading": "the end of the process (exit code 7)"}


def test_the_bug_of_the_reference_is_left_out_without_pytorch(monkeypatch):
    assert applicable(NETWORK) == list(NETWORK)
    monkeypatch.setattr(own_tests, "find_spec", lambda name: None)
    left = {mutant.name for mutant in NETWORK} - {mutant.name for mutant in applicable(NETWORK)}
    assert left == {"arctan' missing here and in the referee"}


# docs/checks.md

PAGE = (ROOT / "docs" / "checks.md").read_text(encoding="utf-8")
SCRIPT = runpy.run_path(str(ROOT / "scripts" / "checks.py"))
AGAIN = "run .venv/bin/python scripts/checks.py"


def recorded():
    """The record that the table of single bugs in docs/checks.md shows."""
    names = list(SCRIPT["criteria"]())
    lines = PAGE.partition("## Which bugs")[2].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    bugs = []
    for name, place, *marks in rows[2:]:  # the first two are the head
        by = [check for check, mark in zip(names, marks, strict=True) if mark == "x"]
        bugs.append({"name": name, "expected": place, "caught_by": by})
    return {"mutants": bugs}


def test_the_tables_name_every_bug_of_the_catalogue_and_their_sums_are_right():
    record = recorded()
    places = {bug["name"]: bug["expected"] for bug in record["mutants"]}
    assert places == {mutant.name: mutant.place for mutant in NETWORK}, AGAIN
    assert PAGE.partition(SCRIPT["START"])[2] == "\n" + SCRIPT["tables"](record), AGAIN


def test_a_bug_is_caught_by_the_checks_that_the_table_names():
    name = "pool's gradient transposed"
    (outcome,) = outcomes(SCRIPT["CHECKS"], mutants(name))
    (row,) = (bug for bug in recorded()["mutants"] if bug["name"] == name)
    assert list(outcome.failed) == row["caught_by"], AGAIN


def test_the_page_lists_no_check_that_the_file_does_not_have():
    checks = re.findall(r"^def (test_\w+)\(\)", SCRIPT["CHECKS"].read_text(), re.MULTILINE)
    assert list(SCRIPT["criteria"]()) == checks
