"""Write docs/api.md: the signatures and docstrings of the Python interface.

Run it after a change to one of them: `.venv/bin/python scripts/docs.py`.
"""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "api.md"

INTRODUCTION = """# The Python interface

```python
import numpy as np
from numpy_vgg7 import VGG7, VGG7Config
from numpy_vgg7.data import load, split

digits = split(load("digits", classes=10))
model = VGG7(VGG7Config.preset("vgg7", image_size=8), seed=0)
validation = (digits.validation.images, digits.validation.labels)
history = model.fit(digits.train.images, digits.train.labels, validation=validation, epochs=2, on_epoch=print)
print(history, model.evaluate(digits.test.images, digits.test.labels))

model.save("weights.safetensors")
probabilities = VGG7.load("weights.safetensors").predict_proba(digits.test.images)
assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)
```

Images are (N, H, W) or (N, 1, H, W), labels (N,). Weights of convolutions are (out, in/groups, 3, 3), those
of fully connected layers (out, in). Everything that is not on this page may change without notice.

This page is generated from the docstrings by `scripts/docs.py`.
"""

# A section: its title, and by file the names that it lists; all public ones where there are none.
SECTIONS: dict[str, dict[str, tuple[str, ...]]] = {
    "The model": {"numpy_vgg7/model.py": ("VGG7",), "numpy_vgg7/config.py": ("VGG7Config",)},
    "Functions and their gradients": {"numpy_vgg7/functional.py": ()},
    "The network as a list of layers": {"numpy_vgg7/network.py": ()},
    "Optimization": {"numpy_vgg7/optim.py": ()},
    "Data": {
        "numpy_vgg7/data/__init__.py": ("load",),
        "numpy_vgg7/data/dataset.py": (),
        "numpy_vgg7/data/augmentation.py": (),
    },
    "Training": {
        "numpy_vgg7/training/config.py": (),
        "numpy_vgg7/training/loop.py": (),
        "numpy_vgg7/training/fit.py": ("History",),
    },
    "scikit-learn": {"numpy_vgg7/estimator.py": ("VGG7Classifier",)},
    "Weights files": {
        "numpy_vgg7/weights/formats.py": ("save", "load"),
        "numpy_vgg7/weights/importing.py": ("Origin", "Imported", "import_weights", "read_foreign"),
        "numpy_vgg7/weights/probe.py": ("Probe", "read_probe", "write_probe"),
        "numpy_vgg7/weights/check.py": (),
    },
    "Pictures": {
        "numpy_vgg7/pictures/read.py": (),
        "numpy_vgg7/pictures/prepare.py": ("prepare", "Prepared"),
        "numpy_vgg7/pretrained/__init__.py": ("mnist",),
    },
    "Checking other implementations": {
        "numpy_vgg7/parity/judge.py": ("check",),
        "numpy_vgg7/parity/run.py": ("Report",),
    },
    "Checking a layer": {
        "numpy_vgg7/parity/layer/check.py": ("check_layer",),
        "numpy_vgg7/parity/layer/update.py": ("check_sgd_step",),
        "numpy_vgg7/parity/layer/report.py": (),
    },
    "Exercises": {"numpy_vgg7/exercise/write.py": ("new",), "numpy_vgg7/exercise/verdict.py": ()},
    "PyTorch": {
        "torch_ref/model.py": ("TorchVGG7",),
        "torch_ref/weights.py": ("to_torch", "from_torch"),
        "torch_ref/compare.py": (),
    },
    "Keras": {"keras_ref/model.py": ("to_keras",)},
    "Errors": {"numpy_vgg7/errors.py": ()},
}


def outline(node: ast.FunctionDef | ast.ClassDef) -> ast.stmt:
    """A definition without its code: signature, docstring, fields and public methods."""
    docstring = [node.body[0]] if ast.get_docstring(node) else []
    rest: list[ast.stmt] = []
    if isinstance(node, ast.ClassDef):
        fields = [item for item in node.body if isinstance(item, ast.AnnAssign)]
        rest = [*fields, *(outline(item) for item in node.body if is_public(item))]
    node.body = [*docstring, *rest] or [ast.Expr(ast.Constant(...))]
    return node


def is_public(node: ast.stmt) -> bool:
    """Whether a statement defines a class or function for users; a constructor counts as one."""
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return False
    if any(isinstance(decorator, ast.Attribute) for decorator in node.decorator_list):
        return False  # the setter of a property, which is documented at the getter
    return node.name == "__init__" or not node.name.startswith("_")


def entries(path: Path, names: tuple[str, ...]) -> str:
    """The outlines of a file's public definitions, as formatted Python."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [node for node in tree.body if is_public(node) and (not names or node.name in names)]
    missing = set(names) - {node.name for node in public}
    assert not missing, f"{path} does not define {', '.join(missing)}: correct SECTIONS in {__file__}"
    code = "\n\n".join(ast.unparse(outline(node)) for node in public)
    formatter = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(PAGE.with_suffix(".py"))]
    return subprocess.run(formatter, input=code, capture_output=True, text=True, check=True).stdout


def page() -> str:
    """The contents of docs/api.md."""
    parts = [INTRODUCTION]
    for title, files in SECTIONS.items():
        parts.append(f"## {title}\n")
        for name, names in files.items():
            module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            parts.append(f"### `{module}`\n\n```py\n{entries(ROOT / name, names)}```\n")
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
