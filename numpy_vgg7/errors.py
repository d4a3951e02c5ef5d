"""Errors that a user can cause. Each is one line: what, what was expected, what was found, what to do."""

import errno
import json
import os

LONGEST = 300  # characters of a message
GAP = " ... "
# What to do about a path that the system refuses, where its reason tells.
REMEDIES = {
    "ENOSPC": "make room there, or choose another place",
    "EDQUOT": "make room in your quota, or choose another place",
    "EFBIG": "raise the limit on the size of files (ulimit -f), or choose another place",
    "EACCES": "check the permissions, or choose another place",
    "EPERM": "check the permissions, or choose another place",
    "EROFS": "choose a place that is not read-only",
    "ENAMETOOLONG": "choose a shorter name",
    "ELOOP": "check the symbolic links",
    "EMFILE": "raise the limit on open files (ulimit -n)",
    "ENFILE": "raise the limit on open files of the system",
}


class VGG7Error(Exception):
    """Bad input. The command line prints it as one line and exits with code 3.

    The message reads "{what}: expected {expected}, found {found}; {fix}"; `found` may be any object. It is
    one line of at most LONGEST characters, with nothing in it that a terminal would act on.
    """

    def __init__(self, what: str, expected: str, found: object, fix: str) -> None:
        *parts, last = (printable(words(part)) for part in (what, expected, found, fix))
        parts[2] = parts[2] or "nothing"
        room = LONGEST - len(": expected , found ; ")
        last = _shortened(last, room // 2)  # of the others first
        room -= len(last)
        longest = room
        while sum(min(len(part), longest) for part in parts) > room:
            longest -= 1
        shown = (_shortened(part, longest) for part in parts)
        super().__init__("{}: expected {}, found {}; {}".format(*shown, last))
        self.what, self.expected, self.found, self.fix = what, expected, words(found), fix


def printable(text: str) -> str:
    """A text on one line, with `escaped` characters."""
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    r"""A text in which nothing is left that terminals act on or do not show.

    Ends of lines, control characters and escape sequences, marks of direction, and the bytes of names that
    cannot be decoded are written as in Python: \n, \x1b, \u202e, \udce9.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def words(found: object) -> str:
    """The text of an object. What the system or the parser of JSON says about a file is put in words."""
    if isinstance(found, json.JSONDecodeError):
        return f"no JSON from line {found.lineno}, column {found.colno} on"
    if isinstance(found, OSError) and found.errno:
        if current_folder_is_gone(found):
            return "a current folder that was deleted"
        return str(found.strerror or os.strerror(found.errno)).lower()
    try:
        return str(found)
    except Exception as error:  # of an object of the user
        return f"{type(found).__name__}, which has no text ({type(error).__name__})"


def remedy(error: Exception, otherwise: str) -> str:
    """What to do about a path that the system refuses; `otherwise`, if its reason does not tell."""
    if current_folder_is_gone(error):
        return "change to another folder (cd)"
    return REMEDIES.get(errno.errorcode.get(getattr(error, "errno", None) or 0, ""), otherwise)


def current_folder_is_gone(error: Exception) -> bool:
    """Whether a relative path is missing because it is relative to nothing."""
    if not isinstance(error, FileNotFoundError) or os.path.isabs(str(error.filename or "")):
        return False
    try:
        os.getcwd()
    except FileNotFoundError:
        return True
    return False


def _shortened(text: str, longest: int) -> str:
    """The beginning and the end of a text that is too long."""
    if len(text) <= longest:
        return text
    half = (longest - len(GAP)) // 2
    return text[: longest - len(GAP) - half] + GAP + text[-half:]


class ConfigError(VGG7Error):
    """An invalid configuration of a network or of a training."""


class DataError(VGG7Error):
    """Images or labels that the network cannot take."""


class WeightsError(VGG7Error):
    """Weights that are damaged, incomplete or do not fit the configuration."""


class OutputError(VGG7Error):
    """A path that cannot be written to, or that must not be overwritten."""

    @classmethod
    def of(cls, path: object, expected: str, error: OSError, fix: str = "choose another") -> "OutputError":
        """The error of a path that the system refuses; `fix` is for where its reason tells no other."""
        return cls(str(path), expected, error, remedy(error, fix))


class MissingDependencyError(VGG7Error):
    """An optional package that the command needs is not installed."""


class CaseError(VGG7Error):
    """A parity case, or a candidate for one, that cannot be compared."""


class LayerError(VGG7Error):
    """A layer that `check_layer` cannot examine: its arguments, or the way that it is called."""


class CodeError(VGG7Error):
    """Python code of a user that cannot be executed, or that lacks something: an exercise, or checks."""


class TrainingError(VGG7Error):
    """A training that cannot start, or whose loss is no longer finite."""


class BenchError(VGG7Error):
    """A measurement that could not be taken."""
