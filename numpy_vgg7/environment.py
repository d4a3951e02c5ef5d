"""Versions and libraries in use: for `doctor`, and for the env.json of a run folder."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from numpy_vgg7.blas import libraries

PACKAGES = (
    "numpy-vgg7", "numpy", "scipy", "safetensors", "scikit-learn", "threadpoolctl", "typer", "rich", "pillow",
    "jinja2", "matplotlib", "torch", "onnx", "onnxruntime", "keras", "h5py",
)  # fmt: skip
# What needs an optional package, and the extra that installs it.
EXTRAS = {
    "torch": ("`parity run`, `case` and `prove`, and writing .pt and Keras files", "torch"),
    "matplotlib": ("plots and reports", "plot"),
    "onnx": (".onnx files", "onnx"),
    "onnxruntime": ("comparing with ONNX Runtime in `parity run`", "onnx"),
    "keras": ("writing Keras files", "keras"),
    "h5py": ("reading Keras files", "keras"),
}


def environment() -> dict[str, Any]:
    """Versions, BLAS and threads: `packages` (None where not installed), `blas`, `python`, ..."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: _version(name) for name in PACKAGES},
        "blas": blas(),
    }


def blas() -> dict[str, Any]:
    """The BLAS that NumPy calls: name, version, kernel, threads, and whether the kernel is forced.

    `overridden` is the value of OPENBLAS_CORETYPE, which replaces the kernel chosen for the processor:
    results stay correct, but may take longer.
    """
    found = libraries()[0].info() if libraries() else {}
    return {
        "name": found.get("internal_api", "unknown"),
        "version": found.get("version", "unknown"),
        "kernel": found.get("architecture", "unknown"),
        "threads": found.get("num_threads", 1),
        "overridden": os.environ.get("OPENBLAS_CORETYPE"),
    }


def problems(found: dict[str, Any]) -> list[str]:
    """Missing packages and configuration problems in the result of `environment`, one line each."""
    missing = [(package, *need) for package, need in EXTRAS.items() if found["packages"][package] is None]
    return blas_problems(found["blas"]) + [
        f"{package} is not installed, but required for {purpose}: pip install 'numpy-vgg7[{extra}]'"
        for package, purpose, extra in missing
    ]


def verdict(notes: list[str]) -> str:
    """What the result of `problems` comes to, in one line."""
    if not notes:
        return "Everything that the commands need is installed."
    count = "1 problem" if len(notes) == 1 else f"{len(notes)} problems"
    return f"{count}, marked with ! above; everything else is in order."


def blas_problems(found: dict[str, Any]) -> list[str]:
    """Problems in the result of `blas`, one line each."""
    if not found["overridden"]:
        return []
    return [f"OPENBLAS_CORETYPE={found['overridden']} forces a BLAS kernel; unset it before measuring speed"]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
