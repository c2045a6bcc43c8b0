"""The build-id, by which the linker has named an ELF file. Pure.

Layout: System V ABI, chapter 5, "Note Section".
"""

from __future__ import annotations

import struct
from collections.abc import Callable

HEADER_SIZE = 4096

_PT_NOTE, _NT_GNU_BUILD_ID = 4, 3
_MAX_BYTES = 64
"""Linkers write 8 to 20."""


def parse_build_id(header: bytes, read: Callable[[int, int], bytes]) -> str | None:
    """Return the GNU build-id, in hexadecimal, of a 64-bit little-endian ELF file.

    The image of a file in memory will do. None without a build-id, or for another kind of file.

    Args:
        header: The first bytes of the file; program headers behind them are not looked at.
        read: Returns the bytes at a file offset, given offset and size.

    """
    if header[:6] != b"\x7fELF\2\1" or len(header) < 64:
        return None
    (table,) = struct.unpack_from("<Q", header, 0x20)
    entry_size, count = struct.unpack_from("<HH", header, 0x36)
    for entry in range(table, min(table + count * entry_size, len(header) - 55), entry_size or 56):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", header, entry)
        notes = read(offset, min(size, HEADER_SIZE)) if kind == _PT_NOTE else b""
        position = 0
        while position + 12 <= len(notes):
            name_size, size, note = struct.unpack_from("<III", notes, position)
            description = position + 12 + (name_size + 3 & -4)
            if note == _NT_GNU_BUILD_ID and notes[position + 12 :][:4] == b"GNU\0":
                return notes[description : description + min(size, _MAX_BYTES)].hex()
            position = description + (size + 3 & -4)
    return None
