"""Opening files, and one error type for all that can go wrong in parsing them."""

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from threading import RLock

from numpy_vgg7.errors import DataError, VGG7Error, current_folder_is_gone, remedy, words
from numpy_vgg7.limits import require_memory

MORE = "use a machine with more memory"
COPY = "check that it was copied completely and is not of another format"
LONGEST_TEXT = 1 << 20  # bytes of a configuration, or of a program

# What a file may take when it is expanded: so many bytes for each of its own, or so many more than it has.
# NUMBERS are counted as float64, which they may become: a compressed file has at most 32 for each byte. All
# of MNIST in black and white has 16, in float32, and is 63 times as long. PIXELS are counted as the decoder
# stores them. WEIGHTS do not compress, but tensors may share their numbers.
WIDEST = 8  # bytes of a float64
NUMBERS, PIXELS, WEIGHTS = (256, 1 << 24), (256, 1 << 26), (2, 1 << 24)

# Opening must not wait for the other end of a pipe, nor translate ends of lines on Windows.
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY", "O_NOINHERIT"):
    _FLAGS |= getattr(os, _name, 0)

_OTHERS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


_warnings = RLock()  # the filters of warnings belong to all threads
if hasattr(os, "register_at_fork"):  # a child has only the thread that forked, which may release the lock
    os.register_at_fork(
        before=_warnings.acquire, after_in_parent=_warnings.release, after_in_child=_warnings.release
    )


@contextmanager
def without_warnings() -> Iterator[None]:
    """Ignore the warnings of a library about a file, such as one that Python 2 wrote."""
    with _warnings, warnings.catch_warnings(action="ignore"):
        yield


def most_bytes(file_size: int, content: tuple[int, int]) -> int:
    """How many bytes a file may take when it is expanded; `content` is NUMBERS, PIXELS or WEIGHTS."""
    times, more = content
    return max(times * file_size, file_size + more)


@dataclass(frozen=True)
class FileKind:
    """What is expected in a file, and the error that is raised where it is not found.

    name: what it is, for messages, such as "npz file". fix: what to do about a damaged file.
    longest: the most bytes that such a file has; None is as many as fit the memory.
    """

    name: str
    error: type[VGG7Error] = DataError
    fix: str = COPY
    longest: int | None = None

    def damaged(self, path: Path, found: object) -> VGG7Error:
        """The error of a file that is not what it should be."""
        found = "an empty file" if _is_empty(path) else f"something else ({found})"
        return self.error(str(path), f"a complete {self.name}", found, self.fix)

    @contextmanager
    def parsing(self, path: Path) -> Iterator[None]:
        """Turn whatever a block raises into the error of a damaged file, or of one that is too large.

        Errors of this package stay.

        Libraries raise what their authors did not foresee, too, so there is no list of exceptions.
        """
        try:
            yield
        except (VGG7Error, ImportError):
            raise
        except MemoryError as error:
            expected = f"a {self.name} that fits the memory"
            raise self.error(str(path), expected, f"a larger one ({error})", MORE) from error
        except Exception as error:
            name = type(error).__name__
            plain = isinstance(error, (ValueError, OSError)) and str(error)
            found = words(error) if plain else f"{name}: {error}".rstrip(": ")
            raise self.damaged(path, found) from error

    @contextmanager
    def opened(self, path: Path) -> Iterator[BufferedReader]:
        """Open a regular file that is not too long, and turn what is raised in reading into our error."""
        number = self._open(path)
        with os.fdopen(number, "rb") as file:
            length = os.fstat(number).st_size
            if self.longest is not None and length > self.longest:
                expected, found = f"at most {self.longest:,} bytes", f"{length:,}"
                raise self.error(str(path), f"a readable {self.name} of {expected}", found, self.fix)
            require_memory(str(path), length, MORE, self.error)
            with self.parsing(path):
                yield file

    def _open(self, path: Path) -> int:
        try:
            _require_regular(os.stat(path).st_mode)  # a device may act when it is opened
            number = os.open(path, _FLAGS)
            try:
                _require_regular(os.fstat(number).st_mode)
            except BaseException:
                os.close(number)
                raise
        except (OSError, ValueError) as error:  # ValueError: a null character in the name
            found = _found(path, error)
            fix = remedy(error, "check the path")
            raise self.error(str(path), f"a readable {self.name}", found, fix) from error
        return number

    def read(self, path: Path) -> bytes:
        """The content of a file."""
        with self.opened(path) as file:
            return file.read()

    def text(self, path: Path) -> str:
        """The content of a UTF-8 file."""
        with self.parsing(path):
            return self.read(path).decode("utf-8")


def _require_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise ValueError(_OTHERS.get(stat.S_IFMT(mode), "no regular file"))


def _is_empty(path: Path) -> bool:
    try:
        return os.path.getsize(path) == 0 and os.path.isfile(path)
    except (OSError, ValueError):
        return False


def _found(path: Path, error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError) and not current_folder_is_gone(error):
        return "a link to nothing" if path.is_symlink() else "nothing there"
    return words(error)
