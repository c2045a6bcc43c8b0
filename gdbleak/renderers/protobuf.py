"""As much of protocol buffers as it takes to write one.

Source: https://protobuf.dev/programming-guides/encoding/. A field is a key (its number and the way
it is written) and a value: a varint, or a length and as many bytes.
"""

from __future__ import annotations

from collections.abc import Iterable

_VARINT, _BYTES = 0, 2


def varint(number: int) -> bytes:
    """Return a number of at most 64 bits, seven in a byte, the lowest first.

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
    """Return a field that is a number; zero is not written."""
    return varint(field << 3 | _VARINT) + varint(number) if number else b""


def content(field: int, data: bytes) -> bytes:
    """Return a field that is text, bytes or another message."""
    return varint(field << 3 | _BYTES) + varint(len(data)) + data


def packed(field: int, numbers: Iterable[int]) -> bytes:
    """Return a field that is a list of numbers."""
    return content(field, b"".join(map(varint, numbers)))
