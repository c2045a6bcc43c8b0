"""The functions and variables of an ELF file by name and by address.

No Python object is made for each symbol.

Layout: System V ABI, chapter 4, "Symbol Table"; `Elf64_Sym` is name, info, other, section, value,
size.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from gdbleak.host.files import Bytes, iter_chunks

_SYMBOL = struct.Struct("<IBBHQQ")
_UNDEFINED = 0
_CHUNK_BYTES = 1 << 20
_SYMBOLS_AT_ONCE = 2048
_LONGEST_NAME = 1000
_STT_OBJECT, _STT_FUNC, _STT_FILE, _STT_TLS, _STT_GNU_IFUNC = 1, 2, 4, 6, 10
_FUNCTIONS = (_STT_FUNC, _STT_GNU_IFUNC)


@dataclass(frozen=True)
class FunctionSymbol:
    """A function of a symbol table; `address` is link-time, `size` in bytes."""

    name: str
    address: int
    size: int
    is_indirect: bool = False
    """The address is that of a resolver, which returns the function's (STT_GNU_IFUNC)."""


@dataclass(frozen=True)
class VariableSymbol:
    """A variable of a symbol table."""

    name: str
    """As the linker knows it: of C++ it is mangled, and static ones of functions have a number."""
    address: int
    """Link-time; for a variable of threads, where it is in the segment of these."""
    file: str | None
    """The source file; only known of static variables."""


class FunctionTable:
    """The functions and variables that one symbol table defines."""

    def __init__(self, symbols: Bytes, strings: Bytes, spend: Callable[..., None]) -> None:
        """Take a symbol table and its string table.

        Args:
            symbols: The symbol table.
            strings: Its string table.
            spend: Called with the number of steps and of bytes in memory that are needed; it raises
                where that is too much.

        """
        self._symbols = symbols
        self._strings = strings
        self._spend = spend

    def name_of(self, number: int) -> str:
        """Return the name of a symbol by its number; empty for a number that the table lacks."""
        symbol = self._symbols.read(number * _SYMBOL.size, 4)
        return self._text(int.from_bytes(symbol, "little"))

    def find(self, names: Iterable[str]) -> dict[str, FunctionSymbol]:
        """Return by name those functions among `names` that the table defines."""
        wanted = dict(self._iter_offsets(names))
        found: dict[str, FunctionSymbol] = {}
        if not wanted:
            return found
        for offset, info, _, section, value, size in self._iter_symbols():
            if offset in wanted and section != _UNDEFINED and info & 15 in _FUNCTIONS:
                name = wanted[offset]
                indirect = info & 15 == _STT_GNU_IFUNC
                found.setdefault(name, FunctionSymbol(name, value, size, indirect))
        return found

    def _iter_symbols(self) -> Iterator[tuple[int, int, int, int, int, int]]:
        at_once = _SYMBOL.size * _SYMBOLS_AT_ONCE
        for _, chunk in iter_chunks(self._symbols, at_once):
            self._spend(1 + len(chunk) // _SYMBOL.size // 4)
            yield from _SYMBOL.iter_unpack(chunk[: len(chunk) // _SYMBOL.size * _SYMBOL.size])

    def find_extent(self, address: int) -> range | None:
        """Return the addresses of the function that one address is in.

        A function whose size the table does not tell goes up to the next.
        """
        starts, sizes = self._extents
        index = bisect_right(starts, address) - 1
        if index < 0:
            return None
        start, size = starts[index], sizes[index]
        if not size and index + 1 < len(starts):
            size = starts[index + 1] - start
        return range(start, start + size) if address < start + size else None

    def find_variables(
        self, addresses: Iterable[int], of_threads: bool = False
    ) -> dict[int, VariableSymbol]:
        """Return which variable each of some link-time addresses is in.

        Args:
            addresses: Those, or where in the segment for variables of threads.
            of_threads: Whether these are meant.

        """
        kind = _STT_TLS if of_threads else _STT_OBJECT
        wanted = sorted(set(addresses))
        found: dict[int, tuple[int, int, int]] = {}
        file = 0
        for name, info, _, section, value, size in self._iter_symbols():
            if info & 15 == _STT_FILE:
                file = name
            elif info & 15 == kind and section != _UNDEFINED:
                index = bisect_left(wanted, value)
                while index < len(wanted) and wanted[index] < value + max(size, 1):
                    # The linker writes the name of a source file before its static symbols.
                    found.setdefault(wanted[index], (name, value, 0 if info >> 4 else file))
                    index += 1
        return {
            address: VariableSymbol(self._text(name), value, self._text(file) or None)
            for address, (name, value, file) in found.items()
        }

    def _text(self, place: int) -> str:
        text = self._strings.read(place, _LONGEST_NAME) if place else b""
        return text.partition(b"\0")[0].decode(errors="replace")

    @property
    def starts(self) -> Sequence[int]:
        """Where functions begin, in order."""
        return self._extents[0]

    @cached_property
    def _extents(self) -> tuple[Sequence[int], Sequence[int]]:
        extents: dict[int, int] = {}
        for _, info, _, section, value, size in self._iter_symbols():
            if section != _UNDEFINED and info & 15 in _FUNCTIONS:
                if value not in extents:
                    self._spend(1, 16)
                extents[value] = max(size, extents.get(value, 0))
        starts = sorted(extents)
        return array("Q", starts), array("Q", [extents[start] for start in starts])

    def _iter_offsets(self, names: Iterable[str]) -> Iterator[tuple[int, str]]:
        """Yield where in the string table each name stands; a name may be the end of another."""
        endings = [
            (name, name.encode(errors="surrogateescape") + b"\0") for name in filter(None, names)
        ]
        longest = max((len(ending) for _, ending in endings), default=1)
        for offset, chunk in iter_chunks(self._strings, _CHUNK_BYTES, longest - 1):
            self._spend(1 + len(endings) * len(chunk) >> 12)
            for name, ending in endings:
                end = _CHUNK_BYTES + len(ending) - 1
                place = chunk.find(ending, 0, end)
                while place >= 0:
                    self._spend(2)
                    yield offset + place, name
                    place = chunk.find(ending, place + 1, end)
