"""Exercises: one mistake each, a right hint, and a check that accepts right code and nothing else."""

import functools
import json
import random
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from numpy_vgg7.child import answer
from numpy_vgg7.errors import CodeError, ConfigError, OutputError
from numpy_vgg7.exercise import Verdict, check, new, verdict
from numpy_vgg7.exercise.examine import LAYERS, examine
from numpy_vgg7.exercise.mistakes import MISTAKES
from numpy_vgg7.exercise.verdict import Hint
from numpy_vgg7.exercise.write import contents, mistake, planted, template
from tests.commands import ROOT, numpy_vgg7, python

RIGHT = template("network.py")


@functools.cache
def examined(code: str) -> Verdict:
    """What the check finds in this code, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.py"
        path.write_text(code)
        searched = list(sys.path)
        try:
            found = examine(path)
        finally:
            sys.path[:] = searched
            sys.modules.pop("network", None)
    return Verdict(tuple(Hint(**hint) for hint in found["findings"]))


def changed(right, other):
    assert RIGHT.count(right) == 1, right
    return RIGHT.replace(right, other)


@pytest.mark.parametrize(
    "written", ["b''", "b'{'", "b'[]'", "b'{\"error\": 1}'", "b'[' * 10**5", "bytes(2**27)"]
)
def test_code_that_writes_an_answer_of_its_own_is_one_line(tmp_path, written):
    path = tmp_path / "network.py"
    path.write_text(f"import os, sys\nopen(sys.argv[1], 'wb').write({written})\nos._exit(0)\n")
    with pytest.raises(CodeError, match=r"answer.*correct the code"):
        answer("numpy_vgg7.exercise.examine", path, seconds=60)


# The mistakes.


def test_the_template_is_right():
    assert examined(RIGHT).mended


@pytest.mark.parametrize("made", MISTAKES, ids=lambda made: made.wrong)
def test_a_mistake_replaces_one_place_and_its_hints_are_right(made):
    assert RIGHT.count(made.right) == 1
    found = examined(planted(made))
    assert {finding.place for finding in found.findings} == {made.place}
    assert made.words in found.findings[0].words


def test_there_are_mistakes_in_every_layer_forward_and_backward():
    assert len(MISTAKES) >= 30
    assert len({planted(made) for made in MISTAKES}) == len(MISTAKES)
    places = {made.place for made in MISTAKES}
    for layer in LAYERS:
        assert {f"{layer.like} forward", f"{layer.like} backward"} <= places
    assert {"network, flatten forward", "network, act1 backward", "network, optimiser"} <= places


def test_as_many_seeds_as_there_are_mistakes_have_all_of_them():
    assert {mistake(seed) for seed in range(len(MISTAKES))} == set(MISTAKES)


SEEDS = random.Random(6).sample(range(10**6), 50)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_exercise_is_solved_by_undoing_its_mistake_and_by_no_other_mistake(seed):
    made, code = mistake(seed), contents(seed)["network.py"]
    assert not examined(code).mended
    start = RIGHT.index(made.right)
    mended = code[:start] + made.right + code[start + len(made.wrong) :]
    assert mended == RIGHT
    assert examined(mended).mended
    for other in MISTAKES:
        assert not examined(planted(other)).mended


# Right code that is other than the template.
ANSWERS = {
    "einsum over all windows": (
        "    out = np.zeros((n, len(weight), height, width))\n",
        "    seen = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))\n"
        '    return np.einsum("ncijuv,ocuv->noij", seen, weight) + bias[:, None, None]\n'
        "    out = np.zeros((n, len(weight), height, width))\n",
    ),
    "a mask": ("np.where(x > 0, d_out, 0)", "(x > 0) * d_out"),
    "relu by where": ("np.maximum(x, 0)", "np.where(x > 0, x, 0.0)"),
    "a sum of four": (
        "x.reshape(n, c, height // 2, 2, width // 2, 2).mean(axis=(3, 5))",
        "(x[..., ::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, ::2] + x[..., 1::2, 1::2]) / 4",
    ),
    "kron": ("d_out.repeat(2, axis=2).repeat(2, axis=3) / 4", "np.kron(d_out, np.full((1, 1, 2, 2), 0.25))"),
    "einsum": ("d_weight = d_out.T @ x", 'd_weight = np.einsum("no,ni->oi", d_out, x)'),
    "a product of two": ("(1 - out**2)", "(1 - out) * (1 + out)"),
    "one-hot labels": (
        "    d_logits = probs.copy()\n    d_logits[np.arange(len(labels)), labels] -= 1\n",
        "    d_logits = probs - np.eye(probs.shape[1])[labels]\n",
    ),
    "an array of shape ()": ("return loss, np.exp", "return np.asarray(loss), np.exp"),
    "more entries": ('    v["act1"] =', '    v["mine"] = "a note"\n    v["act1"] ='),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_other_right_code_is_accepted(name):
    assert examined(changed(*ANSWERS[name])).mended


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        (
            "d_out / (1 + x**2)",
            "d_out / (1 + x**2) * 1.000001",
            "arctan backward, d_x: differs in 28 of 28",
        ),
        ("updated = {}", "params['conv1.bias'] *= 2\n    updated = {}", "sgd_step: changes its arguments"),
        ('d["pool1"] = d["flatten"]', 'd["pool1"] = v["pool1"] * np.nan + d["flatten"]', "is not finite"),
        ('d["flatten"].reshape(', 'd["flatten"][::-1].reshape(', "flatten backward: pool1.grad"),
    ],
    ids=["a small factor", "in place", "NaN", "images reversed"],
)
def test_mistakes_that_no_exercise_has_are_found_too(right, wrong, words):
    found = examined(changed(right, wrong))
    assert any(words in finding.words for finding in found.findings), found.findings


# Files.


def test_an_exercise_is_the_same_for_the_same_seed_and_tells_its_number(tmp_path):
    for name in ("a", "b"):
        paths = new(tmp_path / name, 7)
        assert [path.name for path in paths] == ["network.py", "test_network.py", "README.md"]
    for path in paths:
        assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()
    assert "# Exercise 7\n" in (tmp_path / "a" / "README.md").read_text()
    assert (tmp_path / "a" / "network.py").read_text() == planted(mistake(7))


def test_an_empty_folder_is_used_and_one_with_files_is_refused(tmp_path):
    new(tmp_path, 0)
    with pytest.raises(OutputError, match="new or empty folder"):
        new(tmp_path, 0)
    with pytest.raises(OutputError):
        new(tmp_path / "README.md", 0)
    with pytest.raises(OutputError):
        new(tmp_path / "README.md" / "inside", 0)


def test_an_unknown_level_of_hints_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="none, place, words"):
        new(tmp_path / "a", 0, "all")
    assert not (tmp_path / "a").exists()
    with pytest.raises(ConfigError):
        Verdict(()).lines("all")


# What is told.


def test_each_level_of_hints_tells_more():
    found = Verdict((Hint("relu backward", "relu backward, d_x: gated"),))
    told = {hint: "\n".join(found.lines(hint)) for hint in verdict.HINTS}
    assert "relu" not in told["none"]
    assert "gated" not in told["none"] + told["place"]
    assert "relu backward" in told["place"]
    assert "relu backward, d_x: gated" in told["words"]
    assert Verdict(()).lines("words") == ["fixed: network.py is correct"]


def test_the_commands_write_an_exercise_and_check_it(tmp_path):
    folder = tmp_path / "ex"
    assert numpy_vgg7("exercise", "new", "--seed", 3, folder).code == 0
    assert numpy_vgg7("exercise", "new", folder).code == 3
    done = numpy_vgg7("exercise", "check", folder, "--hint", "words", "--json")
    record = json.loads(done.stdout)
    assert done.code == 4
    assert record["mended"] is False
    assert record["findings"][0]["place"] == mistake(3).place
    assert mistake(3).words in record["findings"][0]["words"]
    (folder / "network.py").write_text(RIGHT)
    done = numpy_vgg7("exercise", "check", folder)
    assert (done.code, done.stdout) == (0, "fixed: network.py is correct\n")
    assert numpy_vgg7("exercise", "check", folder, "--hint", "all").code == 2
    assert numpy_vgg7("exercise", "check", tmp_path).code == 3


@pytest.mark.parametrize("hint", ["none", "words"])
def test_the_test_of_an_exercise_fails_with_its_hint_and_passes_once_mended(tmp_path, hint):
    new(tmp_path, 5, hint)
    failed = python("-m", "pytest", "-q", tmp_path, cwd=tmp_path)
    assert failed.code == 1
    assert "not fixed" in failed.stdout
    assert (mistake(5).words in failed.stdout) == (hint == "words")
    assert (mistake(5).place in failed.stdout) == (hint == "words")
    (tmp_path / "network.py").write_text(RIGHT)
    assert python("-m", "pytest", "-q", tmp_path, cwd=tmp_path).code == 0


# Code that cannot be executed.
BROKEN = {
    "no Python": ("def relu(x):", "def relu(x:", "SyntaxError"),
    "null bytes": ("import numpy as np\n", "import numpy as np\0\n", "SyntaxError"),
    "raises when loaded": (
        "import numpy as np\n",
        "import numpy as np\n1 / 0\n",
        "line 10.*ZeroDivisionError",
    ),
    "exits when loaded": ("import numpy as np\n", "import numpy as np\nraise SystemExit\n", "SystemExit"),
    "imports nothing": ("import numpy as np\n", "import nunpy as np\n", "ModuleNotFoundError"),
    "raises": ("np.maximum(x, 0)", "np.maximum(x, y)", r"line \d+.*NameError: name 'y'"),
    "raises in the whole": ('v["act1"] = relu(v["conv1"])', 'v["act1"] = relu(v["conv2"])', "KeyError"),
    "wrong shapes": ("d_x = d_out @ weight", "d_x = d_out @ weight.T", "line.*ValueError: matmul"),
    "no result": ("return np.maximum(x, 0)", "np.maximum(x, 0)", "out as NoneType"),
    "too few results": (
        "return d_x, d_weight, d_bias\n\n\ndef relu(",
        "return d_x\n\n\ndef relu(",
        "1 arrays",
    ),
    "no function": ("def arctan_backward", "def arctan_backwards", "a function arctan_backward, found none"),
    "other arguments": ("def relu_backward(x, d_out)", "def relu_backward(x, a, b, d_out)", "relu_backward"),
    "a list of values": ("return v\n", "return list(v)\n", "forward to return a dictionary, found list"),
    "an entry missing": ("return d\n", "del d['fc2']; return d\n", 'backward to return "fc2"'),
    "an entry of another shape": ("return d\n", "d['fc2'] = d['fc2'].T; return d\n", "found shape"),
    "words for numbers": ("return d\n", "d['fc2'] = 'much'; return d\n", "an array of numbers"),
    "recursion": ("return np.arctan(x)", "return arctan(x)", "RecursionError"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_code_that_cannot_be_executed_is_an_error_of_one_line(name):
    right, wrong, words = BROKEN[name]
    with np.errstate(all="ignore"), pytest.raises(CodeError, match=words) as caught:
        examined(changed(right, wrong))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("import os; os._exit(0)", r"the end of the process \(exit code 0\)"),
        ("raise KeyboardInterrupt", "the end of the process"),
        ("while True: pass", "finishes within 4 seconds"),
        ("print('{}'); undefined", "NameError"),
    ],
)
def test_code_that_ends_the_process_or_never_ends_is_an_error(tmp_path, monkeypatch, wrong, words):
    if "while" in wrong:
        monkeypatch.setattr(verdict, "SECONDS", 4.0)
    (tmp_path / "network.py").write_text(changed("return np.maximum(x, 0)", wrong))
    with pytest.raises(CodeError, match=words):
        check(tmp_path)


def test_the_readme_shows_the_hint_of_its_exercise(tmp_path):
    page = (ROOT / "README.md").read_text()
    (seed,) = re.findall(r"exercise new --seed (\d+) exercise", page)
    new(tmp_path, int(seed))
    lines = check(tmp_path).lines("words")
    assert "```text\n" + "\n".join(lines) + "\n```" in page
    assert f"one of {len(MISTAKES)} mistakes" in page


def test_a_thread_that_never_ends_does_not_keep_the_check(tmp_path):
    thread = "import threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    (tmp_path / "network.py").write_text(
        RIGHT.replace("import numpy as np\n", f"import numpy as np\n{thread}")
    )
    assert check(tmp_path).mended


def test_what_the_code_prints_is_not_shown_and_neighbours_can_be_imported(tmp_path):
    (tmp_path / "mine.py").write_text("def larger(x):\n    print('called')\n    return x * (x > 0)\n")
    code = changed("np.maximum(x, 0)", "mine.larger(x)")
    (tmp_path / "network.py").write_text(
        code.replace("import numpy as np\n", "import mine\nimport numpy as np\n")
    )
    done = numpy_vgg7("exercise", "check", tmp_path)
    assert (done.code, done.stdout) == (0, "fixed: network.py is correct\n"), done.stderr
