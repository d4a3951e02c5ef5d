"""Versions and libraries in use: for `doctor`, and for the env.json of a run folder."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from numpy_vgg7.blas import libraries

PACKAGES = (
    "numpy-vgg7", "numpy", "safetensors", "scikit-learn", "threadpoolctl", "typer", "rich", "pillow",
    "jinja2", "matplotlib", "torch", "onnx", "onnxruntime", "keras", "h5py",
)  # fmt: skip


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
    notes = blas_problems(found["blas"])
    if found["packages"]["torch"] is None:
        notes.append("PyTorch is not installed: `parity run` and .pt files need it (extra: torch)")
    if found["packages"]["matplotlib"] is None:
        notes.append("matplotlib is not installed: `train` makes no plots and no report (extra: plot)")
    return notes


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
