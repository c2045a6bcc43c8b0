"""What an ELF file tells the dynamic linker: names, dynamic symbols, relocations.

Layout: System V ABI, chapter 5; the hash table of GNU is described in the sources of glibc,
elf/dl-lookup.c. As in `headers`, nothing that the file says is believed without a bound.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from functools import cached_property

from gdbleak.elf.headers import SHF_ALLOC, SHT_RELA, DamageError, ElfHeaders
from gdbleak.host.files import Bytes, PartOfBytes

MAX_TAGS = 4096
"""Linkers write some dozen."""
_CHUNK_BYTES = 24 << 10
"""At once: whole symbols, hash words and relocations."""

_TAG = struct.Struct("<QQ")
_RELOCATION = struct.Struct("<QQq")
_DT_PLTRELSZ, _DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_RELA, _DT_RELASZ = 2, 4, 5, 6, 7, 8
_DT_STRSZ, _DT_SONAME, _DT_JMPREL, _DT_GNU_HASH = 10, 14, 23, 0x6FFFFEF5
_SYMBOL_BYTES = 24
_LONGEST_NAME = 1000


class DynamicSection:
    """The dynamic section of one file, and the relocations; a static program has only these.

    What reads it may raise DamageError, EffortError and OSError.
    """

    def __init__(self, headers: ElfHeaders, data: Bytes, spend: Callable[..., None]) -> None:
        """Prepare.

        Args:
            headers: The headers of the file.
            data: The file.
            spend: Called with how many steps are needed; it raises where that is too much.

        """
        self._headers = headers
        self._data = data
        self._spend = spend

    @property
    def address(self) -> int | None:
        """Link-time address of the section (PT_DYNAMIC); None for a static program."""
        return None if self._headers.dynamic is None else self._headers.dynamic.address

    @cached_property
    def _tags(self) -> dict[int, int]:
        """The first value of each tag of the dynamic section."""
        tags: dict[int, int] = {}
        dynamic = self._headers.dynamic
        if dynamic:
            size = min(dynamic.file_size, MAX_TAGS * _TAG.size)
            table = self._data.read(dynamic.offset, size)
            for tag, value in _TAG.iter_unpack(table[: len(table) // _TAG.size * _TAG.size]):
                if not tag:
                    break
                tags.setdefault(tag, value)
        return tags

    def _tag_offset(self, tag: int) -> int | None:
        value = self._tags.get(tag)
        return None if value is None else self._headers.offset_of(value)

    @property
    def soname(self) -> str | None:
        """What a shared library calls itself, DT_SONAME; None without that tag."""
        name, strings = self._tags.get(_DT_SONAME), self._tag_offset(_DT_STRTAB)
        if name is None or strings is None:
            return None
        text = self._data.read(strings + name, _LONGEST_NAME).partition(b"\0")[0]
        return text.decode(errors="replace")

    @cached_property
    def symbols(self) -> tuple[Bytes, Bytes] | None:
        """The dynamic symbol table and its strings; None for a file without them."""
        symbols, strings = self._tag_offset(_DT_SYMTAB), self._tag_offset(_DT_STRTAB)
        if symbols is None or strings is None:
            return None
        count = self._count_symbols(symbols, strings)
        return (
            PartOfBytes(self._data, symbols, _SYMBOL_BYTES * count),
            PartOfBytes(self._data, strings, self._tags.get(_DT_STRSZ, 0)),
        )

    def _count_symbols(self, symbols: int, strings: int) -> int:
        """Return how many dynamic symbols there are.

        A hash table tells. Without one, the symbols are taken to reach up to the strings.
        """
        gnu, old = self._tag_offset(_DT_GNU_HASH), self._tag_offset(_DT_HASH)
        if gnu is not None:
            return self._count_hashed(gnu)
        if old is not None:
            (_, count) = struct.unpack("<II", self._headers.read_whole(old, 8, "symbol hash table"))
            return int(count)
        return max(strings - symbols, 0) // _SYMBOL_BYTES

    def _count_hashed(self, table: int) -> int:
        """Return the number behind the last symbol in DT_GNU_HASH.

        The hashes of a bucket stand in a row, and the lowest bit of the last one is set.
        """
        buckets, first, bloom, _ = struct.unpack(
            "<IIII", self._headers.read_whole(table, 16, "symbol hash table")
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
        """Yield `count` words of 32 bits, many at once, or those up to the end of the file."""
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
        if self._headers.dynamic is None:
            tables = [
                (section.offset, section.size)
                for section in self._headers.sections
                if section.kind == SHT_RELA and section.flags & SHF_ALLOC
            ]
        else:
            tags = ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ))
            places = ((self._tag_offset(at), self._tags.get(size, 0)) for at, size in tags)
            tables = [(offset, size) for offset, size in places if offset is not None]
        for offset, size in tables:
            yield from self._iter_table(offset, size)

    def _iter_table(self, offset: int, size: int) -> Iterator[tuple[int, int, int, int]]:
        for data in self._iter_pieces(PartOfBytes(self._data, offset, size), _RELOCATION.size):
            for slot, info, addend in _RELOCATION.iter_unpack(data):
                yield slot, info & 0xFFFFFFFF, info >> 32, addend

    def _iter_pieces(self, data: Bytes, entry_bytes: int) -> Iterator[bytes]:
        """Yield the whole entries of a table, many at once."""
        at_once = _CHUNK_BYTES // entry_bytes * entry_bytes
        for offset in range(0, len(data) // entry_bytes * entry_bytes, at_once):
            piece = data.read(offset, at_once)
            self._spend(1 + len(piece) // entry_bytes)
            yield piece[: len(piece) // entry_bytes * entry_bytes]
