"""The code of one module: what calls a function, and what leads to some bytes of it. Pure.

All addresses are link-time ones.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Container, Iterator, Mapping
from typing import NamedTuple

from gdbleak.architectures import X86_64
from gdbleak.architectures.decoder import Flow
from gdbleak.architectures.x86_64_branches import (
    find_stub_start,
    iter_jump_tables,
    iter_long_branches,
    iter_references,
    iter_short_branches,
    iter_uses_of_slots,
)
from gdbleak.architectures.x86_64_decoder import X86Decoder
from gdbleak.elf.headers import MAX_SECTION_BYTES
from gdbleak.elf.image import ElfImage
from gdbleak.errors import InlineRefusedError
from gdbleak.unwinding.code_walk import CodeWalk

_SHORT_REACH = 130
"""A branch of one byte of displacement leads no further than this."""
_MOST_ENTRIES = 4096
"""Of a `switch`."""
_DECODING_STEPS = 20


class Use(NamedTuple):
    """A place in the code from where a function is called, or jumped to."""

    address: int
    function: int
    """Where the function begins."""
    is_call: bool
    is_linked: bool
    """Whether it goes through the linkage table, where a program can put a function of its own."""


class ModuleCode:
    """The executable segments of one file, held in memory."""

    def __init__(self, image: ElfImage) -> None:
        """Read the code.

        Raises:
            InlineRefusedError: there is more of it than can be looked through.
            ElfError: the file is damaged.

        """
        self.image = image
        self.walk = CodeWalk(image, X86_64)
        self._pieces = []
        for segment in image.segments:
            if segment.executable:
                if segment.file_size > MAX_SECTION_BYTES:
                    raise InlineRefusedError(
                        f"{image.path} has {segment.file_size:,} bytes of code, too many to look at"
                    )
                code = image.read(segment.address, segment.file_size)
                image.spend(len(code) >> 6, held_bytes=len(code))
                self._pieces.append((segment.address, code))
        self.decoder = X86Decoder(self._decode_from)

    @property
    def span(self) -> range:
        """From where to where there is code."""
        starts = [address for address, _ in self._pieces]
        ends = [address + len(code) for address, code in self._pieces]
        return range(min(starts, default=0), max(ends, default=0))

    def read(self, address: int, size: int) -> bytes:
        """Return up to `size` bytes of code."""
        for start, code in self._pieces:
            if start <= address < start + len(code):
                return code[address - start :][:size]
        return b""

    def _decode_from(self, address: int, size: int) -> bytes:
        self.image.spend(_DECODING_STEPS)
        return self.read(address, size)

    def find_uses(self, entries: Collection[int], names: Collection[str]) -> list[Use]:
        """Return the calls and jumps to functions that begin at `entries`.

        Args:
            entries: The functions.
            names: By which they may be linked.

        """
        slots = self._find_slots(entries, names) if names else {}
        self.image.spend(sum(len(code) >> 6 for _, code in self._pieces))
        found: list[Use] = []
        stubs = {entry: (entry, False) for entry in entries}
        for start, code in self._pieces:
            for use in iter_uses_of_slots(code, start):
                if use.target in slots:
                    function = slots[use.target]
                    found.append(Use(use.address, function, use.is_call, is_linked=True))
                    stub = start + find_stub_start(code, use.address - start)
                    stubs[stub] = stubs[use.address] = function, True
        for start, code in self._pieces:
            for branch in iter_long_branches(code, start):
                if branch.target in stubs:
                    function, is_linked = stubs[branch.target]
                    found.append(Use(branch.address, function, branch.is_call, is_linked))
        for entry in entries:
            near = self._find_short_branches({entry})
            found += (Use(at, entry, is_call=False, is_linked=False) for at, _ in near)
        return found

    def _find_slots(self, entries: Collection[int], names: Collection[str]) -> dict[int, int]:
        """Return the functions that the slots of the linkage table hold, of those that begin so."""
        known = {
            name: symbol.address
            for name, symbol in self.image.find_functions(names).items()
            if symbol.address in entries
        }
        linked = self.image.read_linked_functions(
            X86_64.slot_relocations, X86_64.resolver_relocation, ()
        )
        return {slot: known[name] for slot, name in linked.items() if name in known}

    def find_called(self, function: range) -> list[range]:
        """Return the functions that one calls or jumps to, as far as it names them itself."""
        code = self.read(function.start, function.stop - function.start)
        self.image.spend(1 + (len(code) >> 6))
        targets = {branch.target for branch in iter_long_branches(code, function.start)}
        found = ((target, self.walk.find_known_extent(target)) for target in targets - {0})
        return [known for target, known in found if known and known.start == target]

    def find_branches(self, places: Mapping[int, range]) -> Iterator[tuple[int, int]]:
        """Yield from where to where the code may lead to some places.

        Args:
            places: The addresses, each with the function that it is in.

        """
        yield from self._find_long_branches(places)
        for function in set(places.values()):
            wanted = {place for place in places if places[place] == function}
            yield from self._find_short_branches(wanted)
            for target in self._iter_cases(function):
                if target in wanted:
                    yield function.start, target

    def find_ways_in(self, inside: range) -> Iterator[tuple[int, int]]:
        """Yield from where to where code outside of some bytes leads to them."""
        for source, target in self._find_long_branches(inside):
            if source not in inside:
                yield source, target

    def _find_long_branches(self, places: Container[int]) -> Iterator[tuple[int, int]]:
        for start, code in self._pieces:
            self.image.spend(len(code) >> 6)
            for scan in (iter_long_branches, iter_references):
                for branch in scan(code, start):
                    if branch.target in places and self._may_begin_at(branch.address):
                        yield branch.address, branch.target

    def _may_begin_at(self, address: int) -> bool:
        """Return whether an instruction may begin there; not in the middle of another one."""
        function = self.walk.find_known_extent(address)
        at = function.start if function else address
        while at < address:
            self.image.spend()
            instruction = self.decoder.decode(at)
            if instruction is None:  # data
                return True
            at += instruction.size
        return at == address

    def _find_short_branches(self, places: set[int]) -> Iterator[tuple[int, int]]:
        at, end = min(places) - _SHORT_REACH, max(places) + _SHORT_REACH
        while at < end:
            function = self.walk.find_known_extent(at)
            if function:
                sources = self._sweep(function, end)
                at = function.stop
            else:
                sources = self._iter_unknown(at)
                at += 1
            for source, target in sources:
                if target in places:
                    yield source, target

    def _iter_unknown(self, address: int) -> Iterator[tuple[int, int]]:
        """Yield what may be a short branch at an address that is in no function."""
        for branch in iter_short_branches(self.read(address, 2), address):
            yield branch.address, branch.target

    def _sweep(self, function: range, end: int) -> Iterator[tuple[int, int]]:
        """Yield the branches of a function, up to an address."""
        at = function.start
        while at in function and at < end:
            self.image.spend()
            instruction = self.decoder.decode(at)
            if instruction is None:  # data, which does not say where it ends
                yield from self._iter_unknown(at)
                at += 1
                continue
            if instruction.flow in (Flow.JUMP, Flow.BRANCH) and instruction.target is not None:
                yield at, instruction.target
            at += instruction.size

    def _iter_cases(self, function: range) -> Iterator[int]:
        """Yield where the tables of `switch` in a function lead, as far as that is in it."""
        code = self.read(function.start, function.stop - function.start)
        for table in iter_jump_tables(code, function.start):
            self.image.spend(_DECODING_STEPS)
            size, base = (4, table.address) if table.is_relative else (8, 0)
            entries = self.image.read(table.address, size * _MOST_ENTRIES)
            layout = "<i" if table.is_relative else "<Q"
            for (entry,) in struct.iter_unpack(layout, entries[: len(entries) // size * size]):
                if base + entry not in function:
                    break
                yield base + entry
