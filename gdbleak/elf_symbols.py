"""Functions of an ELF file by name and by address, read without a Python object for each symbol.

Layout: System V ABI, chapter 4, "Symbol Table"; `Elf64_Sym` is name, info, other, section, value,
size.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

_SYMBOL = struct.Struct("<IBBHQQ")
_UNDEFINED = 0
_STT_FUNC, _STT_GNU_IFUNC = 2, 10
_FUNCTIONS = (_STT_FUNC, _STT_GNU_IFUNC)


@dataclass(frozen=True)
class FunctionSymbol:
    """A function of a symbol table; `address` is link-time, `size` in bytes."""

    name: str
    address: int
    size: int
    is_indirect: bool = False
    """True when the address is of a resolver, which returns the function's (STT_GNU_IFUNC)."""


class FunctionTable:
    """The functions that one symbol table defines."""

    def __init__(self, symbols: bytes, strings: bytes) -> None:
        """Take the contents of a symbol table and of its string table."""
        self._symbols = symbols[: len(symbols) // _SYMBOL.size * _SYMBOL.size]
        self._strings = strings

    def find(self, names: Iterable[str]) -> dict[str, FunctionSymbol]:
        """Return those of the functions that the table defines, by name."""
        wanted = dict(self._iter_offsets(names))
        found: dict[str, FunctionSymbol] = {}
        if not wanted:
            return found
        for offset, info, _, section, value, size in _SYMBOL.iter_unpack(self._symbols):
            if offset in wanted and section != _UNDEFINED and info & 15 in _FUNCTIONS:
                name = wanted[offset]
                indirect = info & 15 == _STT_GNU_IFUNC
                found.setdefault(name, FunctionSymbol(name, value, size, indirect))
        return found

    def find_extent(self, address: int) -> range | None:
        """Return the addresses of the function that spans one.

        Where the table does not say how long a function is, it goes up to the next.
        """
        starts, sizes = self._extents
        index = bisect_right(starts, address) - 1
        if index < 0:
            return None
        start, size = starts[index], sizes[index]
        if not size and index + 1 < len(starts):
            size = starts[index + 1] - start
        return range(start, start + size) if address < start + size else None

    @property
    def starts(self) -> list[int]:
        """Where functions begin, in order."""
        return self._extents[0]

    @cached_property
    def _extents(self) -> tuple[list[int], list[int]]:
        extents: dict[int, int] = {}
        for _, info, _, section, value, size in _SYMBOL.iter_unpack(self._symbols):
            if section != _UNDEFINED and info & 15 in _FUNCTIONS:
                extents[value] = max(size, extents.get(value, 0))
        starts = sorted(extents)
        return starts, [extents[start] for start in starts]

    def _iter_offsets(self, names: Iterable[str]) -> Iterable[tuple[int, str]]:
        """Yield where in the string table each name stands; a name may be the end of another."""
        for name in filter(None, names):
            ending = name.encode(errors="surrogateescape") + b"\0"
            offset = self._strings.find(ending)
            while offset >= 0:
                yield offset, name
                offset = self._strings.find(ending, offset + 1)
