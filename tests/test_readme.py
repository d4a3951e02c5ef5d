"""Every command and every block of Python in the README and the documentation runs."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from tests import t10k
from tests.commands import QUICK_BENCH, ROOT, python

README = (ROOT / "README.md").read_text()
# These two create environments; continuous integration runs them.
SET_UP = ["python3 scripts/demo.py", "python3 scripts/test.py"]
FEW = " --epochs 8"  # of a training; the last of several numbers counts


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_two_commands_come_first_and_continuous_integration_runs_them():
    assert blocks("sh")[0].splitlines() == SET_UP
    script = (ROOT / ".ci" / "run").read_text().splitlines()
    assert all(command in script for command in SET_UP)
    workflow = (ROOT / ".github" / "workflows" / "tests.yml").read_text()
    assert all(command.replace("python3", "python") in workflow for command in SET_UP)


def test_every_command_runs_in_the_order_of_the_page(tmp_path):
    for folder in ("docs", "notebooks"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    made = tmp_path / "made"
    made.mkdir()
    (tmp_path / "mnist").symlink_to(t10k.folder(lambda: made))
    printed = ""
    commands = quoted = 0
    for language, block in re.findall(r"```(sh|text|python)\n(.*?)```", README, re.DOTALL):
        if language == "python":
            printed = None  # what follows is of this block, which has a test of its own
        elif language == "text" and printed is not None:
            quoted += 1
            end = 0
            for line in block.splitlines():  # all of it, in this order
                assert line in printed[end:], f"the last command prints no such line: {line}\n{printed}"
                end = printed.index(line, end) + 1
        elif language == "sh":
            lines = [line for line in block.splitlines() if line not in SET_UP]
            commands += len(lines)
            for line in lines:
                printed = run(line, tmp_path).splitlines()
    assert commands >= 10
    assert quoted == 2


def run(line, folder):
    """What a command of the page prints, run in a folder."""
    program, words = line.split(" ", 1)
    command = {"numpy-vgg7": f"{sys.executable} -m numpy_vgg7", "python3": sys.executable}[program]
    if words.startswith("bench "):
        command, words = shlex.join([sys.executable, *QUICK_BENCH]), words.removeprefix("bench ")
    command += f" {words}" + FEW * words.startswith("train ")
    done = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    if " predict " in line:
        assert ": 3 (" in done.stdout, "three.png is not read as a 3"
    return done.stdout


def test_the_python_example_runs():
    result = python("-W", "error", "-c", blocks("python")[0])
    assert result.code == 0, result.stderr


def test_five_lines_train_on_arrays():
    example = blocks("python")[1]
    assert len([line for line in example.splitlines() if line]) == 5
    result = python("-W", "error", "-c", example)
    assert result.code == 0, result.stderr
    assert float(result.stdout.split("test ")[1].rstrip(">\n")) > 0.9


def test_the_example_for_scikit_learn_runs(tmp_path):
    result = python("-W", "error", "-c", blocks("python")[2], cwd=tmp_path, MPLBACKEND="agg")
    assert result.code == 0, result.stderr
    assert float(result.stdout.split()[-1]) > 0.9
    assert (tmp_path / "confusion.png").is_file()


def test_the_training_loop_of_ten_lines_learns():
    loop = blocks("python")[3]
    lines = [line for line in loop.splitlines() if line and "import" not in line and "print" not in line]
    assert len(lines) == 10
    result = python("-W", "error", "-c", loop)
    assert result.code == 0, result.stderr
    assert float(result.stdout.split()[-1]) < 0.3, f"{result.stdout}: an untrained network has 2.3"


def test_the_example_of_a_single_layer_names_the_mistake():
    example = blocks("python")[4]
    assert len([line for line in example.splitlines() if line]) <= 10
    result = python("-W", "error", "-c", example)
    assert result.code == 0, result.stderr
    (printed,) = [block for block in blocks("text") if block.startswith("FAIL: 1 finding (like linear")]
    assert result.stdout == printed


def test_every_image_exists():
    images = re.findall(r"!\[.*?\]\((.*?)\)", README)
    assert images
    for image in images:
        assert Path(ROOT / image).is_file(), image


def test_every_link_to_a_file_leads_to_one():
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_table_of_presets_has_the_parameter_counts():
    from numpy_vgg7 import VGG7
    from numpy_vgg7.config import PRESETS

    for name, config in PRESETS.items():
        count = sum(parameter.size for parameter in VGG7(config).params.values())
        (row,) = [line for line in README.splitlines() if line.startswith(f"| `{name}` |")]
        assert f"{count:,}" in row, f"{name} has {count:,} parameters"
