"""Weights files.

`formats.py` reads and writes each format, `record.py` validates tensors and metadata, and `infer.py` derives
the configuration of a file without metadata.
"""

from numpy_vgg7.weights.formats import load, read_foreign, save
from numpy_vgg7.weights.record import check_tensors

__all__ = ["check_tensors", "load", "read_foreign", "save"]
