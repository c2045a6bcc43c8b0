"""The arenas of glibc's malloc in the memory of a process: where they are, what they hold free.

Source: `struct malloc_state`, `struct malloc_chunk` and `heap_info` in malloc/malloc.c and
malloc/arena.c, glibc 2.17 to 2.41, 64 bits. Their places relative to `bins` have been the same
throughout; only what stands before the fast bins has grown once, in 2.27. `main_arena` has no
symbol in a stripped library, but an empty bin points at itself, twice.

Every number comes from a process that runs. Nothing is believed that only one word says, and
every loop has a limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import unpack

from gdbleak.snapshot import PAGE_BYTES, Snapshot

HEAP_BYTES = 64 << 20
"""The largest heap of an arena other than the main one, and what its address is a multiple of."""

_BINS = 127
_BINS_OFFSETS = (112, 104)  # since 2.27, and before
_FAST_BINS = 10
_ARENAS_LIMIT = 4096
_CHUNKS_LIMIT = 20_000
_LARGEST_CHUNK = 1 << 40
_SMALLEST_CHUNK = 32
_FLAGS = 7
_PREV_INUSE = 1


@dataclass(frozen=True)
class Arena:
    """A `struct malloc_state`."""

    address: int
    bins: int
    """Address of its field of this name; that of the others follows from it."""

    @property
    def fast_bins(self) -> int:
        """Address of the field."""
        return self.top - _FAST_BINS * 8

    @property
    def top(self) -> int:
        """Address of the field."""
        return self.bins - 16

    @property
    def system_mem(self) -> int:
        """Address of the field, since glibc 2.22."""
        return self.bins + 2048 + 24

    @property
    def end(self) -> int:
        """Address of the first byte behind it, since glibc 2.22."""
        return self.bins + 2048 + 40


def find_arenas(memory: Snapshot, data: bytes, data_start: int) -> list[Arena]:
    """Return the arenas, the main one first; none when it does not stand in `data`."""
    words = unpack(f"<{len(data) // 8}Q", data[: len(data) // 8 * 8])
    empty = [
        data_start + 8 * index
        for index, word in enumerate(words[:-1])
        if word == data_start + 8 * index - 16 and words[index + 1] == word
    ]
    for bins in sorted({bin_ - 16 * number for bin_ in empty for number in range(_BINS)}):
        for offset in _BINS_OFFSETS:
            if bins - offset >= data_start and (ring := _ring(memory, bins - offset, offset)):
                return ring
    return []


def arena_of_heap(memory: Snapshot, address: int) -> Arena | None:
    """Return the arena that owns the 64 MiB heap around an address, if its header names one."""
    address = memory.word(address & -HEAP_BYTES)
    if not address or address % 8:
        return None
    for offset in _BINS_OFFSETS:
        heads = range(address + offset, address + offset + 16 * _BINS, 16)
        empty = sum(memory.word(at) == memory.word(at + 8) == at - 16 for at in heads)
        if empty > _BINS // 4:
            return Arena(address, address + offset)
    return None


def arenas_around(memory: Snapshot, arena: Arena) -> list[Arena]:
    """Return all arenas of the ring that one is a part of; none when it is not closed."""
    return _ring(memory, arena.address, arena.bins - arena.address)


def _ring(memory: Snapshot, first: int, offset: int) -> list[Arena]:
    ring: list[Arena] = []
    address = first
    while address and address % 8 == 0 and len(ring) < _ARENAS_LIMIT:
        ring.append(Arena(address, address + offset))
        address = memory.word(address + offset + 2048)
        if address == first:
            return ring
    return []


def is_listed(memory: Snapshot, chunk: int, size: int) -> bool:
    """Return whether a chunk of this size is on the list of a small, large or unsorted bin.

    Its neighbours on the list, the size before it and the size behind it must say so.
    """
    word = memory.word
    return (
        size >= _SMALLEST_CHUNK
        and chunk % 16 == 0
        and word(chunk + 8) & ~_FLAGS == size
        and word(chunk + size) == size
        and not word(chunk + size + 8) & _PREV_INUSE
        and _links_to(memory, chunk)
    )


def _links_to(memory: Snapshot, chunk: int) -> bool:
    forward, backward = memory.word(chunk + 16), memory.word(chunk + 24)
    return (
        forward % 8 == backward % 8 == 0
        and memory.word(forward + 24) == chunk
        and memory.word(backward + 16) == chunk
    )


def iter_binned(memory: Snapshot, arena: Arena) -> Iterator[tuple[int, int]]:
    """Yield start and end of the chunks on the lists of an arena's bins."""
    left = _CHUNKS_LIMIT
    for head in range(arena.bins - 16, arena.bins - 16 + 16 * _BINS, 16):
        chunk = memory.word(head + 16)
        while chunk != head and left:
            left -= 1
            size = memory.word(chunk + 8) & ~_FLAGS
            if chunk % 16 or size > _LARGEST_CHUNK or not is_listed(memory, chunk, size):
                break
            yield chunk, chunk + size
            chunk = memory.word(chunk + 16)


def iter_fast(memory: Snapshot, arena: Arena) -> Iterator[int]:
    """Yield the chunks on the lists of an arena's fast bins."""
    left = _CHUNKS_LIMIT
    for number in range(_FAST_BINS):
        size = 16 * (number + 2)
        chunk = memory.word(arena.fast_bins + 8 * number)
        while left and _has_size(memory, chunk, size):
            left -= 1
            yield chunk
            link = memory.word(chunk + 16)
            # Since 2.32 the address of the link is a part of it.
            hidden = link ^ (chunk + 16 >> 12)
            chunk = link if _has_size(memory, link, size) else hidden


def _has_size(memory: Snapshot, chunk: int, size: int) -> bool:
    return bool(chunk) and chunk % 16 == 0 and memory.word(chunk + 8) & ~_FLAGS == size


def find_top(memory: Snapshot, arena: Arena) -> tuple[int, int] | None:
    """Return start and end of what an arena has never handed out, or has taken back at its end."""
    top = memory.word(arena.top)
    size = memory.word(top + 8) if top % 16 == 0 else 0
    end = top + (size & ~_FLAGS)
    if size & _FLAGS != _PREV_INUSE or size < _SMALLEST_CHUNK or end % PAGE_BYTES:
        return None
    if memory.word(top & -HEAP_BYTES) == arena.address:
        return top, (top & -HEAP_BYTES) + HEAP_BYTES
    return top, end


def first_chunks(memory: Snapshot, arenas: Iterable[Arena]) -> Iterator[int]:
    """Yield the first chunk of every arena, where the first thread in it has its tcache."""
    for arena in arenas:
        heap = arena.address & -HEAP_BYTES
        if memory.word(heap) == arena.address:
            yield arena.end + 15 & -16
        elif top := find_top(memory, arena):
            yield top[1] - memory.word(arena.system_mem)
