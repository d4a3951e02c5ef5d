"""Imports point one way, and `import numpy_vgg7` loads NumPy and the standard library only."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import ROOT, python

# A module imports only from itself and from the lines above its own. A name is a module or a package.
ORDER = [
    {"errors", "suggestions"},
    {"limits"},
    {"functional"},
    {"reading"},
    {"network", "optim"},
    {"blas", "locks"},
    {"temporary"},
    {"engine", "config", "inputs", "files", "child", "pages"},
    {"model", "pictures"},
    {"weights", "data", "environment"},
    {"training", "pretrained"},
    {"parity", "plots"},
    {"article", "bench", "estimator", "exercise", "report"},
    {"cli"},
]
DEFINITION = {"functional", "network", "optim"}
# Imports inside a function, at the time of the call, or for annotations only.
LAZY = {
    ("model", "weights"),
    ("model", "training"),
    ("cli", "torch_ref"),
    ("cli", "jax_ref"),
    ("cli", "onnx_ref"),
    ("cli", "keras_ref"),
    ("parity", "torch_ref"),
}

# Packages that only those which compare with them, or write their files, import.
OTHERS = {name: f"{name}_ref" for name in ("torch", "jax", "onnx", "keras")} | {"onnxruntime": "onnx_ref"}

# The format ONNX is read and written by its own package, imported when it is needed.
ONNX = "numpy_vgg7.weights.onnx.proto"

FILES = sorted((ROOT / "numpy_vgg7").rglob("*.py"))


def part_of(path: Path) -> str:
    """The module or package directly in numpy_vgg7 that a file belongs to."""
    return path.relative_to(ROOT / "numpy_vgg7").parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """The full names that a file imports, and whether not when it is loaded itself."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert not child.level, f"{path}:{child.lineno}: write the full name, not a relative import"
                yield from ((f"{child.module}.{alias.name}", lazy) for alias in child.names)
            function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
            annotations = isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            yield from walk(child, lazy or function or annotations)

    return walk(ast.parse(path.read_text()), False)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_from_those_before_it(path):
    part = part_of(path)
    if part in ("__init__", "__main__"):
        return
    place = next((number for number, parts in enumerate(ORDER) if part in parts), None)
    assert place is not None, f"{part} has no place in ORDER in {__file__}"
    before = {part, "__version__"}.union(*ORDER[:place])
    for name, lazy in imports(path):
        package, target = [*name.split("."), ""][:2]
        if package == "numpy_vgg7":
            assert target in before or (lazy and (part, target) in LAZY), f"{path}: {part} imports {name}"
        if not (package == "onnx" and path == ROOT / f"{ONNX.replace('.', '/')}.py"):
            assert package not in OTHERS, f"{path} imports {name}: only {OTHERS[package]} does"
        assert lazy or not name.startswith(ONNX), f"{path} imports {name} outside a function"
        if package in OTHERS.values():
            allowed = lazy and (part, package) in LAZY
            assert allowed, f"{path} imports {name} outside a function of cli or parity"


@pytest.mark.parametrize(
    "path",
    [path for path in FILES if part_of(path) in DEFINITION | {"engine"}],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_definition_and_engine_import_numpy_and_the_standard_library_only(path):
    packages = {name.split(".")[0] for name, _ in imports(path)}
    assert packages <= set(sys.stdlib_module_names) | {"numpy", "numpy_vgg7"}


def test_import_numpy_vgg7_loads_numpy_and_the_standard_library_only():
    code = "import sys; before = set(sys.modules); import numpy_vgg7; print(*set(sys.modules) - before)"
    result = python("-c", code)
    assert result.code == 0, result.stderr
    packages = {name.split(".")[0] for name in result.stdout.split()}
    assert packages <= set(sys.stdlib_module_names) | {"numpy", "numpy_vgg7"}
