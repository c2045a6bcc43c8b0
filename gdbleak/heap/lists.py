"""The lists of free chunks of glibc's malloc. Pure.

Source: "Internal data structures" and `_int_free` in malloc/malloc.c, glibc 2.17 to 2.43. The bins
are doubly linked rings of chunks that are marked free in the next chunk. Fast bins and tcaches are
singly linked lists of chunks that look as if they were in use; since 2.32 their links are mixed
with their own addresses (PROTECT_PTR). Since 2.43 there are no fast bins.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gdbleak.heap.arenas import Arena
from gdbleak.heap.chunk import (
    BACKWARD,
    BLOCK,
    FLAGS,
    FORWARD,
    LARGEST_CHUNK,
    PREV_INUSE,
    SIZE,
    SIZE_OFFSET,
    SMALLEST_CHUNK,
)
from gdbleak.heap.snapshot import Snapshot

Range = tuple[int, int]
"""Start, and the first address behind."""


def is_binned(memory: Snapshot, chunk: int, size: int) -> bool:
    """Return whether a chunk of this size lies in a bin.

    The sizes at its start and end, the flag behind it and both neighbours have to say so.
    """
    word = memory.word
    if (
        chunk % 16
        or not SMALLEST_CHUNK <= size < LARGEST_CHUNK
        or word(chunk + SIZE) & ~FLAGS != size
        or word(chunk + size) != size
        or word(chunk + size + SIZE) & PREV_INUSE
    ):
        return False
    following, preceding = word(chunk + FORWARD), word(chunk + BACKWARD)
    return (
        following % 8 == preceding % 8 == 0
        and word(following + BACKWARD) == chunk
        and word(preceding + FORWARD) == chunk
    )


def iter_binned(memory: Snapshot, arena: Arena) -> Iterator[Range]:
    """Yield start and end of the chunks in the bins of an arena; for ever if a bin is a cycle."""
    for head in arena.bins:
        chunk = memory.word(head + FORWARD)
        while chunk != head:
            memory.spend(4)
            size = 0 if chunk % 16 else memory.word(chunk + SIZE) & ~FLAGS
            if not is_binned(memory, chunk, size):
                break
            yield chunk, chunk + size
            chunk = memory.word(chunk + FORWARD)


class SingleList(NamedTuple):
    """A singly linked list of blocks, all of chunks of one size."""

    size: int
    blocks: list[int]
    ends: bool
    """Whether the last one links to nothing."""
    protected: bool
    """Whether its links are mixed with their addresses."""

    @property
    def ranges(self) -> set[Range]:
        """Start and end of the chunks."""
        return {(block - BLOCK, block - BLOCK + self.size) for block in self.blocks}


def chunk_bytes(memory: Snapshot, block: int) -> int:
    """Return the size of the chunk of a block, as the word before it says."""
    return memory.word(block + SIZE_OFFSET) & ~FLAGS


def read_link(memory: Snapshot, block: int, protected: bool) -> int:
    """Return what a block in a singly linked list links to, 0 for nothing."""
    return memory.word(block) ^ (block >> 12 if protected else 0)


def follow(memory: Snapshot, block: int, size: int, link_offset: int, limit: int) -> SingleList:
    """Return the list that begins with a block, as far as its chunks have the right size.

    Args:
        memory: The memory of the process.
        block: The first block.
        size: The size of each chunk.
        link_offset: How far before a block its links point to: 16 bytes in fast bins, 0 in tcaches.
        limit: How many blocks to return.

    """
    plain = _follow(memory, block, size, link_offset, limit, protected=False)
    if plain.ends:
        return plain
    mixed = _follow(memory, block, size, link_offset, limit, protected=True)
    return mixed if mixed.ends or len(mixed.blocks) >= len(plain.blocks) else plain


def _follow(
    memory: Snapshot, block: int, size: int, link_offset: int, limit: int, protected: bool
) -> SingleList:
    blocks: list[int] = []
    while len(blocks) < limit and block % 16 == 0 and chunk_bytes(memory, block) == size:
        memory.spend()
        blocks.append(block)
        link = read_link(memory, block, protected)
        if not link:
            return SingleList(size, blocks, True, protected)
        block = link + link_offset
    return SingleList(size, blocks, False, protected)


def iter_fast_bins(memory: Snapshot, arena: Arena, limit: int) -> Iterator[SingleList]:
    """Yield the list of every fast bin of an arena that is not empty, up to `limit` blocks each."""
    for number, head in enumerate(arena.fast_bins):
        chunk = memory.word(head)
        if chunk:
            yield follow(memory, chunk + BLOCK, SMALLEST_CHUNK + 16 * number, BLOCK, limit)
