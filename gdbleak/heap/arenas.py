"""Where the arenas of glibc's malloc are in the memory of a process. Pure.

Source: malloc/malloc.c and malloc/arena.c, glibc 2.17 to 2.43; the layouts are in
`gdbleak.heap.layouts`. In a stripped library `main_arena` has no symbol, but an empty bin points
at itself, twice, and the arenas form a ring.

The process runs on meanwhile: nothing is believed that only one word says, and every loop that
follows its words has a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from gdbleak.heap.chunk import BLOCK, FLAGS, FORWARD, PREV_INUSE, SIZE, SMALLEST_CHUNK
from gdbleak.heap.layouts import (
    ARENAS,
    BINS,
    FAST_BINS,
    HEAP_ARENA,
    HEAP_BYTES,
    HEAP_MOST_USED,
    ArenaLayout,
)
from gdbleak.heap.snapshot import PAGE_BYTES, Snapshot

_ARENAS_LIMIT = 4096
_EMPTY_LIMIT = 1000
"""How many words that look like empty bins are tried: an arena has 127, others are rare."""


@dataclass(frozen=True)
class Arena:
    """A `struct malloc_state`: addresses of its fields."""

    address: int
    layout: ArenaLayout

    @property
    def top(self) -> int:
        """Where it says which chunk is at the end of its memory."""
        return self.address + self.layout.top

    @property
    def bins(self) -> range:
        """The heads of its bins: their first and last chunks link to these addresses."""
        first = self.address + self.layout.bins - FORWARD
        return range(first, first + 16 * BINS, 16)

    @property
    def fast_bins(self) -> range:
        """The heads of its fast bins; empty if it has none."""
        if self.layout.fast_bins is None:
            return range(0)
        first = self.address + self.layout.fast_bins
        return range(first, first + 8 * FAST_BINS, 8)

    @property
    def next(self) -> int:
        """Where it says which arena comes next in the ring."""
        return self.address + self.layout.next

    @property
    def system_mem(self) -> int:
        """Where it says how many bytes it has from the kernel."""
        return self.address + self.layout.system_mem

    @property
    def end(self) -> int:
        """The address behind it."""
        return self.address + self.layout.size


def find_arenas(memory: Snapshot, words: Sequence[int], start: int) -> list[Arena]:
    """Return the arenas, the main one first; nothing if the main one is not found.

    Args:
        memory: The memory of the process.
        words: The writable data of libc, as 64-bit words.
        start: The address of the first word.

    """
    empty_bins = [
        start + 8 * index
        for index, word in enumerate(words[:-1])
        if word == start + 8 * index - FORWARD and words[index + 1] == word
    ]
    places = {at - 16 * number for at in empty_bins[:_EMPTY_LIMIT] for number in range(BINS)}
    for bins in sorted(places):
        memory.spend(len(ARENAS))
        tried = (Arena(bins - layout.bins, layout) for layout in ARENAS)
        if ring := _find_ring(memory, (arena for arena in tried if arena.address >= start)):
            return ring
    return []


def arenas_of_heap(memory: Snapshot, address: int) -> list[Arena]:
    """Return all arenas, found from a block of any but the main one; nothing if there are none.

    The heap around the block names its arena, of which most bins have to look empty.
    """
    place = memory.word((address & -HEAP_BYTES) + HEAP_ARENA)
    if place % 8:
        return []
    tried = (Arena(place, layout) for layout in ARENAS)
    # The bins of one layout are, but for some, at the places of another's.
    return _find_ring(memory, (arena for arena in tried if _looks_idle(memory, arena)))


def _looks_idle(memory: Snapshot, arena: Arena) -> bool:
    """Whether most bins look empty, as most bins of an arena always are."""
    return sum(memory.word(head + FORWARD) == head for head in arena.bins) > BINS // 2


def _find_ring(memory: Snapshot, tried: Iterable[Arena]) -> list[Arena]:
    """Return the ring of arenas that begins with one of these, by the first layout that fits.

    Two layouts differ only behind `next`: where one has `system_mem`, the other counts threads.
    Where neither says that the arena has memory, the last one is taken.
    """
    found: list[Arena] = []
    for arena in tried:
        if ring := _follow_ring(memory, arena):
            found = ring
            if memory.word(arena.system_mem) >= PAGE_BYTES:
                break
    return found


def _follow_ring(memory: Snapshot, first: Arena) -> list[Arena]:
    ring: list[Arena] = []
    arena = first
    while arena.address and arena.address % 8 == 0 and len(ring) < _ARENAS_LIMIT:
        memory.spend()
        ring.append(arena)
        arena = Arena(memory.word(arena.next), first.layout)
        if arena.address == first.address:
            return ring
    return []


def find_top(memory: Snapshot, arena: Arena) -> tuple[int, int] | None:
    """Return start and end of the memory behind the last block of an arena; None if unclear."""
    top = memory.word(arena.top)
    size = 0 if top % 16 else memory.word(top + SIZE)
    end = top + (size & ~FLAGS)
    if size & FLAGS != PREV_INUSE or size < SMALLEST_CHUNK or end % PAGE_BYTES:
        return None
    heap = top & -HEAP_BYTES
    if memory.word(heap + HEAP_ARENA) == arena.address:
        # Memory that a heap has given back stays mapped, as far as it was used once.
        end = max(end, heap + min(memory.word(heap + HEAP_MOST_USED), HEAP_BYTES))
    return top, end


def iter_first_blocks(memory: Snapshot, arenas: list[Arena]) -> Iterator[int]:
    """Yield the first block of every arena: the tcache of the thread that the arena was made for.

    The first block of the main arena is only found if no other code has moved the break.
    """
    for arena in arenas:
        if memory.word((arena.address & -HEAP_BYTES) + HEAP_ARENA) == arena.address:
            yield (arena.end + 15 & -16) + BLOCK
        elif top := find_top(memory, arena):
            yield top[1] - memory.word(arena.system_mem) + BLOCK
