"""Reading of ELF files: what the unwinder and the probe plan need of them, by link-time address.

Layout: System V ABI, chapters 4 and 5, and its AMD64 supplement. Whoever made a file may have made
it to be read for ever: what reading it takes is spent from an `Effort`.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from gdbleak.effort import Effort, EffortError
from gdbleak.elf.build_id import HEADER_SIZE, parse_build_id
from gdbleak.elf.headers import (
    MAX_SECTION_BYTES,
    PF_X,
    PT_GNU_EH_FRAME,
    PT_LOAD,
    SHT_NOBITS,
    SHT_SYMTAB,
    DamageError,
    ElfHeaders,
    SectionHeader,
)
from gdbleak.elf.symbols import FunctionSymbol, FunctionTable
from gdbleak.errors import ElfError
from gdbleak.host.files import FileBytes, iter_chunks, open_regular

DEBUG_FILES = Path("/usr/lib/debug/.build-id")
"""Where distributions install separate debug files, by build-id."""

PAGE_SIZE = 4096

_SEARCHED_BYTES = 128 << 20
_CHUNK_BYTES = 1 << 20
_FITTING_BYTES = 64 << 10
"""No match of what is searched for is longer."""
_MAX_SYMBOL_TABLES = 4
"""A file has one."""


_DAMAGE = (ArithmeticError, LookupError, ValueError, struct.error, zlib.error)


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EffortError, *_DAMAGE) as error:
        raise _explain(path, error) from error


def _explain(path: str, error: Exception) -> ElfError:
    if isinstance(error, OSError):
        return ElfError(f"cannot read {path}: {error.strerror}")
    if isinstance(error, EffortError):
        return ElfError(f"{path} was not read to its end: {error}")
    return ElfError(f"cannot read {path} as an ELF file: {error}")


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

    def __init__(self, path: str, effort: Effort | None = None, file: int | None = None) -> None:
        """Open the file at `path`.

        Args:
            path: Of the file; nothing but a regular file is opened.
            effort: What reading it may take, one of its own unless it is given.
            file: Its descriptor, taken over, where it is open already.

        Raises:
            ElfError: it cannot be opened, is no ELF file, or a damaged one.

        """
        self.path = path
        self._effort = effort or Effort()
        with _reading(path):
            self._bytes = FileBytes(open_regular(path) if file is None else file)
            self._headers = ElfHeaders(self._bytes, self._effort)
            self.segments = tuple(
                Segment(s.address, s.offset, s.file_size, bool(s.flags & PF_X))
                for s in self._headers.segments
                if s.kind == PT_LOAD
            )
            self._code = tuple(segment for segment in self.segments if segment.executable)
            self.eh_frame_hdr = next(
                (
                    (s.address, s.memory_size)
                    for s in self._headers.segments
                    if s.kind == PT_GNU_EH_FRAME
                ),
                None,
            )
            """Link-time address and size of `.eh_frame_hdr`, or None."""

    def spend(self, steps: int = 1, held_bytes: int = 0) -> None:
        """Note what is done for what the file says.

        Raises:
            ElfError: it is too much.

        """
        try:
            self._effort.spend(steps, held_bytes)
        except EffortError as error:
            raise _explain(self.path, error) from error

    @property
    def descriptor(self) -> int:
        """Of the open file."""
        return self._bytes.descriptor

    @cached_property
    def header(self) -> bytes:
        """The beginning of the file: ELF header and, as a rule, program headers and notes."""
        return self._read_bytes(0, HEADER_SIZE)

    @cached_property
    def build_id(self) -> str | None:
        """The GNU build-id in hexadecimal, or None."""
        return parse_build_id(self.header, self._read_bytes)

    @cached_property
    def debug_image(self) -> ElfImage | None:
        """The separate debug file, with what this one was stripped of; None without one.

        Raises:
            ElfError: it is damaged.

        """
        path = DEBUG_FILES / (self.build_id or "")[:2] / f"{(self.build_id or '')[2:]}.debug"
        return ElfImage(str(path), self._effort) if self.build_id and path.exists() else None

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

        Raises:
            ElfError: the file cannot be read, or there are too many bytes.

        """
        return self._read_from(self.segments, address, size)

    def read_code(self, address: int, size: int) -> bytes:
        """Return what `read` does, but nothing outside segments that can be executed."""
        return self._read_from(self._code, address, size)

    def _read_from(self, segments: Iterable[Segment], address: int, size: int) -> bytes:
        for segment in segments:
            skip = address - segment.address
            if 0 <= skip < segment.file_size:
                return self._read_bytes(segment.offset + skip, min(size, segment.file_size - skip))
        return b""

    def _read_bytes(self, offset: int, size: int) -> bytes:
        try:
            if size > _CHUNK_BYTES:
                size = min(size, len(self._bytes) - offset)
                if size > MAX_SECTION_BYTES:
                    raise DamageError(f"{size:,} bytes are too many to be read")
                self._effort.spend(max(size, 0) >> 10)
            return self._bytes.read(offset, size)
        except (OSError, EffortError, DamageError) as error:
            raise _explain(self.path, error) from error

    def find_section(self, name: str) -> Section:
        """Return a section, decompressed; an empty one when the file lacks it.

        Raises:
            ElfError: the section is damaged.

        """
        with _reading(self.path):
            section = self._headers.find_section(name)
            if section is None or section.kind == SHT_NOBITS:
                return Section()
            return Section(section.address, self._headers.hold(section))

    def has_section(self, name: str) -> bool:
        """Return whether there is a section of a name that is not empty.

        Raises:
            ElfError: the file is damaged.

        """
        with _reading(self.path):
            section = self._headers.find_section(name)
            return section is not None and section.kind != SHT_NOBITS and section.size > 0

    def search(self, pattern: re.Pattern[bytes]) -> bytes | None:
        """Return the first group of the first match of `pattern` in the file.

        No match may be longer than 64 KiB, and none is looked for behind the first 128 MiB.

        Raises:
            ElfError: the file cannot be read.

        """
        with _reading(self.path):
            for offset, chunk in iter_chunks(self._bytes, _CHUNK_BYTES, _FITTING_BYTES):
                if offset >= _SEARCHED_BYTES:
                    break
                self._effort.spend(_CHUNK_BYTES >> 10)
                match = pattern.search(chunk)
                if match:
                    return match.group(1)
        return None

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
        self.spend(sum(len(table.starts) for table in self._function_tables) // 8)
        return {start for table in self._function_tables for start in table.starts}

    @cached_property
    def _function_tables(self) -> tuple[FunctionTable, ...]:
        with _reading(self.path):
            sections = [s for s in self._headers.sections if s.kind == SHT_SYMTAB]
            tables = tuple(self._iter_function_tables(sections))
        if not sections and self.debug_image:
            return (*tables, *self.debug_image._function_tables)
        return tables

    def _iter_function_tables(self, sections: list[SectionHeader]) -> Iterator[FunctionTable]:
        headers = self._headers
        if headers.dynamic_symbols:
            yield FunctionTable(*headers.dynamic_symbols, self.spend)
        for section in sections[:_MAX_SYMBOL_TABLES]:
            names = headers.sections[section.link]
            yield FunctionTable(
                headers.section_bytes(section), headers.section_bytes(names), self.spend
            )

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
            table = self._headers.dynamic_symbols
            names_of = FunctionTable(*table, self.spend).name_of if table else None
            for slot, kind, symbol, addend in self._headers.iter_relocations():
                if kind in slot_relocations and names_of:
                    self._effort.spend(2)
                    slots[slot] = names_of(symbol)
                elif kind == resolver_relocation and addend in resolvers:
                    slots[slot] = resolvers[addend]
        return slots

    @property
    def soname(self) -> str | None:
        """What a shared library calls itself: `libc.so.6`; None where no name is given."""
        with _reading(self.path):
            return self._headers.soname

    @property
    def dynamic_address(self) -> int | None:
        """Link-time address of the dynamic section (PT_DYNAMIC); None for a static program."""
        return None if self._headers.dynamic is None else self._headers.dynamic.address
