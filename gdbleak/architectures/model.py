"""What the rest of gdbleak asks of an instruction set and its calling convention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gdbleak.architectures.decoder import Decoder, ReadCode

WORD_BYTES = 8
"""Size of a register, and of an address in memory, on each of them."""


@dataclass(frozen=True)
class FrameConvention:
    """Which registers a call preserves, and where it leaves the return address.

    Registers have their DWARF numbers.
    """

    numbers: Mapping[str, int]
    stack_pointer: int
    frame_pointer: int
    return_address: int
    """Column of call frame information for the address of the caller's next instruction."""
    callee_saved: frozenset[int]
    has_link_register: bool
    """Whether at a return the return address is in a register, not on top of the stack."""
    signs_addresses: bool
    """Whether the upper bits of a return address, which no address uses, may hold a signature."""
    ends_in_call: Callable[[bytes], bool]
    """Returns whether the last bytes that it is given are a call instruction."""


@dataclass(frozen=True)
class Architecture:
    """An instruction set, and what GDB and ELF files say of it; registers have GDB's names."""

    elf_machine_number: int
    """`e_machine` of its ELF files."""
    argument_registers: tuple[str, ...]
    result_register: str
    stack_pointer: str
    unwind_registers: tuple[str, ...]
    """Registers recorded at a return, beside the stack pointer, to unwind from."""
    breakpoint: bytes
    """The instruction GDB writes into the code."""
    slot_relocations: frozenset[int]
    """Types of relocations by which the dynamic linker writes a function's address to a slot."""
    resolver_relocation: int
    """Type of the relocation whose addend is a resolver, which returns the function's address."""
    iter_calls: Callable[[bytes, int], Iterator[tuple[int, int]]]
    """Yields address and target of each direct call, given some code and its address.

    Bytes that only look like a call may be among them."""
    make_decoder: Callable[[ReadCode], Decoder]
    """Returns a decoder for the code that the given function reads."""
