"""The part of protocol buffers that is needed to write a message.

Source: https://protobuf.dev/programming-guides/encoding/. A field is a key (its number and how it
is encoded) and a value: a varint, or a length and that many bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

_VARINT, _BYTES = 0, 2


def varint(number: int) -> bytes:
    """Return a number of at most 64 bits, seven bits in a byte, the lowest first.

    >>> varint(300).hex()
    'ac02'

    """
    number &= (1 << 64) - 1
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def integer(field: int, number: int) -> bytes:
    """Return a field that holds a number; none for zero, which is the default."""
    return varint(field << 3 | _VARINT) + varint(number) if number else b""


def content(field: int, data: bytes) -> bytes:
    """Return a field that holds text, bytes or another message."""
    return varint(field << 3 | _BYTES) + varint(len(data)) + data


def packed(field: int, numbers: Iterable[int]) -> bytes:
    """Return a field that holds a list of numbers."""
    return content(field, b"".join(map(varint, numbers)))
