"""Call frame information that only debuggers read: `.debug_frame`.

Format: DWARF 5, section 6.4.1, with 32-bit and 64-bit lengths. It is not mapped into the
process, and `strip` moves it to the separate debug file.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import cached_property
from struct import Struct

from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.unwinding.cfi_program import CommonEntry, FunctionEntry, read_common, read_function
from gdbleak.unwinding.dwarf_expressions import Cursor

_LENGTH_IS_64_BIT = 0xFFFFFFFF
_MARKS_OF_COMMON = (0xFFFFFFFF, 2**64 - 1)
# An FDE begins with its length, the position of its CIE, and where the function starts. In a CIE,
# the second field is all ones.
_HEAD = Struct("<IIQ")
_HEAD_64_BIT = Struct("<4xQQQ")


class DebugFrame:
    """The section of one ELF file; its index is made when it is first needed."""

    def __init__(self, content: bytes, spend: Callable[..., None] = lambda *_, **__: None) -> None:
        """Prepare.

        Args:
            content: The section.
            spend: Called with the number of steps and of bytes in memory that reading it takes.

        """
        self._content = content
        self._spend = spend
        self._common: dict[int, CommonEntry] = {}

    @classmethod
    def of(cls, image: ElfImage) -> DebugFrame:
        """Return the section of a file, or of its separate debug file; empty when neither has one.

        Raises:
            ElfError: a file is damaged.

        """
        content = image.find_section(".debug_frame").content
        if not content and image.debug_image:
            content = image.debug_image.find_section(".debug_frame").content
        return cls(content, image.spend)

    def find_function(self, address: int) -> FunctionEntry | None:
        """Return the function at a link-time address, or None.

        Raises:
            ElfError: the section is damaged.

        """
        starts, entries = self._index
        position = bisect_right(starts, address) - 1
        if position < 0:
            return None
        function = self._read_function(entries[position])
        return function if 0 <= address - function.start < function.size else None

    @cached_property
    def _index(self) -> tuple[Sequence[int], Sequence[int]]:
        """Sorted starts of functions, and positions of their entries, up to the first damage."""
        content, functions, position = self._content, [], 0
        while position + _HEAD_64_BIT.size <= len(content):
            length, common, start = _HEAD.unpack_from(content, position)
            end = position + 4 + length
            if length == _LENGTH_IS_64_BIT:
                length, common, start = _HEAD_64_BIT.unpack_from(content, position)
                end = position + 12 + length
            self._spend(1, held_bytes=100)
            if common not in _MARKS_OF_COMMON:
                functions.append((start, position))
            position = end
        functions.sort()
        return (
            array("Q", [start for start, _ in functions]),
            array("Q", [entry for _, entry in functions]),
        )

    def _read_function(self, position: int) -> FunctionEntry:
        cursor, common = self._read_entry(position)
        self._spend(1 + cursor.left // 16)
        return read_function(cursor, self._find_common(common))

    def _find_common(self, position: int) -> CommonEntry:
        if position not in self._common:
            entry, mark = self._read_entry(position)
            if mark not in _MARKS_OF_COMMON:
                raise ElfError(f".debug_frame has no CIE at {position:#x}")
            self._spend(1 + entry.left, held_bytes=1000)
            self._common[position] = read_common(entry)
        return self._common[position]

    def _read_entry(self, position: int) -> tuple[Cursor, int]:
        """Return the entry at a position, from behind its second field, and that field."""
        cursor = Cursor(self._content[position : position + 12])
        length, offset_bytes = cursor.integer(4), 4
        if length == _LENGTH_IS_64_BIT:
            length, offset_bytes = cursor.integer(8), 8
        position += cursor.position
        entry = Cursor(self._content[position : position + length], position)
        return entry, entry.integer(offset_bytes)
