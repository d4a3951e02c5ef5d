"""Zip archives (.npz, .pt): what they claim is checked against the length of the file before it is read."""

import io
import zipfile
import zlib
from pathlib import Path

from numpy_vgg7.weights.tensors import damaged

# Weights hardly compress: this much more than the file is long is for compressed zeros.
SPARE = 1 << 26

ZIP_ERRORS = (
    zipfile.BadZipFile, zlib.error, OSError, ValueError, EOFError, NotImplementedError, RuntimeError,
    KeyError, OverflowError,
)  # fmt: skip


class Archive:
    """The entries of a zip file. Raises WeightsError if they claim more bytes than the file can contain."""

    def __init__(self, path: Path, expected: str) -> None:
        self.path, self.expected = path, expected
        content = path.read_bytes()
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(content))
        except ZIP_ERRORS as error:
            raise damaged(path, expected, error) from error
        entries = self._zip.infolist()
        self.entries = {entry.filename: entry for entry in entries}
        claimed = sum(entry.file_size for entry in entries)
        if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
            raise damaged(path, expected, "a compression that neither NumPy nor PyTorch writes")
        if len(entries) != len(self.entries) or claimed > len(content) + SPARE:
            found = f"{len(entries)} entries that claim {claimed:,} bytes in a file of {len(content):,}"
            raise damaged(path, expected, found)

    def read(self, name: str) -> bytes:
        """One entry; its checksum is verified. Raises WeightsError."""
        try:
            return self._zip.read(self.entries[name])
        except ZIP_ERRORS as error:
            raise damaged(self.path, self.expected, f"{name}: {error}") from error
