"""All chunks of a part of a heap, in pieces, each read again where the process runs. Pure.

A process that runs changes what is read. Two looks at a piece, some thousandths of a second apart,
tell what was torn: what is the same in both is certain, and what is not is looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from gdbleak.heap.chunk import FLAGS, PREV_INUSE, SIZE
from gdbleak.heap.parts import Part
from gdbleak.heap.snapshot import PAGE_BYTES
from gdbleak.heap.walk import GRAIN, Flags, Words, find_chunk, walk

Read = Callable[[int, int], bytes]

_PIECE_BYTES = 4 << 20
_LOOKS = 4
_MASK = np.uint64(~FLAGS & (1 << 64) - 1)
_FENCE_BYTES = 2 * GRAIN
"""What stands behind the last chunk of memory that goes on elsewhere: two that nobody gets."""


class Piece(NamedTuple):
    """Chunks that follow each other."""

    chunks: Words
    """Their addresses."""
    sizes: Words
    """In bytes, headers included."""
    used: Flags
    """Which are in use, or in a fast bin or in the cache of a thread."""
    unsettled: Flags
    """Which were not the same in the last two looks."""
    unclear_bytes: int = 0
    """How many bytes behind them are no chunks."""


class _Look(NamedTuple):
    piece: Piece
    next: int
    """Where the next piece begins."""
    is_broken: bool
    """Whether that is no chunk."""


def iter_chunks(read: Read, part: Part, is_still: bool) -> Iterator[Piece]:
    """Yield the chunks of a part of a heap, but for its top.

    Args:
        read: Reads the memory.
        part: The part.
        is_still: Whether nothing changes, so that one look is enough.

    """
    at = part.first
    while at < part.top:
        seen = _look(read, at, part)
        for _ in range(0 if is_still else _LOOKS - 1):
            before, seen = seen, _look(read, at, part)
            changed = _find_changes(before.piece, seen.piece)
            seen = seen._replace(piece=seen.piece._replace(unsettled=changed))
            if not changed.any() and not seen.is_broken:
                break
        at = seen.next
        if seen.is_broken:
            behind, unclear = _go_on(read, at, part)
            seen = seen._replace(piece=seen.piece._replace(unclear_bytes=unclear))
            at = behind
        yield seen.piece


def _look(read: Read, at: int, part: Part) -> _Look:
    """Return the chunks from an address on, of one piece."""
    words = _read_sizes(read, at, min(_PIECE_BYTES, part.top + GRAIN - at))
    places, end, is_broken = walk(words)
    heads = words[places]
    chunks = np.uint64(at) + places.astype(np.uint64) * np.uint64(GRAIN)
    following = at + end * GRAIN
    # Whether a chunk is in use stands in the next one. That of the last chunk may be behind what
    # was read; to begin the next piece with this chunk would be to follow it wherever it is split.
    if len(places) and end >= len(words) and following < part.end:
        behind = np.append(heads[1:], _read_head(read, following))
    else:
        behind = np.append(heads[1:], words[end : end + 1])
    count = len(behind)
    sizes = heads[:count] & _MASK
    inside = chunks[:count] + sizes <= np.uint64(part.top)  # else it has become the top
    used = (behind & np.uint64(PREV_INUSE)) > 0
    piece = Piece(chunks[:count][inside], sizes[inside], used[inside], np.zeros(inside.sum(), bool))
    return _Look(piece, following, is_broken or not len(places))


def _read_head(read: Read, chunk: int) -> np.uint64:
    return np.uint64(int.from_bytes(read(chunk + SIZE, 8), "little"))


def _read_sizes(read: Read, at: int, size: int) -> Words:
    """Return the second word of each grain from an address on."""
    data = read(at, size)
    return np.frombuffer(data, np.uint64, len(data) // GRAIN * 2)[1::2]


def _find_changes(before: Piece, now: Piece) -> Flags:
    """Return which chunks are not the same as at the look before."""
    if not len(before.chunks):
        return np.ones(len(now.chunks), bool)
    at = np.minimum(np.searchsorted(before.chunks, now.chunks), len(before.chunks) - 1)
    same: Flags = (
        (before.chunks[at] == now.chunks)
        & (before.sizes[at] == now.sizes)
        & (before.used[at] == now.used)
    )
    return ~same


def _go_on(read: Read, at: int, part: Part) -> tuple[int, int]:
    """Return where chunks follow each other again, and how many bytes before that are none."""
    head = read(at + SIZE, 8)
    is_fence = len(head) == 8 and int.from_bytes(head, "little") & ~FLAGS in (0, GRAIN)
    start = at
    skip = _FENCE_BYTES // GRAIN if is_fence else 1
    hole = 0
    while at < part.top:
        words = _read_sizes(read, at, min(_PIECE_BYTES, part.top + GRAIN - at))
        found = find_chunk(words, skip)
        if found is not None:
            at += found * GRAIN
            break
        hole = 0 if len(words) else max(2 * hole, PAGE_BYTES)
        at += len(words) * GRAIN + min(hole, _PIECE_BYTES)
        skip = 0
    at = min(at, part.top)
    return at, 0 if is_fence else at - start
