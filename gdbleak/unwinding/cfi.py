"""Call frame information: how to get from a function's frame to its caller's, at any instruction.

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

# A thousand times what functions have; a damaged length must not fill the memory.
_MAX_ENTRY_BYTES = 1 << 20
_ENTRY_STEPS = 20


class UnwindTable:
    """The call frame information of one ELF file, read where it is asked for.

    `.debug_frame` is for debuggers, and nearly always lacks or repeats what `.eh_frame` has for
    the program itself; so it is asked last.
    """

    def __init__(self, image: ElfImage) -> None:
        self._image = image
        self._common: dict[int, CommonEntry] = {}

    def find_row(self, address: int) -> Row | None:
        """Return the row for a link-time address, None when no function covers it.

        Raises:
            ElfError: the call frame information is damaged.

        """
        function = self._find_function(address)
        if function is None:
            return None
        self._image.spend(_ENTRY_STEPS + function.instructions.left)
        return function.find_row(address)

    def find_extent(self, address: int) -> range | None:
        """Return the addresses of the function, or part of one, at a link-time address.

        Raises:
            ElfError: the call frame information is damaged.

        """
        function = self._find_function(address)
        return function and range(function.start, function.start + function.size)

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
        """Sorted starts of functions, where their entries are, and what both are relative to."""
        if self._image.eh_frame_hdr is None:
            eh_frame = self._image.find_section(".eh_frame").address
            return (*self._scan(eh_frame), 0) if eh_frame else ((), (), 0)
        address, size = self._image.eh_frame_hdr
        header = Cursor(self._image.read(address, size), address)
        _version, frame_encoding, count_encoding, table_encoding = header.take(4)
        eh_frame = read_pointer(header, frame_encoding)
        # Sorted pairs of four signed bytes relative to the header: all that any linker writes.
        if count_encoding == 0xFF or table_encoding != 0x3B:
            return *self._scan(eh_frame), 0
        count = read_pointer(header, count_encoding)
        # Searched as it is, for it may have a million pairs. The cast takes this host to be
        # little-endian, like the target.
        table = memoryview(header.take(2 * 4 * count)).cast("i")
        return table[::2], table[1::2], address

    def _scan(self, address: int) -> tuple[list[int], list[int]]:
        """Return sorted starts of functions, and where their entries are."""
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
        # A length of 0xffffffff would announce one of 64 bits: no linker writes that.
        length = int.from_bytes(self._image.read(address, 4), "little")
        if length > _MAX_ENTRY_BYTES:
            raise ElfError(f"{self._image.path}: .eh_frame is damaged at {address:#x}")
        return Cursor(self._image.read(address + 4, length), address + 4)
