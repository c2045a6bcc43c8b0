"""How the ring in the target is laid out, into which the recorder there writes. Pure.

One private mapping: a page of counters and settings, the head, then units of 64 bytes, a power of
two of them. An event takes one unit, and as many more as its slice of the stack needs. Whoever
writes one claims its units by adding their number to `TICKETS`; unit number N of all lies in place
N modulo their number. In each, the first word is written last, and says which unit it is:
`2 * (N + 1)`, plus 1 in the first of an event. All words are 64 bits, little-endian.
"""

from __future__ import annotations

from dataclasses import dataclass

from gdbleak.recording.choice import HASH_FACTOR as HASH_FACTOR
from gdbleak.recording.choice import HASH_SHIFT as HASH_SHIFT
from gdbleak.recording.choice import draw_lot as draw_lot
from gdbleak.recording.choice import hash_address as hash_address

PAGE_BYTES = 4096
UNIT_BYTES = 64
WORD_BYTES = 8
STACK_WORDS_OF_UNIT = UNIT_BYTES // WORD_BYTES - 1

ON = 0x00
"""32 bits: whether to record. A child of fork finds 0 there, and records nothing."""
MAPPED = 0x08
"""Written by the routine that maps the ring: a sum of these."""
DONE, WIPED = 1, 2
"""It has ended; in children of fork the whole ring is empty."""
TICKETS = 0x40
"""Units claimed so far. On a cache line of its own, as is each of the next two groups."""
READ = 0x80
"""Units read so far; written by the reader, as all of the following."""
STACK_BYTES = 0x88
"""How much stack to keep of each block, a multiple of 8 below 65536."""
MORE_STACK_BYTES = 0x90
"""The same of those blocks whose hash has zeros where `MORE_STACK_MASK` has ones."""
MORE_STACK_MASK = 0x98
MAIN_STACK = 0xA0
"""First address of the main thread's stack, and behind it (at 0xA8) the one behind its last."""
STACK_BLOCK = 0xB0
"""Where, from the thread pointer, the first address of a thread's stack is kept; 0 if nobody knows.
From there to the thread pointer all memory is its stack."""
LITTLE_STACK_BYTES = 0xB8
"""The most that is kept of a stack while more than a quarter of the units is unread."""
UNREAD = 0x100
"""About how many were left out since the reader came last, which writes 0. Many, and `ON` becomes
0."""
MANY_UNREAD = 1 << 26
DROPPED = 0x108
"""Sixteen words: how many events were left out at each level of fullness. In the one behind the
last level: for want of room. Those that are used share the cache line of `UNREAD`."""

LEVELS = 5
"""The last level. At level L only the events of blocks are kept whose lot ends in L zeros. At half
of the units unread it is 1, at three quarters 2, and so on; beyond the last one nothing is kept."""

# The words of an event's first unit, behind the one that says which unit it is.
INFO, ADDRESS, SIZE, FACTOR, THREAD, STACK_POINTER, FRAME_POINTER = range(1, 8)
"""INFO holds, from its lowest bits, 16 of the site, 16 of the stack's bytes, 16 of the units.
ADDRESS is the block that was handed out, or that is freed or resized. SIZE times FACTOR was
requested. THREAD is the thread pointer. STACK_POINTER is where the call's return address is."""


@dataclass(frozen=True)
class Ring:
    """Where a ring is in the target."""

    address: int
    unit_bits: int
    """It has two to the power of so many units."""

    @property
    def units(self) -> int:
        """How many units it has."""
        return 1 << self.unit_bits

    @property
    def size(self) -> int:
        """Bytes of the mapping."""
        return PAGE_BYTES + self.units * UNIT_BYTES

    @property
    def first_unit(self) -> int:
        """Where its units begin."""
        return self.address + PAGE_BYTES
