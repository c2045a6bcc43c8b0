"""The ways out of a function, found by following its code from the entry. Pure.

A function is left by a `ret`, its own or one of code it jumps to, or by a jump to another function:

- one that has probes of its own: nothing more is needed;
- one that returns its first argument (`memset`, as glibc's `calloc` ends): the jump itself tells
  the result, with the stack pointer where it will be at the return;
- any other function, or an unknown one behind a pointer: an *escape*. The return of such a call is
  not seen.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from gdbleak.architectures import Architecture
from gdbleak.architectures.decoder import Flow, Instruction
from gdbleak.elf.image import ElfImage
from gdbleak.errors import ElfError
from gdbleak.unwinding.cfi import UnwindTable

RETURNING_FIRST_ARGUMENT = ("memset", "memcpy", "memmove")
"""Functions that an allocator may end in, and that return their first argument."""

MAX_INSTRUCTIONS = 200_000
"""Ten times what the largest allocator function known has."""

_DECODING_STEPS = 40
_RETURNS = (Flow.RETURN, Flow.RETURN_AND_POP)


@dataclass
class WaysOut:
    """Link-time addresses of the instructions by which a function is left."""

    returns: set[int] = field(default_factory=set)
    returns_of_first_argument: set[int] = field(default_factory=set)
    escapes: set[int] = field(default_factory=set)
    jumped_to: set[int] = field(default_factory=set)
    """Where its jumps lead that were followed: places within it, and other functions."""


class CodeWalk:
    """Walks through the functions of one ELF file."""

    def __init__(self, image: ElfImage, architecture: Architecture) -> None:
        """Prepare for walks.

        Raises:
            ElfError: the file is damaged, or walks through it take too long.

        """
        self._image = image
        self._decoder = architecture.make_decoder(self._read)
        self._extents: dict[int, range] = {}
        self._unwind_table = UnwindTable(image)
        self._linked = image.read_linked_functions(
            architecture.slot_relocations,
            architecture.resolver_relocation,
            RETURNING_FIRST_ARGUMENT,
        )
        self._copying = {
            symbol.address
            for symbol in image.find_functions(RETURNING_FIRST_ARGUMENT).values()
            if not symbol.is_indirect
        }

    def find_ways_out(self, entry: int, probed: Collection[int]) -> WaysOut:
        """Return the instructions by which the function at `entry` is left.

        Args:
            entry: Link-time address.
            probed: Link-time addresses of the functions that have probes of their own.

        Raises:
            ElfError: the file is damaged, or its code takes too long to follow.

        """
        ways = WaysOut()
        self._follow(entry, probed, ways, ends_at_calls=False)
        return ways

    def _read(self, address: int, size: int) -> bytes:
        """Return code that is about to be decoded."""
        self._image.spend(_DECODING_STEPS)
        return self._image.read(address, size)

    def find_own_exits(self, entry: int) -> list[int]:
        """Return the addresses at which the function at `entry` returns or jumps out of itself.

        What it jumps to is not looked at, because other functions may return there too.
        """
        extent = self.find_extent(entry)
        found = []
        for address in self._sweep(extent):
            instruction = self._decoder.decode(address)
            assert instruction is not None
            leaves = instruction.flow is Flow.JUMP and instruction.target not in extent
            if leaves or instruction.flow in _RETURNS:
                found.append(address)
        return found

    def passes_on(self, entry: int, probed: Collection[int], *, calls: bool = True) -> bool:
        """Return whether every way through a function leads through one of the `probed` ones.

        Such a function, as `operator new` which calls `malloc`, needs no probes of its own. Without
        `calls`, every way has to end in a jump, where the return address is still that of its call.
        """
        ways = WaysOut()
        others = set(probed) - {entry}
        met = self._follow(entry, others, ways, ends_at_calls=calls)
        return met and not (ways.returns or ways.returns_of_first_argument or ways.escapes)

    def _follow(
        self, entry: int, probed: Collection[int], ways: WaysOut, *, ends_at_calls: bool
    ) -> bool:
        """Walk, note the ways out, and return whether one of the `probed` functions was met."""
        seen: set[int] = set()
        swept: set[int] = set()
        met = False
        todo = [(entry, entry)]
        while todo:
            self._image.spend()
            start, came_from = todo.pop()
            if start in seen:
                continue
            extent = self.find_extent(start)
            address = start
            # Where the code runs out of the function, its last call never returns, like abort.
            while address in extent and address not in seen:
                instruction = self._decoder.decode(address)
                if instruction is None or len(seen) == MAX_INSTRUCTIONS:
                    ways.escapes.add(came_from)
                    break
                seen.add(address)
                if instruction.flow in _RETURNS:
                    ways.returns.add(address)
                elif instruction.flow is Flow.INDIRECT_JUMP:
                    met |= self._leave_by_slot(instruction, instruction.slot, probed, ways, todo)
                    # It may be a switch, which leads to anywhere in the function.
                    if instruction.slot is None and extent.start not in swept:
                        swept.add(extent.start)
                        todo += ((start, address) for start in self._sweep(extent))
                elif instruction.flow in (Flow.JUMP, Flow.BRANCH):
                    met |= self._jump(instruction, probed, ways, todo)
                elif ends_at_calls and self._calls(instruction, probed):
                    met = True
                    break
                if instruction.flow not in (Flow.NEXT, Flow.CALL, Flow.BRANCH):
                    break
                came_from = address
                address += instruction.size
        return met

    def _jump(
        self,
        jump: Instruction,
        probed: Collection[int],
        ways: WaysOut,
        todo: list[tuple[int, int]],
    ) -> bool:
        target = jump.target
        assert target is not None
        if target in probed:
            return True
        slot = self._decoder.find_stub_slot(target)
        if target not in self._copying and slot is None:
            todo.append((target, jump.address))
            ways.jumped_to.add(target)
            return False
        if jump.flow is Flow.JUMP:
            return self._leave_by_slot(jump, slot, probed, ways, todo)
        # At a conditional jump it is not known yet whether it is taken; at its target it is.
        at_target = self._decoder.decode(target)
        assert at_target is not None
        return self._leave_by_slot(at_target, slot, probed, ways, todo)

    def _leave_by_slot(
        self,
        jump: Instruction,
        slot: int | None,
        probed: Collection[int],
        ways: WaysOut,
        todo: list[tuple[int, int]],
    ) -> bool:
        """Note a jump to the function whose address the dynamic linker has written to a slot."""
        name = None if slot is None else self._linked.get(slot)
        if jump.target in self._copying or name in RETURNING_FIRST_ARGUMENT:
            ways.returns_of_first_argument.add(jump.address)
            return False
        own = self._image.find_function(name) if name else None
        if own is None or own.is_indirect:
            ways.escapes.add(jump.address)
            return False
        if own.address in probed:
            return True
        todo.append((own.address, jump.address))
        return False

    def _calls(self, instruction: Instruction, probed: Collection[int]) -> bool:
        """Return whether an instruction calls one of `probed`, also through the linkage table."""
        target = instruction.target
        if instruction.flow is not Flow.CALL or target is None:
            return False
        slot = self._decoder.find_stub_slot(target)
        name = None if slot is None else self._linked.get(slot)
        own = self._image.find_function(name) if name else None
        return (own.address if own else target) in probed

    def find_extent(self, address: int) -> range:
        """Return the addresses of the function at an address, by all that the file tells.

        A file that tells nothing gives a long range, and the code is followed as far as it leads.
        Returns of other functions that are found so do no harm: at these the stack pointer is not
        that of the call.
        """
        if address not in self._extents:
            found = self.find_known_extent(address)
            self._extents[address] = found or range(address, address + (1 << 20))
        return self._extents[address]

    def find_known_extent(self, address: int) -> range | None:
        """Return the same, or None where the file tells nothing."""
        self._image.spend(_DECODING_STEPS)
        try:
            found = self._unwind_table.find_extent(address)
        except ElfError:
            found = None
        return found or self._image.find_extent(address)

    def _sweep(self, extent: range) -> list[int]:
        """Return the address of each instruction of a function, one after the other."""
        found: list[int] = []
        address = extent.start
        while address in extent and len(found) < MAX_INSTRUCTIONS:
            instruction = self._decoder.decode(address)
            if instruction is None:
                break
            found.append(address)
            address += instruction.size
        return found
