"""Reading of ELF files: what the unwinder and the probe plan need of them, by link-time address.

Layout: System V ABI, chapters 4 and 5, and its AMD64 supplement. pyelftools reads the headers
and symbol tables; bytes are taken straight from a memory map of the file.
"""

from __future__ import annotations

import mmap
import re
import struct
import zlib
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

from elftools.common.exceptions import ELFError as PyElfError
from elftools.elf.constants import P_FLAGS
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import Relocation, RelocationSection, RelocationTable

from gdbleak.elf_symbols import FunctionSymbol, FunctionTable
from gdbleak.errors import ElfError

DEBUG_FILES = Path("/usr/lib/debug/.build-id")
"""Where distributions install separate debug files, by build-id."""

HEADER_SIZE = 4096
PAGE_SIZE = 4096

_PT_NOTE, _NT_GNU_BUILD_ID = 4, 3
_SHF_ALLOC = 2


# What pyelftools raises when offsets and sizes in a file make no sense.
_DAMAGE = (
    *(PyElfError, ArithmeticError, AssertionError, LookupError, TypeError, ValueError),
    *(RecursionError, RuntimeError, StopIteration, zlib.error),
)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, *_DAMAGE) as error:
        raise ElfError(f"cannot read {path} as an ELF file: {error}") from error


def parse_build_id(header: bytes, read: Callable[[int, int], bytes]) -> str | None:
    """Return the GNU build-id of a 64-bit little-endian ELF file, or of its image in memory.

    Args:
        header: The beginning of the file.
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
                return notes[description : description + size].hex()
            position = description + (size + 3 & -4)
    return None


@dataclass(frozen=True)
class Segment:
    """A PT_LOAD segment; `address` is link-time."""

    address: int
    offset: int
    file_size: int
    executable: bool


class Section(NamedTuple):
    """A section as the linker made it; `address` is link-time, 0 when it is not mapped."""

    address: int = 0
    content: bytes = b""


class ElfImage:
    """An ELF file, read lazily and addressed by link-time address."""

    def __init__(self, path: str) -> None:
        """Open the file at `path`.

        Raises:
            ElfError: it cannot be opened, is no ELF file, or a damaged one.

        """
        self.path = path
        with _reading(path):
            with Path(path).open("rb") as file:
                self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._elf = ELFFile(cast(BinaryIO, self._bytes))
            self.segments = self._read_segments()
            self.eh_frame_hdr = self._find_eh_frame_hdr()

    def _read_segments(self) -> tuple[Segment, ...]:
        """The PT_LOAD segments, in file order."""
        return tuple(
            Segment(
                address=header["p_vaddr"],
                offset=header["p_offset"],
                file_size=header["p_filesz"],
                executable=bool(header["p_flags"] & P_FLAGS.PF_X),
            )
            for header in self._elf.iter_segments(type="PT_LOAD")
        )

    def _find_eh_frame_hdr(self) -> tuple[int, int] | None:
        """Link-time address and size of `.eh_frame_hdr` (PT_GNU_EH_FRAME), or None."""
        for segment in self._elf.iter_segments(type="PT_GNU_EH_FRAME"):
            return segment["p_vaddr"], segment["p_memsz"]
        return None

    @property
    def header(self) -> bytes:
        """The beginning of the file: ELF header and, as a rule, program headers and notes."""
        return self._bytes[:HEADER_SIZE]

    @cached_property
    def build_id(self) -> str | None:
        """The GNU build-id in hexadecimal, or None."""
        return parse_build_id(self.header, lambda offset, size: self._bytes[offset : offset + size])

    @cached_property
    def debug_image(self) -> ElfImage | None:
        """The separate debug file, with what this one was stripped of; None without one.

        Raises:
            ElfError: it is damaged.

        """
        path = DEBUG_FILES / (self.build_id or "")[:2] / f"{(self.build_id or '')[2:]}.debug"
        return ElfImage(str(path)) if self.build_id and path.exists() else None

    def address_of(self, offset: int) -> int:
        """Return the link-time address at which a page of the file is mapped; 0 if it is not."""
        for segment in self.segments:
            begin = segment.offset & -PAGE_SIZE
            if begin <= offset < segment.offset + segment.file_size:
                return (segment.address & -PAGE_SIZE) + offset - begin
        return 0

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes of the file at a link-time address.

        The result is shorter where the segment's file contents end, and empty outside all
        segments.
        """
        return self._read_from(self.segments, address, size)

    def read_code(self, address: int, size: int) -> bytes:
        """Return what `read` does, but nothing outside segments that can be executed."""
        return self._read_from([s for s in self.segments if s.executable], address, size)

    def _read_from(self, segments: Iterable[Segment], address: int, size: int) -> bytes:
        for segment in segments:
            skip = address - segment.address
            if 0 <= skip < segment.file_size:
                begin = segment.offset + skip
                return self._bytes[begin : begin + min(size, segment.file_size - skip)]
        return b""

    def find_section(self, name: str) -> Section:
        """Return a section, decompressed; an empty one when the file lacks it.

        Raises:
            ElfError: the section is damaged.

        """
        with _reading(self.path):
            section = self._elf.get_section_by_name(name)
            if section is None or section["sh_type"] == "SHT_NOBITS":
                return Section()
            return Section(section["sh_addr"], section.data())

    def search(self, pattern: re.Pattern[bytes]) -> bytes | None:
        """Return the first group of the first match of `pattern` anywhere in the file."""
        match = pattern.search(self._bytes)
        return match.group(1) if match else None

    def find_function(self, name: str) -> FunctionSymbol | None:
        """Return the function that the file defines as `name`, or None.

        Raises:
            ElfError: a symbol table is damaged.

        """
        return self.find_functions((name,)).get(name)

    def find_functions(self, names: Collection[str]) -> dict[str, FunctionSymbol]:
        """Return those of the functions that the file defines, by name.

        The dynamic symbol table is asked first, and then the whole one, which a program may have
        been stripped of: then that of its debug file is.

        Raises:
            ElfError: a symbol table is damaged.

        """
        found: dict[str, FunctionSymbol] = {}
        for table in self._function_tables:
            found = {**table.find(names), **found}
        return found

    def find_extent(self, address: int) -> range | None:
        """Return the link-time addresses of the function that spans one, by the symbol tables."""
        extents = (table.find_extent(address) for table in self._function_tables)
        return next(filter(None, extents), None)

    @property
    def function_starts(self) -> set[int]:
        """Link-time addresses at which the symbol tables have a function begin."""
        return {start for table in self._function_tables for start in table.starts}

    @cached_property
    def _function_tables(self) -> tuple[FunctionTable, ...]:
        with _reading(self.path):
            tables = tuple(self._iter_function_tables())
            stripped = next(self._elf.iter_sections(type="SHT_SYMTAB"), None) is None
        if stripped and self.debug_image:
            return (*tables, *self.debug_image._function_tables)
        return tables

    def _iter_function_tables(self) -> Iterator[FunctionTable]:
        if self._dynamic:
            _, symbols = self._dynamic.get_table_offset("DT_SYMTAB")
            _, strings = self._dynamic.get_table_offset("DT_STRTAB")
            sizes = [tag["d_val"] for tag in self._dynamic.iter_tags("DT_STRSZ")]
            if symbols is not None and strings is not None and sizes:
                end = symbols + 24 * self._dynamic.num_symbols()
                yield FunctionTable(
                    self._bytes[symbols:end], self._bytes[strings : strings + sizes[0]]
                )
        for section in self._elf.iter_sections(type="SHT_SYMTAB"):
            names = self._elf.get_section(section["sh_link"])
            yield FunctionTable(section.data(), names.data())

    def read_linked_functions(
        self, slot_relocations: Collection[int], resolver_relocation: int, names: Collection[str]
    ) -> dict[int, str]:
        """Return the names of functions that the dynamic linker binds, by the slot of each.

        A call of a module's own indirect function (`memset` of glibc) has no symbol in its
        relocation, only the address of the resolver, which is the symbol's value.

        Args:
            slot_relocations: Relocations that write a function's address to a slot.
            resolver_relocation: The one that writes what a resolver returns.
            names: The indirect functions to look for.

        Raises:
            ElfError: the relocations are damaged.

        """
        resolvers = {
            symbol.address: name
            for name, symbol in self.find_functions(names).items()
            if symbol.is_indirect
        }
        slots: dict[int, str] = {}
        with _reading(self.path):
            for relocation, symbols in self._iter_relocations():
                slot, kind = relocation["r_offset"], relocation["r_info_type"]
                if kind in slot_relocations and symbols is not None:
                    slots[slot] = symbols.get_symbol(relocation["r_info_sym"]).name
                elif kind == resolver_relocation and relocation["r_addend"] in resolvers:
                    slots[slot] = resolvers[relocation["r_addend"]]
        return slots

    def _iter_relocations(self) -> Iterator[tuple[Relocation, DynamicSegment | None]]:
        """Yield each relocation, and the table that its symbol is in."""
        if self._dynamic is not None:
            for table in self._dynamic.get_relocation_tables().values():
                if isinstance(table, RelocationTable):
                    yield from (
                        (relocation, self._dynamic) for relocation in table.iter_relocations()
                    )
            return
        for section in self._elf.iter_sections(type="SHT_RELA"):
            assert isinstance(section, RelocationSection)
            if section["sh_flags"] & _SHF_ALLOC:
                yield from ((relocation, None) for relocation in section.iter_relocations())

    @property
    def soname(self) -> str | None:
        """What a shared library calls itself: `libc.so.6`; None where no name is given."""
        with _reading(self.path):
            tags = self._dynamic.iter_tags("DT_SONAME") if self._dynamic else ()
            return next((str(cast(Any, tag).soname) for tag in tags), None)

    @property
    def dynamic_address(self) -> int | None:
        """Link-time address of the dynamic section (PT_DYNAMIC); None for a static program."""
        return None if self._dynamic is None else int(self._dynamic.header["p_vaddr"])

    @cached_property
    def _dynamic(self) -> DynamicSegment | None:
        for segment in self._elf.iter_segments(type="PT_DYNAMIC"):
            assert isinstance(segment, DynamicSegment)
            return segment
        return None
