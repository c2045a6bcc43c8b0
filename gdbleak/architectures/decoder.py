"""Instructions as far as the flow of control goes, and what decodes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from typing import NamedTuple

ReadCode = Callable[[int, int], bytes]
"""Returns up to so many bytes of code, given an address and a size."""


class Flow(Enum):
    """Where control goes after an instruction."""

    NEXT = auto()  # to the next instruction
    CALL = auto()  # to the target, or to what the slot holds, and back
    RETURN = auto()  # to the caller
    RETURN_AND_POP = auto()  # the same, and more than a return address leaves the stack: `ret $8`
    JUMP = auto()  # to the target
    BRANCH = auto()  # to the target or on
    INDIRECT_JUMP = auto()  # to what the slot holds, or to where a register says
    DEAD_END = auto()  # nowhere: a trap, or the zeros between functions


class Instruction(NamedTuple):
    """One instruction; its addresses are of the same kind as the one it was decoded at."""

    address: int
    size: int
    """In bytes."""
    flow: Flow
    target: int | None = None
    """Where it jumps to, or which function it calls; None where it does not say itself."""
    slot: int | None = None
    """Address of the pointer that it jumps to or calls; None where a register decides on it."""


class Decoder(ABC):
    """Decodes the code of one file, each instruction once."""

    def __init__(self, read: ReadCode) -> None:
        """Prepare.

        Args:
            read: Returns the code. What it raises, every method raises.

        """
        self._read = read
        self._known: dict[int, Instruction | None] = {}

    def decode(self, address: int) -> Instruction | None:
        """Return the instruction at an address; None where the bytes are not one."""
        if address not in self._known:
            self._known[address] = self._decode(address)
        return self._known[address]

    @abstractmethod
    def _decode(self, address: int) -> Instruction | None:
        """Do the same, for the first time."""

    @abstractmethod
    def find_stub_slot(self, address: int) -> int | None:
        """Return the address of the pointer by which a stub jumps.

        A stub is an entry of a procedure linkage table; None at any other address.
        """
