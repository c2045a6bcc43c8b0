"""The head of the ring, as the controller reads and writes it from outside."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from gdbleak.errors import NoSuchProcessError
from gdbleak.inline.ring import (
    LITTLE_STACK_BYTES,
    MAIN_STACK,
    MAPPED,
    MORE_STACK_BYTES,
    MORE_STACK_MASK,
    ON,
    STACK_BLOCK,
    STACK_BYTES,
    TICKETS,
    WORD_BYTES,
    Ring,
)
from gdbleak.target.proc import Memory

_CHUNK_BYTES = 1 << 20
_ALL_ONES = (1 << 32) - 1


@dataclass(frozen=True)
class Settings:
    """What the recorder needs to know."""

    stack_bytes: int
    """How much stack to keep of each block, a multiple of 8."""
    more_stack_bytes: int = 0
    """The same of chosen blocks."""
    more_stack_mask: int = _ALL_ONES
    """Which they are: those whose hash has zeros where this has ones."""
    main_stack: tuple[int, int] = (0, 0)
    """From where to where the stack of the main thread lies; zeros where that is not known."""
    little_stack_bytes: int = 192
    """The most that is kept of a stack while more than a quarter of the ring is unread."""
    stack_block: int = 0
    """Where from the thread pointer the lowest address of a thread's stack stands; 0 if unknown."""


class RingControl:
    """The ring of a process. It need not be mapped yet."""

    def __init__(self, pid: int, ring: Ring, memory: Memory) -> None:
        """Prepare.

        Args:
            pid: The process.
            ring: Where its ring is or will be.
            memory: Its memory, to be written too.

        """
        self._pid = pid
        self._ring = ring
        self._memory = memory

    def read_mapped(self) -> int:
        """Return what the routine has written that maps it; 0 while there is no ring."""
        return self._read(MAPPED)

    def read_tickets(self) -> int:
        """Return how many units were claimed."""
        return self._read(TICKETS)

    def arm(self, settings: Settings) -> None:
        """Have the kernel give it all its memory now, and write down what the recorder needs.

        Raises:
            NoSuchProcessError: the process has ended.

        """
        first, end = self._ring.first_unit, self._ring.address + self._ring.size
        nothing = bytes(_CHUNK_BYTES)
        for address in range(first, end, _CHUNK_BYTES):
            self._write(address, nothing[: end - address])
        for offset, words in (
            (STACK_BYTES, [settings.stack_bytes]),
            (MORE_STACK_BYTES, [settings.more_stack_bytes]),
            (MORE_STACK_MASK, [settings.more_stack_mask]),
            (MAIN_STACK, settings.main_stack),
            (STACK_BLOCK, [settings.stack_block]),
            (LITTLE_STACK_BYTES, [settings.little_stack_bytes]),
        ):
            self._write(self._ring.address + offset, struct.pack(f"<{len(words)}Q", *words))

    def switch(self, on: bool) -> None:
        """Have the recorder record, or not.

        Raises:
            NoSuchProcessError: the process has ended.

        """
        self._write(self._ring.address + ON, struct.pack("<I", on))

    def _read(self, offset: int) -> int:
        return int.from_bytes(self._memory.read(self._ring.address + offset, WORD_BYTES), "little")

    def _write(self, address: int, data: bytes) -> None:
        if not self._memory.write(address, data):
            raise NoSuchProcessError(f"process {self._pid} has ended meanwhile")
