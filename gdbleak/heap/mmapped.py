"""Blocks of glibc's malloc that have mappings of their own. Pure.

Source: `sysmalloc_mmap` and `_int_memalign` in malloc/malloc.c. Such a block begins with its chunk
at the start of its mapping; the kernel makes one of mappings that touch, so each page of a range is
looked at. An aligned block has a second chunk further on, which says how far that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from gdbleak.heap.chunk import BLOCK, FLAGS, IS_MMAPPED, LARGEST_CHUNK
from gdbleak.heap.snapshot import PAGE_BYTES

Read = Callable[[int, int], bytes]

_ROOM_BEHIND = 16
"""Since 2.43 two words behind the chunk belong to the mapping too, and the program may use one."""


_MOST_BYTES = 1 << 20
"""So much is read at once where no block is."""


class LargeBlock(NamedTuple):
    """A block with a mapping of its own."""

    start: int
    end: int
    """Of the mapping."""
    address: int
    size: int
    """In bytes that the program may use."""


def find_large(
    read: Read,
    pages: Iterable[tuple[int, int, int]],
    is_enough: Callable[[int, int], bool] = lambda _count, _total: False,
) -> list[LargeBlock]:
    """Return the blocks that begin at some pages.

    Args:
        read: Reads the memory.
        pages: Runs of pages that hold something, from one up to one behind, and the end of their
            mapping; in order of address.
        is_enough: Told how many were found and of how many bytes; whether these are all.

    """
    found: list[LargeBlock] = []
    total = at = 0
    for start, end, limit in pages:
        at = max(at, start)
        size = PAGE_BYTES
        while at < end and not is_enough(len(found), total):
            block = _find_next(read, at, min(size, end - at), limit)
            if block:
                found.append(block)
                total += block.end - block.start
                at, size = block.end, PAGE_BYTES
            else:
                at, size = min(at + size, end), min(2 * size, _MOST_BYTES)
    return found


def _find_next(read: Read, at: int, size: int, end: int) -> LargeBlock | None:
    """Return the first block that begins at one of some pages."""
    data = read(at, size)
    sizes = np.frombuffer(data, np.uint64, len(data) // 8)[1 :: PAGE_BYTES // 8]
    for page in np.flatnonzero((sizes & np.uint64(FLAGS)) == np.uint64(IS_MMAPPED)).tolist():
        block = _large_at(read, at + page * PAGE_BYTES, end)
        if block:
            return block
    return None


def _large_at(read: Read, at: int, end: int) -> LargeBlock | None:
    before, size = _two_words(read(at, 16))
    if size & FLAGS != IS_MMAPPED or size >= LARGEST_CHUNK or before > 1:
        return None
    size &= ~FLAGS
    room = 0 if size % PAGE_BYTES == 0 else _ROOM_BEHIND
    mapped = size + room
    if not mapped or mapped % PAGE_BYTES or at + mapped > end:
        return None
    block = _find_aligned(read, at, at + mapped, room)
    return LargeBlock(at, at + mapped, block, at + mapped - block - room // 2)


def _find_aligned(read: Read, start: int, end: int, room: int) -> int:
    """Return the block of a mapping, wherever in it an alignment has put it."""
    alignment = 2 * BLOCK
    begin = read(start, PAGE_BYTES)
    while alignment < end - start:
        first = -(-(start + BLOCK + 1) // alignment) * alignment
        for block in (first, first + alignment):  # there must be room for a chunk before it
            chunk = block - BLOCK
            at = chunk - start
            data = begin[at : at + 16] if at < len(begin) else read(chunk, 16)
            before, size = _two_words(data)
            if before & -16 == at and size == (end - chunk - room) | IS_MMAPPED:
                return block
        alignment *= 2
    return start + BLOCK


def _two_words(data: bytes) -> tuple[int, int]:
    """Return two words of memory; 0 where it cannot be read."""
    return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")
