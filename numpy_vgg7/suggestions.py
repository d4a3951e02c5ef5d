"""The known name that was probably meant by a mistyped one."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches

ALIKE = 0.6  # how similar two names must be, for difflib


def closest(name: object, known: Iterable[object], key: Callable[[str], str] = str.lower) -> str | None:
    """The known name most like `name`, or None if none is close. Compared is what `key` makes of names."""
    by_key = {key(str(candidate)): str(candidate) for candidate in known}
    close = get_close_matches(key(str(name)), by_key, n=1, cutoff=ALIKE)
    return by_key[close[0]] if close else None


def instead(name: object, known: Iterable[object], otherwise: str = "choose one") -> str:
    """What to do about an unknown name: the last part of an error message."""
    close = closest(name, known)
    return f"did you mean {close}?" if close else otherwise
