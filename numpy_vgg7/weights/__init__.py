"""Weights files.

`formats.py` is the table of formats: `safetensors_file.py`, `npz.py` and `pytorch.py`, which read through
`archive.py` and `pickles.py`; `onnx/` and `keras_files.py`, whose files contain the layers (`chain.py`).
`record.py` verifies files with metadata.

`importing.py` reads files of other programs in steps: `state_dict.py`, `tensors.py`, `layouts.py`,
`names.py`, `features.py`, `infer.py`. `check.py` compares the result with a probe (`probe.py`), and explains
a difference by `readings.py` and `normalisation.py`.
"""

from numpy_vgg7.weights.formats import load, save
from numpy_vgg7.weights.importing import Imported, Origin, import_weights, read_foreign
from numpy_vgg7.weights.record import check_tensors

__all__ = ["Imported", "Origin", "check_tensors", "import_weights", "load", "read_foreign", "save"]
