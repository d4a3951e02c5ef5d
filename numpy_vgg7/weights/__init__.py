"""Weights on disk: strict to read, whole when written.

`record.py` says what makes a set of tensors valid, `formats.py` how each suffix stores it, and
`infer.py` finds the configuration of a file that does not say.
"""

from numpy_vgg7.weights.formats import load, read_foreign, save
from numpy_vgg7.weights.record import check_tensors

__all__ = ["check_tensors", "load", "read_foreign", "save"]
