"""The headers of an ELF file: segments and sections.

Layout: System V ABI, chapters 4 and 5; the names of fields stand in elf(5). Only 64-bit
little-endian files are read. No header is believed: every table has a limit, and reading it is
spent from an `Effort`.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

from gdbleak.host.files import Bytes, HeldBytes, PartOfBytes

MAX_SEGMENTS, MAX_SECTIONS = 4096, 16_384
"""Linkers write a dozen segments and some dozen sections."""
MAX_SECTION_BYTES = 64 << 20
"""Largest section that is taken into memory, after its decompression."""
_MAX_NAMES_BYTES = 1 << 20

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_COMPRESSED = struct.Struct("<IIQQ")
_IDENT = b"\x7fELF\2\1"

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_TLS, PT_GNU_EH_FRAME = 1, 2, 3, 7, 0x6474E550
PF_X = 1
SHT_SYMTAB, SHT_RELA, SHT_NOBITS = 2, 4, 8
SHF_ALLOC = 2
_SHF_COMPRESSED = 0x800
_ELFCOMPRESS_ZLIB = 1


class DamageError(ValueError):
    """What a file says about itself cannot be true."""


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
            DamageError: it is not a 64-bit ELF file, or it is damaged.
            EffortError: reading it takes too much.
            OSError: it cannot be read.

        """
        self._data = data
        self._spend = spend
        header = data.read(0, _HEADER.size)
        if header[: len(_IDENT)] != _IDENT or len(header) < _HEADER.size:
            raise DamageError("it is not a 64-bit ELF file")
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
        table = self.read_whole(self._segments_at, count * _SEGMENT.size, "program headers")
        return map(SegmentHeader._make, _SEGMENT.iter_unpack(table))

    @cached_property
    def sections(self) -> tuple[SectionHeader, ...]:
        """The section headers; empty for a file that was stripped of them.

        Raises:
            DamageError: there are too many, or they are not in the file.
            EffortError: reading them takes too much.

        """
        if not self._sections_at:
            return ()
        count = self._sections
        if self._section_size != _SECTION.size:
            raise DamageError(f"its section headers have {self._section_size} bytes")
        if not count:  # more than fit in the field: then the first header says how many
            first = self.read_whole(self._sections_at, _SECTION.size, "section headers")
            count = SectionHeader(*_SECTION.unpack(first)).size
        if count > MAX_SECTIONS:
            raise DamageError(f"it says that it has {count:,} sections")
        self._spend(count)
        table = self.read_whole(self._sections_at, count * _SECTION.size, "section headers")
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
        """Return what a section holds, decompressed; what is not compressed stays in the file.

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
        """Return what a section holds, read into memory.

        Raises:
            DamageError: it is too large, or cannot be decompressed.
            EffortError: it takes too much memory.

        """
        part = self.section_bytes(section)
        if len(part) > MAX_SECTION_BYTES:
            raise DamageError(f"it has a section of {len(part):,} bytes, too many to be read")
        if not isinstance(part, HeldBytes):
            self._spend(len(part) >> 12, held_bytes=len(part))
        return part.read(0, len(part))

    def _decompress(self, part: Bytes) -> bytes:
        kind, _, size, _ = _COMPRESSED.unpack(part.read(0, _COMPRESSED.size))
        if kind != _ELFCOMPRESS_ZLIB:
            raise DamageError("it has a section that is not compressed by zlib")
        if max(size, len(part)) > MAX_SECTION_BYTES:
            raise DamageError(f"it has a section of {size:,} bytes, too many to be read")
        self._spend((size + len(part)) >> 8, held_bytes=size)
        data = part.read(_COMPRESSED.size, len(part))
        # However much it would become: no more than it says, which was spent above.
        content = zlib.decompressobj().decompress(data, size) if size else b""
        if len(content) != size:
            raise DamageError("it has a compressed section of another size than it says")
        return content

    @cached_property
    def dynamic(self) -> SegmentHeader | None:
        """The dynamic section (PT_DYNAMIC); None for a static program."""
        return next((s for s in self.segments if s.kind == PT_DYNAMIC), None)

    def offset_of(self, address: int) -> int | None:
        """Return the offset in the file of what is mapped at a link-time address, or None."""
        for segment in self.segments:
            skip = address - segment.address
            if segment.kind == PT_LOAD and 0 <= skip < segment.file_size:
                return segment.offset + skip
        return None

    def read_whole(self, offset: int, size: int, what: str) -> bytes:
        """Return `size` bytes; DamageError, which names `what` they are, where there are fewer."""
        data = self._data.read(offset, size)
        if len(data) < size:
            raise DamageError(f"its {what} are not in the file")
        return data
