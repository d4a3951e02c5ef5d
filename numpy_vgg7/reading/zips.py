"""Zip archives (.npz, .pt, .keras): what they claim is checked against the length of the file first."""

import io
import zipfile
from pathlib import Path

from numpy_vgg7.limits import require_memory
from numpy_vgg7.reading.border import MORE, FileKind, most_bytes


class Archive:
    """The entries of a zip file. Raises the error of its kind if they claim more than it can contain.

    uncompressed: what to do if compression makes them claim too much.
    """

    def __init__(
        self, path: Path, kind: FileKind, uncompressed: str = "write it without compression"
    ) -> None:
        self.path, self.kind = path, kind
        content = kind.read(path)
        with kind.parsing(path):
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            entries = self._zip.infolist()
        self.entries = {entry.filename: entry for entry in entries}
        claimed = sum(entry.file_size for entry in entries)
        compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
        if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in entries):
            raise kind.damaged(path, "a compression that neither NumPy nor PyTorch writes")
        most = most_bytes(len(content)) if compressed else len(content)
        found = f"{len(entries)} entries that claim {claimed:,} bytes in a file of {len(content):,}"
        if compressed and claimed > most:
            expected, fix = f"a {kind.name}, compressed from at most {most:,} bytes", uncompressed
            raise kind.error(str(path), expected, found, fix)
        if len(entries) != len(self.entries) or claimed > most:
            raise kind.damaged(path, found)
        require_memory(str(path), claimed, MORE, kind.error)

    def read(self, name: str) -> bytes:
        """One entry; its checksum is verified."""
        with self.kind.parsing(self.path):
            return self._zip.read(self.entries[name])
