"""The headers of an ELF file: segments, sections, the dynamic section, relocations.

Layout: System V ABI, chapters 4 and 5; the names of fields stand in elf(5). Only 64-bit
little-endian files are read. What a header says is never believed: every table has a limit, and
what is read of it is spent from an `Effort`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

from gdbleak.host.files import Bytes, HeldBytes, PartOfBytes

MAX_SEGMENTS, MAX_SECTIONS, MAX_TAGS = 4096, 16_384, 4096
"""Linkers write a dozen segments, some dozen sections, and some dozen tags."""
MAX_SECTION_BYTES = 64 << 20
"""Of a section that is taken into memory, decompressed."""
_MAX_NAMES_BYTES = 1 << 20
_CHUNK_BYTES = 24 << 10  # whole symbols, hash words and relocations

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_COMPRESSED = struct.Struct("<IIQQ")
_TAG = struct.Struct("<QQ")
_RELOCATION = struct.Struct("<QQq")
_IDENT = b"\x7fELF\2\1"

PT_LOAD, PT_DYNAMIC, PT_GNU_EH_FRAME = 1, 2, 0x6474E550
PF_X = 1
SHT_SYMTAB, SHT_RELA, SHT_NOBITS = 2, 4, 8
SHF_ALLOC = 2
DT_PLTRELSZ, DT_HASH, DT_STRTAB, DT_SYMTAB, DT_RELA, DT_RELASZ = 2, 4, 5, 6, 7, 8
DT_STRSZ, DT_SONAME, DT_JMPREL, DT_GNU_HASH = 10, 14, 23, 0x6FFFFEF5
_SHF_COMPRESSED = 0x800
_ELFCOMPRESS_ZLIB = 1
_SYMBOL_BYTES = 24
_LONGEST_NAME = 1000


class DamageError(ValueError):
    """What a file says cannot be true."""


class SegmentHeader(NamedTuple):
    """An entry of the program header table."""

    kind: int
    flags: int
    offset: int
    address: int
    physical_address: int
    file_size: int
    memory_size: int
    alignment: int


class SectionHeader(NamedTuple):
    """An entry of the section header table."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    alignment: int
    entry_size: int


class ElfHeaders:
    """The headers of one file."""

    def __init__(self, data: Bytes, spend: Callable[..., None]) -> None:
        """Read the ELF header and the segments.

        Raises:
            DamageError: it is no ELF file of 64 bits, or a damaged one.
            EffortError: reading it takes too much.
            OSError: it cannot be read.

        """
        self._data = data
        self._spend = spend
        header = data.read(0, _HEADER.size)
        if header[: len(_IDENT)] != _IDENT or len(header) < _HEADER.size:
            raise DamageError("it is no 64-bit ELF file")
        fields = _HEADER.unpack(header)
        self._segments_at, self._sections_at = fields[5:7]
        segment_size, segments, self._section_size, self._sections, self._names = fields[9:]
        if segments and segment_size != _SEGMENT.size:
            raise DamageError(f"its program headers have {segment_size} bytes")
        self.segments = tuple(self._iter_segments(segments))

    def _iter_segments(self, count: int) -> Iterator[SegmentHeader]:
        if count > MAX_SEGMENTS:
            raise DamageError(f"it says that it has {count:,} segments")
        self._spend(count)
        table = self._read_whole(self._segments_at, count * _SEGMENT.size, "program headers")
        return map(SegmentHeader._make, _SEGMENT.iter_unpack(table))

    @cached_property
    def sections(self) -> tuple[SectionHeader, ...]:
        """The section headers; none where a file was stripped of them.

        Raises:
            DamageError: there are too many, or they are not in the file.
            EffortError: reading them takes too much.

        """
        if not self._sections_at:
            return ()
        count = self._sections
        if self._section_size != _SECTION.size:
            raise DamageError(f"its section headers have {self._section_size} bytes")
        if not count:  # then the first of them says how many there are
            first = self._read_whole(self._sections_at, _SECTION.size, "section headers")
            count = SectionHeader(*_SECTION.unpack(first)).size
        if count > MAX_SECTIONS:
            raise DamageError(f"it says that it has {count:,} sections")
        self._spend(count)
        table = self._read_whole(self._sections_at, count * _SECTION.size, "section headers")
        return tuple(map(SectionHeader._make, _SECTION.iter_unpack(table)))

    def find_section(self, name: str) -> SectionHeader | None:
        """Return the first section of a name, or None."""
        wanted = name.encode() + b"\0"
        names = self._section_names
        self._spend(len(self.sections) // 8)
        return next((s for s in self.sections if names.startswith(wanted, s.name)), None)

    @cached_property
    def _section_names(self) -> bytes:
        sections, index = self.sections, self._names
        if index == 0xFFFF and sections:  # SHN_XINDEX
            index = sections[0].link
        if not index or index >= len(sections):
            return b""
        return self._data.read(sections[index].offset, min(sections[index].size, _MAX_NAMES_BYTES))

    def section_bytes(self, section: SectionHeader) -> Bytes:
        """Return what a section holds: a part of the file, or, decompressed, of the memory.

        Raises:
            DamageError: it cannot be decompressed.
            EffortError: it takes too much memory.

        """
        if section.kind == SHT_NOBITS:
            return HeldBytes(b"")
        part = PartOfBytes(self._data, section.offset, section.size)
        if not section.flags & _SHF_COMPRESSED:
            return part
        return HeldBytes(self._decompress(part))

    def hold(self, section: SectionHeader) -> bytes:
        """Return the same in memory."""
        part = self.section_bytes(section)
        if len(part) > MAX_SECTION_BYTES:
            raise DamageError(f"it has a section of {len(part):,} bytes, too many to be read")
        if not isinstance(part, HeldBytes):
            self._spend(len(part) >> 12, held_bytes=len(part))
        return part.read(0, len(part))

    def _decompress(self, part: Bytes) -> bytes:
        kind, _, size, _ = _COMPRESSED.unpack(part.read(0, _COMPRESSED.size))
        if kind != _ELFCOMPRESS_ZLIB:
            raise DamageError("it has a section that is compressed otherwise than by zlib")
        if max(size, len(part)) > MAX_SECTION_BYTES:
            raise DamageError(f"it has a section of {size:,} bytes, too many to be read")
        self._spend((size + len(part)) >> 8, held_bytes=size)
        data = part.read(_COMPRESSED.size, len(part))
        # Whatever it would become, no more than was said, and was paid for.
        content = zlib.decompressobj().decompress(data, size) if size else b""
        if len(content) != size:
            raise DamageError("it has a compressed section that does not hold what it says")
        return content

    @cached_property
    def dynamic(self) -> SegmentHeader | None:
        """The dynamic section (PT_DYNAMIC); None for a static program."""
        return next((s for s in self.segments if s.kind == PT_DYNAMIC), None)

    @cached_property
    def _tags(self) -> dict[int, int]:
        """The first value of each tag of the dynamic section."""
        tags: dict[int, int] = {}
        if self.dynamic:
            size = min(self.dynamic.file_size, MAX_TAGS * _TAG.size)
            table = self._data.read(self.dynamic.offset, size)
            for tag, value in _TAG.iter_unpack(table[: len(table) // _TAG.size * _TAG.size]):
                if not tag:
                    break
                tags.setdefault(tag, value)
        return tags

    def _offset_of(self, address: int) -> int | None:
        """Return where in the file stands what is mapped at a link-time address."""
        for segment in self.segments:
            skip = address - segment.address
            if segment.kind == PT_LOAD and 0 <= skip < segment.file_size:
                return segment.offset + skip
        return None

    def _tag_offset(self, tag: int) -> int | None:
        value = self._tags.get(tag)
        return None if value is None else self._offset_of(value)

    @property
    def soname(self) -> str | None:
        """What a shared library calls itself; None where no name is given."""
        name, strings = self._tags.get(DT_SONAME), self._tag_offset(DT_STRTAB)
        if name is None or strings is None:
            return None
        text = self._data.read(strings + name, _LONGEST_NAME).partition(b"\0")[0]
        return text.decode(errors="replace")

    @cached_property
    def dynamic_symbols(self) -> tuple[Bytes, Bytes] | None:
        """The dynamic symbol table and its strings; None where there is none."""
        symbols, strings = self._tag_offset(DT_SYMTAB), self._tag_offset(DT_STRTAB)
        if symbols is None or strings is None:
            return None
        count = self._count_symbols(symbols, strings)
        return (
            PartOfBytes(self._data, symbols, _SYMBOL_BYTES * count),
            PartOfBytes(self._data, strings, self._tags.get(DT_STRSZ, 0)),
        )

    def _count_symbols(self, symbols: int, strings: int) -> int:
        """Return how many dynamic symbols there are, by a hash table; or else up to the strings."""
        gnu, old = self._tag_offset(DT_GNU_HASH), self._tag_offset(DT_HASH)
        if gnu is not None:
            return self._count_hashed(gnu)
        if old is not None:
            (_, count) = struct.unpack("<II", self._read_whole(old, 8, "symbol hash table"))
            return int(count)
        return max(strings - symbols, 0) // _SYMBOL_BYTES

    def _count_hashed(self, table: int) -> int:
        """Return the number behind the last symbol in DT_GNU_HASH.

        The hashes of a bucket stand in a row, and the lowest bit of the last one is set.
        """
        buckets, first, bloom, _ = struct.unpack(
            "<IIII", self._read_whole(table, 16, "symbol hash table")
        )
        starts = table + 16 + 8 * bloom
        last = 0
        for words in self._iter_words(starts, buckets):
            last = max(last, *words)
        if last < first:
            return int(first)
        chain = starts + 4 * buckets + 4 * (last - first)
        for words in self._iter_words(chain, 1 << 32):
            for word in words:
                last += 1
                if word & 1:
                    return last
        raise DamageError("its symbol hash table does not end")

    def _iter_words(self, offset: int, count: int) -> Iterator[tuple[int, ...]]:
        """Yield some words after the other, as far as the file goes."""
        while count:
            data = self._data.read(offset, min(4 * count, _CHUNK_BYTES))
            size = len(data) // 4
            if not size:
                return
            self._spend(1 + size // 8)
            yield struct.unpack(f"<{size}I", data[: 4 * size])
            offset, count = offset + 4 * size, count - size

    def iter_relocations(self) -> Iterator[tuple[int, int, int, int]]:
        """Yield slot, type, number of the dynamic symbol, and addend of each relocation.

        Raises:
            EffortError: there are too many.

        """
        if self.dynamic is None:
            tables = [
                (section.offset, section.size)
                for section in self.sections
                if section.kind == SHT_RELA and section.flags & SHF_ALLOC
            ]
        else:
            tags = ((DT_RELA, DT_RELASZ), (DT_JMPREL, DT_PLTRELSZ))
            places = ((self._tag_offset(at), self._tags.get(size, 0)) for at, size in tags)
            tables = [(offset, size) for offset, size in places if offset is not None]
        for offset, size in tables:
            yield from self._iter_table(offset, size)

    def _iter_table(self, offset: int, size: int) -> Iterator[tuple[int, int, int, int]]:
        for data in self.iter_pieces(PartOfBytes(self._data, offset, size), _RELOCATION.size):
            for slot, info, addend in _RELOCATION.iter_unpack(data):
                yield slot, info & 0xFFFFFFFF, info >> 32, addend

    def iter_pieces(self, data: Bytes, entry_bytes: int) -> Iterator[bytes]:
        """Yield the whole entries of a table, many at once."""
        at_once = _CHUNK_BYTES // entry_bytes * entry_bytes
        for offset in range(0, len(data) // entry_bytes * entry_bytes, at_once):
            piece = data.read(offset, at_once)
            self._spend(1 + len(piece) // entry_bytes)
            yield piece[: len(piece) // entry_bytes * entry_bytes]

    def _read_whole(self, offset: int, size: int, what: str) -> bytes:
        data = self._data.read(offset, size)
        if len(data) < size:
            raise DamageError(f"its {what} are not in the file")
        return data
