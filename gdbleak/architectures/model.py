"""What the rest of gdbleak asks of an instruction set and its calling convention."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto

ReadCode = Callable[[int, int], bytes]
"""Returns up to so many bytes of code, given an address and a size."""


class Flow(Enum):
    """Where control goes after an instruction."""

    NEXT = auto()
    CALL = auto()  # to `target`, if that is known, and back
    RETURN = auto()
    JUMP = auto()  # to `target`
    BRANCH = auto()  # to `target` or on
    INDIRECT_JUMP = auto()  # to what stands at `slot`, or to somewhere unknown
    DEAD_END = auto()  # a trap


@dataclass(frozen=True)
class Instruction:
    """One instruction, as far as the flow of control goes."""

    address: int
    size: int
    flow: Flow
    target: int | None = None
    slot: int | None = None
    """Address of the pointer that an indirect jump follows, where no register decides on it."""


@dataclass(frozen=True)
class FrameConvention:
    """What unwinding needs to know of registers, by their DWARF numbers, and of calls."""

    numbers: Mapping[str, int]
    stack_pointer: int
    frame_pointer: int
    return_address: int
    """Column of call frame information that stands for the caller's next instruction."""
    callee_saved: frozenset[int]
    has_link_register: bool
    """At a return, the return address is in its register, not on top of the stack."""
    signs_addresses: bool
    """The bits of a return address that no address needs may hold a signature."""
    ends_in_call: Callable[[bytes], bool]
    """Returns whether the last bytes of some code are a call."""


@dataclass(frozen=True)
class Architecture:
    """Names of registers are GDB's."""

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
    decode: Callable[[ReadCode, int], Instruction | None]
    """Decodes the instruction at an address; None for what is no instruction."""
    iter_calls: Callable[[bytes, int], Iterator[tuple[int, int]]]
    """Yields address and target of each direct call in some code, given that and its address. What
    only looks like a call may be among them."""
    find_stub_slot: Callable[[ReadCode, int], int | None]
    """Returns the slot by which an entry of a procedure linkage table jumps; None elsewhere."""
