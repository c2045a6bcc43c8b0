"""Call frame information: at any instruction, how to get from a frame to its caller's.

Formats of `.eh_frame` and `.eh_frame_hdr`: Linux Standard Base Core, "Exception Frames".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from functools import cached_property

from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.unwinding.cfi_program import (
    CommonEntry,
    FunctionEntry,
    read_common,
    read_function,
    read_pointer,
)
from gdbleak.unwinding.debug_frame import DebugFrame
from gdbleak.unwinding.dwarf_expressions import Cursor
from gdbleak.unwinding.frame_rows import Row

_MAX_ENTRY_BYTES = 1 << 20
"""A thousand times what functions have: a damaged length must not fill the memory."""
_ENTRY_STEPS = 20


class UnwindTable:
    """The call frame information of one ELF file; an entry is read when it is asked for.

    `.debug_frame`, which is for debuggers, is asked last: it seldom has an entry that `.eh_frame`,
    which is for the program itself, lacks.
    """

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._common: dict[int, CommonEntry] = {}

    def find_row(self, address: int) -> Row | None:
        """Return the row for a link-time address; None outside all functions that are described.

        Raises:
            ElfError: the call frame information is damaged.

        """
        function = self._find_function(address)
        if function is None:
            return None
        self._image.spend(_ENTRY_STEPS + function.instructions.left)
        return function.find_row(address)

    def find_extent(self, address: int) -> range | None:
        """Return the addresses of the function, or the part of one, that a link-time address is in.

        Raises:
            ElfError: the call frame information is damaged.

        """
        function = self._find_function(address)
        return function and range(function.start, function.start + function.size)

    def iter_functions(self) -> Iterator[FunctionEntry]:
        """Yield the functions that `.eh_frame` describes, by which exceptions are unwound.

        Raises:
            ElfError: the call frame information is damaged.

        """
        _, entries, base = self._index
        for entry in entries:
            yield self._read_function(entry + base)

    def _find_function(self, address: int) -> FunctionEntry | None:
        starts, entries, base = self._index
        position = bisect_right(starts, address - base) - 1
        if position >= 0:
            function = self._read_function(entries[position] + base)
            if 0 <= address - function.start < function.size:
                return function
        return self._debug_frame.find_function(address)

    @cached_property
    def _debug_frame(self) -> DebugFrame:
        return DebugFrame.of(self._image)

    @cached_property
    def _index(self) -> tuple[Sequence[int], Sequence[int], int]:
        """Sorted starts of functions, addresses of their entries, and what both are relative to."""
        if self._image.eh_frame_hdr is None:
            eh_frame = self._image.find_section(".eh_frame").address
            return (*self._scan(eh_frame), 0) if eh_frame else ((), (), 0)
        address, size = self._image.eh_frame_hdr
        header = Cursor(self._image.read(address, size), address)
        _version, frame_encoding, count_encoding, table_encoding = header.take(4)
        eh_frame = read_pointer(header, frame_encoding)
        # Linkers write nothing but sorted pairs of four signed bytes, relative to the header.
        if count_encoding == 0xFF or table_encoding != 0x3B:
            return *self._scan(eh_frame), 0
        count = read_pointer(header, count_encoding)
        # There may be a million pairs, so the table is searched as it is. The cast works because
        # this host is little-endian, like the target.
        table = memoryview(header.take(2 * 4 * count)).cast("i")
        return table[::2], table[1::2], address

    def _scan(self, address: int) -> tuple[list[int], list[int]]:
        """Return sorted starts of functions, and the addresses of their entries."""
        functions = sorted(self._iter_functions(address))
        return [start for start, _ in functions], [entry for _, entry in functions]

    def _iter_functions(self, address: int) -> Iterator[tuple[int, int]]:
        """Yield start and entry of each function, up to the terminator or the first damage."""
        while length := int.from_bytes(self._image.read(address, 4), "little"):
            self._image.spend(_ENTRY_STEPS, held_bytes=200)
            try:
                if self._read_entry(address).integer(4) != 0:
                    yield self._read_function(address).start, address
            except ElfError:
                return
            address += 4 + length

    def _read_function(self, address: int) -> FunctionEntry:
        self._image.spend(_ENTRY_STEPS)
        cursor = self._read_entry(address)
        return read_function(cursor, self._find_common(cursor.address - cursor.integer(4)))

    def _find_common(self, address: int) -> CommonEntry:
        if address not in self._common:
            cursor = self._read_entry(address)
            self._image.spend(cursor.left, held_bytes=1000)
            if cursor.integer(4) != 0:
                raise ElfError(f"{self._image.path}: no CIE at {address:#x}")
            self._common[address] = read_common(cursor)
        return self._common[address]

    def _read_entry(self, address: int) -> Cursor:
        # 0xffffffff would announce a length of 64 bits, which no linker writes.
        length = int.from_bytes(self._image.read(address, 4), "little")
        if length > _MAX_ENTRY_BYTES:
            raise ElfError(f"{self._image.path}: .eh_frame is damaged at {address:#x}")
        return Cursor(self._image.read(address + 4, length), address + 4)
