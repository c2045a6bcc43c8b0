"""Where the chunks of each arena of glibc's malloc lie, in one range of memory or several. Pure.

Source: `sysmalloc`, `heap_info` and `new_heap` in malloc/malloc.c and malloc/arena.c, glibc 2.17 to
2.43. The main arena grows by brk(2), and goes on in mappings where that fails. All others consist
of heaps, each at a multiple of its greatest size, each of which names the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from gdbleak.heap.arenas import Arena, find_top
from gdbleak.heap.chunk import FLAGS, NON_MAIN_ARENA, PREV_INUSE, SIZE, SMALLEST_CHUNK
from gdbleak.heap.layouts import HEAP_ARENA, HEAP_BEFORE, HEAP_BYTES, HEAP_SIZE
from gdbleak.heap.snapshot import PAGE_BYTES, Snapshot
from gdbleak.heap.walk import GRAIN, Words, find_chunks, walk

_HEAPS_LIMIT = 1 << 16
_LOOKED_AT_BYTES = 1 << 20
_FEWEST = 16
"""So many chunks that follow each other are no accident."""
_NOT_CONTIGUOUS = 2
"""Flag of an arena whose memory is not in one piece."""


class Part(NamedTuple):
    """A range of memory that belongs to one arena."""

    arena: int
    """Number of the arena."""
    start: int
    """Where it begins: with a header, or with its first chunk."""
    first: int
    """Its first chunk."""
    end: int
    """The address behind it."""
    top: int
    """The chunk at the end that was never handed out; `end` where there is none."""


def find_parts(
    memory: Snapshot, arenas: Iterable[Arena], heap: tuple[int, int] | None, start: int = 0
) -> list[Part]:
    """Return the ranges of all arenas, as far as their headers make sense.

    Args:
        memory: The memory of the process.
        arenas: The main one first.
        heap: From where to where the mapping lies that grows by brk(2); None without one.
        start: Where in it the main arena begins, if that is known.

    """
    parts: list[Part] = []
    for number, arena in enumerate(arenas):
        top = find_top(memory, arena)
        place = memory.word(arena.top)
        if number:
            parts += _iter_heaps(memory, number, arena, place)
        elif top and heap and heap[0] <= place < heap[1]:
            parts.append(_main_part(memory, arena, place, heap))
        elif heap:  # it has gone on elsewhere: what it has here ends somewhere before
            first = max(heap[0], start)
            parts.append(Part(0, first, -(-first // 16) * 16, heap[1], heap[1]))
    return parts


def _main_part(memory: Snapshot, arena: Arena, top: int, heap: tuple[int, int]) -> Part:
    """Return what the main arena has got by brk(2): as much as it counts, up to its top."""
    end = top + (memory.word(top + SIZE) & ~FLAGS)
    start = end - memory.word(arena.system_mem)
    first = memory.word(start + SIZE)
    if not heap[0] <= start <= top or not first & PREV_INUSE or first & ~FLAGS < SMALLEST_CHUNK:
        start = -(-heap[0] // 16) * 16
    return Part(0, start, start, end, top)


def _iter_heaps(memory: Snapshot, number: int, arena: Arena, top: int) -> Iterator[Part]:
    header = arena.address % HEAP_BYTES
    heap = top & -HEAP_BYTES
    met: set[int] = set()
    while heap and heap not in met and len(met) < _HEAPS_LIMIT:
        memory.spend()
        met.add(heap)
        size = memory.word(heap + HEAP_SIZE)
        if (
            memory.word(heap + HEAP_ARENA) != arena.address
            or size % PAGE_BYTES
            or size > HEAP_BYTES
        ):
            return
        is_first = heap == arena.address & -HEAP_BYTES
        first = -(-(arena.end if is_first else heap + header) // 16) * 16
        end = heap + size
        yield Part(number, heap, first, end, top if heap <= top < end else end)
        heap = memory.word(heap + HEAP_BEFORE)


def find_detached(
    read: Callable[[int, int], bytes], mappings: Iterable[tuple[int, int]]
) -> list[Part]:
    """Return the mappings in which the main arena has gone on where brk(2) failed.

    Nothing leads to them. So what begins like one has to consist of chunks of the main arena.

    Args:
        read: Reads the memory of the process.
        mappings: Anonymous memory that belongs to no other arena.

    """
    parts = []
    for start, end in mappings:
        data = read(start, min(end - start, _LOOKED_AT_BYTES))
        words = np.frombuffer(data, np.uint64, len(data) // 16 * 2)[1::2]
        first = _find_detached(words)
        if first is not None:
            at = start + first * GRAIN
            parts.append(Part(0, at, at, end, end))
    return parts


def _find_detached(words: Words) -> int | None:
    """Return the first page from which on there are chunks of the main arena, in grains."""
    places = find_chunks(words)[0]
    places = places[places % (PAGE_BYTES // GRAIN) == 0]
    heads = words[places] & np.uint64(FLAGS)
    for first in places[heads == np.uint64(PREV_INUSE)].tolist():
        way = walk(words[first:])
        flags = words[first:][way.places] & np.uint64(NON_MAIN_ARENA)
        stops = int(words[first + way.end]) & ~FLAGS if way.is_broken else 0
        if len(way.places) >= _FEWEST and not flags.any() and stops in (0, GRAIN):
            return int(first)
    return None


def is_contiguous(memory: Snapshot, arena: Arena) -> bool:
    """Return whether the main arena still says that its memory is in one piece."""
    return not memory.word(arena.address) >> 32 & _NOT_CONTIGUOUS
