"""Calls of an allocator's functions that a ledger has to remember. Pure."""

from __future__ import annotations

from typing import NamedTuple

from gdbleak.ledger.blocks import Block
from gdbleak.recording.functions import AllocatorFunction


class Call(NamedTuple):
    """A call of an allocator function that has not returned yet."""

    stack_pointer: int
    function: AllocatorFunction
    pointer: int
    size: int
    length: int
    flags: int
    block: Block | None
    """The block that `pointer` named when the call began."""
    before: int
    """How large that was, or 0 if it is not known."""
    is_left_out: bool = False
    """Whether what was asked for is of a size that is not recorded."""
    is_strange: bool = False
    """Whether the block that `pointer` named was of such a size."""


class Free(NamedTuple):
    """A call that frees; of a thread, its latest."""

    allocator: int
    function: AllocatorFunction
    stack_pointer: int
    pointer: int

    def calls(self, other: Free) -> bool:
        """Whether the one that comes next is a part of this."""
        if other.stack_pointer > self.stack_pointer:
            return False
        if other.allocator != self.allocator:
            return True
        begins_again = other.stack_pointer == self.stack_pointer
        return other.pointer == self.pointer and (
            begins_again or other.function is not self.function
        )
