"""The only place where files that a user names are opened and parsed.

`FileKind` opens them and turns what libraries raise into errors of this package; `arrays.py` reads npz and
npy files, `zips.py` other archives. No other module of this package calls `open`, `numpy.load` and the like,
which a test checks.
"""

from numpy_vgg7.reading.arrays import read_npy, read_npz
from numpy_vgg7.reading.border import (
    COPY,
    LONGEST_TEXT,
    NUMBERS,
    PIXELS,
    WEIGHTS,
    WIDEST,
    FileKind,
    most_bytes,
    without_warnings,
)
from numpy_vgg7.reading.zips import Archive

__all__ = [
    "COPY",
    "LONGEST_TEXT",
    "NUMBERS",
    "PIXELS",
    "WEIGHTS",
    "WIDEST",
    "Archive",
    "FileKind",
    "most_bytes",
    "read_npy",
    "read_npz",
    "without_warnings",
]
