"""Imports point one way, and `import numpy_vgg7` stays light."""

import ast
import sys
from pathlib import Path

import pytest

from tests.commands import ROOT, python

# Each room may import itself and what stands above it; rooms of one line don't import each other.
FLOORS = [
    {"errors"},
    {"nn"},
    {"atomic", "inputs", "numpy_files"},
    {"vgg7"},
    {"weights", "data", "environment"},
    {"training"},
    {"parity", "plots", "bench", "script_order"},
    {"article"},
    {"tuned"},
    {"cli"},
]
# VGG7.save and VGG7.load are doors on the model, opened when they are used.
DOORS = {("vgg7", "weights")}
# The only rooms that may ask for PyTorch, inside a function.
ASKS_FOR_PYTORCH = {"cli"}

FILES = sorted((ROOT / "numpy_vgg7").rglob("*.py"))


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "numpy_vgg7").parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    room = room_of(path)
    if room in ("__init__", "__main__"):
        return
    floor = next(number for number, rooms in enumerate(FLOORS) if room in rooms)
    allowed = {room}.union(*FLOORS[:floor])
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "numpy_vgg7" and len(parts) > 1:
            assert parts[1] in allowed or (room, parts[1]) in DOORS, f"{room} imports {name}"
        assert parts[0] != "torch", f"{path} imports {name}"
        assert parts[0] != "torch_ref" or room in ASKS_FOR_PYTORCH, f"{path} imports {name}"


@pytest.mark.parametrize("path", sorted((ROOT / "numpy_vgg7" / "nn").glob("*.py")), ids=lambda p: p.name)
def test_the_mathematics_imports_numpy_and_the_standard_library_only(path):
    roots = {name.split(".")[0] for name in imported(path)}
    assert roots <= set(sys.stdlib_module_names) | {"numpy", "numpy_vgg7"}


def test_import_numpy_vgg7_loads_no_heavy_package():
    heavy = "torch torch_ref sklearn scipy matplotlib typer rich safetensors PIL threadpoolctl"
    code = f"import sys, numpy_vgg7; print([name for name in '{heavy}'.split() if name in sys.modules])"
    done = python("-c", code)
    assert done.stdout.strip() == "[]", done
