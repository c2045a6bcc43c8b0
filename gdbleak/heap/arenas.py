"""Where the arenas of glibc's malloc are in the memory of a process. Pure.

Source: `struct malloc_state` in malloc/malloc.c and `heap_info` in malloc/arena.c, glibc 2.17 to
2.43, 64 bits. The places of the fields relative to `bins` have been the same throughout; what
stands before the fast bins has grown once, in 2.27; 2.43 has neither. In a stripped library
`main_arena` has no symbol, but an empty bin points at itself, twice, and the arenas form a ring.

The process runs on meanwhile: nothing is believed that only one word says, and every loop over
what it says has a limit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gdbleak.heap.chunk import FLAGS, PREV_INUSE, SMALLEST_CHUNK
from gdbleak.heap.snapshot import PAGE_BYTES, Snapshot

HEAP_BYTES = 64 << 20
"""The most that a heap of an arena can grow to, but for the main one, and its alignment."""

BINS = 127
FAST_BINS = 10
_WITHOUT_FAST_BINS = 24
_BINS_OFFSETS = (112, 104, _WITHOUT_FAST_BINS)  # since 2.27, before, and since 2.43
_NEXT = 2048  # the field, from `bins`; so are the others
_SYSTEM_MEM = 2072
_END = 2088
_MPROTECT_SIZE = 24  # from the start of a heap
_ARENAS_LIMIT = 4096
_EMPTY_LIMIT = 1000
"""An arena has 127 bins, and hardly anything else looks like one that is empty."""


@dataclass(frozen=True)
class Arena:
    """A `struct malloc_state`: addresses of the fields that are named so there."""

    address: int
    bins: int

    @property
    def top(self) -> int:
        """Where the chunk at the end of its memory is told."""
        return self.bins - 16

    @property
    def fast_bins(self) -> int:
        """The first of the heads of its fast bins, if it has any."""
        return self.top - 8 * FAST_BINS

    @property
    def has_fast_bins(self) -> bool:
        """Whether they are a part of it."""
        return self.bins - self.address != _WITHOUT_FAST_BINS


def find_arenas(memory: Snapshot, words: Sequence[int], start: int) -> list[Arena]:
    """Return the arenas, the main one first, or nothing if it is not among `words` from `start`."""
    empty_bins = [
        start + 8 * index
        for index, word in enumerate(words[:-1])
        if word == start + 8 * index - 16 and words[index + 1] == word
    ]
    places = {at - 16 * number for at in empty_bins[:_EMPTY_LIMIT] for number in range(BINS)}
    for bins in sorted(places):
        memory.spend(len(_BINS_OFFSETS))
        for offset in _BINS_OFFSETS:
            if bins - offset >= start and (ring := _ring(memory, bins - offset, offset)):
                return ring
    return []


def arenas_of_heap(memory: Snapshot, address: int) -> list[Arena]:
    """Return all arenas, told by the heap around the address of a block that is not in the main.

    Return nothing where no such heap is: most bins of its arena have to look like empty bins.
    """
    arena = memory.word(address & -HEAP_BYTES)
    for offset in () if arena % 8 else _BINS_OFFSETS:
        heads = range(arena + offset, arena + offset + 16 * BINS, 16)
        looks_empty = sum(memory.word(at) == at - 16 for at in heads)
        # The bins of one version are, but for some, at the places of another's.
        if looks_empty > BINS // 2 and (ring := _ring(memory, arena, offset)):
            return ring
    return []


def _ring(memory: Snapshot, first: int, offset: int) -> list[Arena]:
    ring: list[Arena] = []
    address = first
    while address and address % 8 == 0 and len(ring) < _ARENAS_LIMIT:
        memory.spend()
        ring.append(Arena(address, address + offset))
        address = memory.word(address + offset + _NEXT)
        if address == first:
            return ring
    return []


def find_top(memory: Snapshot, arena: Arena) -> tuple[int, int] | None:
    """Return start and end of what lies behind the last block of an arena."""
    top = memory.word(arena.top)
    size = 0 if top % 16 else memory.word(top + 8)
    end = top + (size & ~FLAGS)
    if size & FLAGS != PREV_INUSE or size < SMALLEST_CHUNK or end % PAGE_BYTES:
        return None
    heap = top & -HEAP_BYTES
    if memory.word(heap) == arena.address:
        # What a heap has given back stays mapped, and no more of it than was used once.
        end = max(end, heap + min(memory.word(heap + _MPROTECT_SIZE), HEAP_BYTES))
    return top, end


def iter_first_blocks(memory: Snapshot, arenas: list[Arena]) -> Iterator[int]:
    """Yield the first block of every arena: the tcache of the thread that it was made for.

    That of the main arena is found as long as nobody else moved the break.
    """
    for arena in arenas:
        if memory.word(arena.address & -HEAP_BYTES) == arena.address:
            yield (arena.bins + _END + 15 & -16) + 16
        elif top := find_top(memory, arena):
            yield top[1] - memory.word(arena.bins + _SYSTEM_MEM) + 16
