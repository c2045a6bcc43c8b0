"""The functions and variables of an ELF file, for the unwinder and the plan of the breakpoints.

All addresses are link-time ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path

from gdbleak.effort import Effort
from gdbleak.elf.file import ElfFile, reading
from gdbleak.elf.headers import PT_TLS, SHT_SYMTAB, SectionHeader
from gdbleak.elf.symbols import FunctionSymbol, FunctionTable, VariableSymbol

DEBUG_FILES = Path("/usr/lib/debug/.build-id")
"""Where distributions install separate debug files, by build-id."""

_MAX_SYMBOL_TABLES = 4
"""How many are read; a file has one."""


class ElfImage(ElfFile):
    """An ELF file, its functions, and its separate debug file."""

    def charge(self, effort: Effort) -> None:
        """Count work, also that on the debug file, on another effort from now on."""
        super().charge(effort)
        if self._opened_debug_image:
            self._opened_debug_image.charge(effort)

    def close(self) -> None:
        """Close the file and its debug file."""
        super().close()
        if self._opened_debug_image:
            self._opened_debug_image.close()

    @property
    def _opened_debug_image(self) -> ElfImage | None:
        image: ElfImage | None = self.__dict__.get("debug_image")
        return image

    @cached_property
    def debug_image(self) -> ElfImage | None:
        """The separate debug file, which has what this one was stripped of; None without one.

        Raises:
            ElfError: it is damaged.

        """
        path = DEBUG_FILES / (self.build_id or "")[:2] / f"{(self.build_id or '')[2:]}.debug"
        return (
            ElfImage(str(path), self._account.effort) if self.build_id and path.exists() else None
        )

    def find_function(self, name: str) -> FunctionSymbol | None:
        """Return the function that the file defines as `name`, or None.

        Raises:
            ElfError: a symbol table is damaged.

        """
        return self.find_functions((name,)).get(name)

    def find_functions(self, names: Collection[str]) -> dict[str, FunctionSymbol]:
        """Return those of the functions that the file defines, by name.

        The dynamic symbol table is asked first, then the full one. A program that was stripped of
        that may have it in its debug file.

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

    def find_variables(
        self, addresses: Collection[int], of_threads: bool = False
    ) -> dict[int, VariableSymbol]:
        """Return which variable each of some link-time addresses is in, by the symbol tables.

        Args:
            addresses: Those, or where in the segment for variables of threads.
            of_threads: Whether these are meant.

        Raises:
            ElfError: a symbol table is damaged.

        """
        found: dict[int, VariableSymbol] = {}
        with reading(self.path):
            for table in self._function_tables:
                found = {**found, **table.find_variables(addresses, of_threads)}
        return found

    @property
    def thread_segment(self) -> tuple[int, int]:
        """The size and alignment of what each thread has of its own, in bytes; 0 and 1 if none."""
        segments = (s for s in self._headers.segments if s.kind == PT_TLS)
        return next(((s.memory_size, max(s.alignment, 1)) for s in segments), (0, 1))

    @property
    def function_starts(self) -> set[int]:
        """Link-time addresses at which the symbol tables have a function begin."""
        self.spend(sum(len(table.starts) for table in self._function_tables) // 8)
        return {start for table in self._function_tables for start in table.starts}

    @cached_property
    def _function_tables(self) -> tuple[FunctionTable, ...]:
        with reading(self.path):
            sections = [s for s in self._headers.sections if s.kind == SHT_SYMTAB]
            tables = tuple(self._iter_function_tables(sections))
        if not sections and self.debug_image:
            return (*tables, *self.debug_image._function_tables)
        return tables

    def _iter_function_tables(self, sections: list[SectionHeader]) -> Iterator[FunctionTable]:
        headers = self._headers
        if self._dynamic.symbols:
            yield FunctionTable(*self._dynamic.symbols, self.spend)
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
        with reading(self.path):
            table = self._dynamic.symbols
            names_of = FunctionTable(*table, self.spend).name_of if table else None
            for slot, kind, symbol, addend in self._dynamic.iter_relocations():
                if kind in slot_relocations and names_of:
                    self._account.spend(2)
                    slots[slot] = names_of(symbol)
                elif kind == resolver_relocation and addend in resolvers:
                    slots[slot] = resolvers[addend]
        return slots
