"""Errors that a user can cause. Each is one line: what, what was expected, what was found, what to do."""

LONGEST = 300  # characters of a message
GAP = " ... "


class VGG7Error(Exception):
    """Bad input. The command line prints it as one line and exits with code 3.

    The message reads "{what}: expected {expected}, found {found}; {fix}"; `found` may be any object. It is
    one line of at most LONGEST characters, with nothing in it that a terminal would act on.
    """

    def __init__(self, what: str, expected: str, found: object, fix: str) -> None:
        *parts, remedy = (printable(_text(part)) for part in (what, expected, found, fix))
        room = LONGEST - len(": expected , found ; ")
        remedy = _shortened(remedy, room // 2)  # of the others first
        room -= len(remedy)
        longest = room
        while sum(min(len(part), longest) for part in parts) > room:
            longest -= 1
        shown = (_shortened(part, longest) for part in parts)
        super().__init__("{}: expected {}, found {}; {}".format(*shown, remedy))
        self.what, self.expected, self.found, self.fix = what, expected, _text(found), fix


def printable(text: str) -> str:
    """A text on one line, with `escaped` characters."""
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    r"""A text in which only ends of lines are left of what terminals act on or do not show.

    Control characters and escape sequences, marks of direction, and the bytes of names that cannot be decoded
    are written as in Python: \x1b, \u202e, \udce9.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def _text(found: object) -> str:
    try:
        return str(found)
    except Exception as error:  # of an object of the user
        return f"{type(found).__name__}, which has no text ({type(error).__name__})"


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
