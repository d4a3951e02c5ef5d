"""The wire format of Protocol Buffers: a message is a sequence of numbered fields.

See https://protobuf.dev/programming-guides/encoding. Nothing is copied when a message is read: a field is an
integer or a view of the file, so a file cannot claim memory that it does not contain.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_FIELDS = 4096  # of one message: a VGG7 has a few dozen, and small ones could fill the memory

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_FIXED = {FIXED64: 8, FIXED32: 4}
_LONGEST = 10  # bytes of a 64-bit integer, 7 bits in each

Field = int | memoryview
Value = int | str | bytes


class Message:
    """The fields of one message by number. Raises ValueError if the bytes are not one."""

    def __init__(self, content: memoryview) -> None:
        self._fields: dict[int, list[Field]] = {}
        place = count = 0
        while place < len(content):
            key, place = _varint(content, place)
            wire = key & 7
            value: Field
            if wire == VARINT:
                value, place = _varint(content, place)
            elif wire == BYTES or wire in _FIXED:
                size, place = (_FIXED[wire], place) if wire in _FIXED else _varint(content, place)
                if size > len(content) - place:
                    raise ValueError(f"a field of {size:,} bytes where {len(content) - place:,} are left")
                value, place = content[place : place + size], place + size
            else:
                raise ValueError(f"a field of the unknown kind {wire}")
            self._fields.setdefault(key >> 3, []).append(value)
            count += 1
            if count > MOST_FIELDS:
                raise ValueError(f"a message of more than {MOST_FIELDS} fields")

    def integer(self, number: int, default: int = 0) -> int:
        """The last value of an integer field."""
        return [default, *self.integers(number)][-1]

    def integers(self, number: int) -> list[int]:
        """All values of an integer field; several may be packed in one."""
        found: list[int] = self.integer_array(number, MOST_FIELDS).tolist()
        return found

    def integer_array(self, number: int, most: int) -> NDArray[np.int64]:
        """The same as an array. Raises ValueError if there are more than `most`, which take 8 bytes each."""
        found = np.fromiter(islice(self._integers(number), most + 1), np.int64)
        if len(found) > most:
            raise ValueError(f"more than {most} integers")
        return found

    def _integers(self, number: int) -> Iterator[int]:
        for field in self._fields.get(number, []):
            if isinstance(field, int):
                yield _signed(field)
                continue
            place = 0
            while place < len(field):
                value, place = _varint(field, place)
                yield _signed(value)

    def numbers(self, number: int, dtype: str) -> NDArray[Any]:
        """All values of a field of floating-point numbers; several may be packed in one."""
        return np.frombuffer(self._joined(number), dtype)

    def content(self, number: int) -> memoryview:
        """The last value of a field of bytes; empty if there is none."""
        return [memoryview(b""), *self._views(number)][-1]

    def text(self, number: int) -> str:
        """The last value of a text field."""
        return str(self.content(number), "utf-8")

    def texts(self, number: int) -> list[str]:
        """All values of a text field."""
        return [str(view, "utf-8") for view in self._views(number)]

    def message(self, number: int) -> "Message":
        """The last value of a field of messages; an empty message if there is none."""
        return Message(self.content(number))

    def messages(self, number: int) -> list["Message"]:
        """All values of a field of messages."""
        return [Message(view) for view in self._views(number)]

    def __contains__(self, number: int) -> bool:
        return number in self._fields

    def _views(self, number: int) -> list[memoryview]:
        fields = self._fields.get(number, [])
        views = [field for field in fields if isinstance(field, memoryview)]
        if len(views) != len(fields):
            raise ValueError(f"an integer in field {number}, which has none")
        return views

    def _joined(self, number: int) -> bytes | memoryview:
        views = self._views(number)
        return views[0] if len(views) == 1 else b"".join(views)


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    """An integer in groups of 7 bits, the lowest first, and the place behind it."""
    value = 0
    for index, byte in enumerate(content[place : place + _LONGEST]):
        value |= (byte & 127) << (7 * index)
        if byte < 128:
            return value & (2**64 - 1), place + index + 1
    raise ValueError("an integer without an end")


def _signed(value: int) -> int:
    return value - 2**64 if value >= 2**63 else value


def encode(fields: Mapping[int, Value | Sequence[Value]]) -> bytes:
    """The bytes of a message. A sequence is a field that is repeated."""
    parts = []
    for number, values in fields.items():
        for value in [values] if isinstance(values, Value) else values:
            if isinstance(value, int):
                parts += [_encoded(number << 3 | VARINT), _encoded(value % 2**64)]
            else:
                content = value.encode() if isinstance(value, str) else value
                parts += [_encoded(number << 3 | BYTES), _encoded(len(content)), content]
    return b"".join(parts)


def _encoded(value: int) -> bytes:
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
