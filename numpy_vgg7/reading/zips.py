"""Zip archives (.npz, .pt, .keras): what they claim is checked against the length of the file first."""

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from numpy_vgg7.errors import VGG7Error
from numpy_vgg7.limits import require_memory
from numpy_vgg7.reading.border import MORE, WEIGHTS, FileKind, most_bytes


class Archive:
    """The entries of a zip file. Raises the error of its kind if they claim more than it can contain.

    content: what is in it, NUMBERS or WEIGHTS. uncompressed: what to do if compression makes it claim too
    much. length: of the file, in bytes. most: how many bytes what is read from it may take; without
    compression, no more than the file has.
    """

    def __init__(
        self,
        path: Path,
        kind: FileKind,
        content: tuple[int, int] = WEIGHTS,
        uncompressed: str = "write it without compression",
    ) -> None:
        self.path, self.kind, self._fix = path, kind, uncompressed
        stored = kind.read(path)
        with kind.parsing(path):
            self._zip = zipfile.ZipFile(io.BytesIO(stored))
            entries = self._zip.infolist()
        self.entries = {entry.filename: entry for entry in entries}
        self.length = len(stored)
        self.compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
            raise kind.damaged(path, "a compression that neither NumPy nor PyTorch writes")
        self.most = most_bytes(self.length, content) if self.compressed else self.length
        claimed = sum(entry.file_size for entry in entries)
        found = f"{len(entries)} entries that claim {claimed:,} bytes in a file of {self.length:,}"
        if self.compressed and claimed > self.most:
            raise self.too_large(found)
        if len(entries) != len(self.entries) or claimed > self.most:
            raise kind.damaged(path, found)
        require_memory(str(path), claimed, MORE, kind.error)

    def too_large(self, found: str) -> VGG7Error:
        """The error of a compressed file that claims too much."""
        expected = f"a {self.kind.name}, compressed from at most {self.most:,} bytes"
        return self.kind.error(str(self.path), expected, found, self._fix)

    @contextmanager
    def opened(self, name: str) -> Iterator[IO[bytes]]:
        """One entry as a file; its checksum is verified at its end."""
        with self.kind.parsing(self.path), self._zip.open(self.entries[name]) as file:
            yield file

    def read(self, name: str) -> bytes:
        """One entry; its checksum is verified."""
        with self.opened(name) as file:
            return file.read()
