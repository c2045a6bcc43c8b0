"""All chunks of a part of a heap, in pieces, each read again where the process runs. Pure.

A process that runs changes what is read. Two looks at a piece, some thousandths of a second apart,
tell what was torn: what is the same in both is certain, and what is not is looked at again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from gdbleak.heap.chunk import FLAGS, IS_MMAPPED, PREV_INUSE, SIZE, is_size
from gdbleak.heap.parts import Part
from gdbleak.heap.snapshot import PAGE_BYTES
from gdbleak.heap.walk import GRAIN, HOPS, SEGMENT, Flags, Words, choose_segment, find_chunks, walk

Read = Callable[[int, int], bytes]

_PIECE_BYTES = 4 << 20
_LEAST_BYTES = 64 << 10
"""Pieces are shorter where chunks end soon, since all of a piece is read again."""
_LOOKS = 4
_MASK = np.uint64(~FLAGS & (1 << 64) - 1)
_FENCE_BYTES = 2 * GRAIN
"""What stands behind the last chunk of memory that goes on elsewhere: two that nobody gets."""
_MOST_TRIED = 64
"""So many words of a piece are tried that lead out of it."""


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
    size, segment = _PIECE_BYTES, SEGMENT
    while at < part.top:
        look = _look if is_still else _settle
        seen = look(read, at, size, part, segment)
        way, at = seen.next - at, seen.next
        segment = choose_segment(len(seen.piece.chunks), way // GRAIN)
        size = min(2 * size, _PIECE_BYTES)
        if seen.is_broken:
            size = min(max(2 * way, _LEAST_BYTES), _PIECE_BYTES)
            piece = _without_fence(seen.piece, part)
            at, unclear = _go_on(read, at, part)
            seen = seen._replace(piece=piece._replace(unclear_bytes=unclear))
        yield seen.piece


def _settle(read: Read, at: int, size: int, part: Part, segment: int) -> _Look:
    """Look at a piece until two looks agree, some times at most."""
    seen = _look(read, at, size, part, segment)
    for _ in range(_LOOKS - 1):
        before, seen = seen, _look(read, at, size, part, segment)
        changed = _find_changes(before.piece, seen.piece)
        seen = seen._replace(piece=seen.piece._replace(unsettled=changed))
        if not changed.any() and (not seen.is_broken or _is_fence(read, seen.next, part)):
            break
    return seen


def _look(read: Read, at: int, size: int, part: Part, segment: int) -> _Look:
    """Return the chunks from an address on, of one piece."""
    words = _read_sizes(read, at, min(size, part.top - at) + GRAIN)
    places, end, is_broken = walk(words[:-1], segment)
    heads = words[places]
    chunks = np.uint64(at) + places.astype(np.uint64) * np.uint64(GRAIN)
    following = at + end * GRAIN
    # Whether a chunk is in use stands in the next one. That of the last chunk may be behind what
    # was read; to begin the next piece with this chunk would be to follow it wherever it is split.
    leads_out = len(places) > 0 and end >= len(words)
    if leads_out and following > part.top and not _may_follow(read, following):
        behind, following, is_broken = heads[1:], int(chunks[-1]), True
    elif leads_out and following < part.end:
        behind = np.append(heads[1:], np.uint64(_read_size(read, following)))
    else:
        behind = np.append(heads[1:], words[end : end + 1])
    count = len(behind)
    sizes = heads[:count] & _MASK
    inside = chunks[:count] + sizes <= np.uint64(part.top)  # else it has become the top
    used = (behind & np.uint64(PREV_INUSE)) > 0
    piece = Piece(chunks[:count][inside], sizes[inside], used[inside], np.zeros(inside.sum(), bool))
    return _Look(piece, following, is_broken or not len(places))


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
    is_fence = _is_fence(read, at, part)
    start = at
    skip = _FENCE_BYTES // GRAIN if is_fence else 1
    hole = 0
    size = _LEAST_BYTES
    while at < part.top:
        words = _read_sizes(read, at, min(size, part.top + GRAIN - at))
        size = min(4 * size, _PIECE_BYTES)
        found = _find_chunk(read, words, skip, at, part, is_fence)
        if found is not None:
            at = found
            break
        hole = 0 if len(words) else max(2 * hole, PAGE_BYTES)
        at += len(words) * GRAIN + min(hole, _PIECE_BYTES)
        skip = 0
    at = min(at, part.top)
    return at, 0 if is_fence else at - start


def _is_fence(read: Read, at: int, part: Part) -> bool:
    """Whether the heap ends here on purpose.

    Source: `sysmalloc` in malloc/malloc.c: two chunks of two words, the second of which may say 0;
    where there is no room for them, at the end of a heap, one that says 0.
    """
    size = _read_size(read, at)
    if size & ~FLAGS == 0:
        return size == PREV_INUSE and at + GRAIN >= part.end
    behind = _read_size(read, at + GRAIN)
    return size & ~FLAGS == GRAIN and behind in (PREV_INUSE, GRAIN | PREV_INUSE)


def _without_fence(piece: Piece, part: Part) -> Piece:
    """Return the chunks without the one that is no block, at the end of a heap.

    Source: `sysmalloc` in malloc/malloc.c: what is left of a top that had room for a fence of two
    chunks and two words more is the first of them.
    """
    is_fence = (
        len(piece.chunks) > 0
        and part.top == part.end == int(piece.chunks[-1]) + 3 * GRAIN
        and piece.sizes[-1] == _FENCE_BYTES
    )
    if not is_fence:
        return piece
    chunks, sizes, used, unsettled, _ = piece
    return Piece(chunks[:-1], sizes[:-1], used[:-1], unsettled[:-1])


def _find_chunk(
    read: Read, words: Words, skip: int, at: int, part: Part, is_fence: bool
) -> int | None:
    """Return the first chunk of a piece from which on others follow; None without one.

    Args:
        read: Reads the memory.
        words: The second word of each grain of the piece.
        skip: The first grain to look at.
        at: Where the piece begins.
        part: Of which it is a piece.
        is_fence: Whether other code has used the memory before it: the first chunk behind that
            says that what is before it is in use, and most numbers of a program do not.

    """
    places, inside = find_chunks(words, skip)
    if is_fence:
        first = (words[places] & np.uint64(FLAGS)) == np.uint64(PREV_INUSE)
        places, inside = places[first], inside[first]
    leading_out = np.flatnonzero(~inside)[:_MOST_TRIED]
    for number in sorted([*leading_out.tolist(), *np.flatnonzero(inside)[:1].tolist()]):
        chunk = at + int(places[number]) * GRAIN
        if inside[number] or _do_follow(read, chunk, part):
            return chunk
    return None


def _do_follow(read: Read, chunk: int, part: Part) -> bool:
    """Whether many chunks follow each other from here on, or up to the top."""
    for _ in range(HOPS):
        if chunk >= part.top:
            return chunk == part.top or _may_follow(read, chunk)
        size = _read_size(read, chunk)
        if not is_size(size) or size & IS_MMAPPED:
            return False
        chunk += size & ~FLAGS
    return True


def _may_follow(read: Read, at: int) -> bool:
    """Whether a chunk that reaches over the old top may end here: the top has moved then.

    It is the new top, which ends where a page does, or another chunk follows.
    """
    size = _read_size(read, at)
    return at % PAGE_BYTES == 0 or (is_size(size) and not size & IS_MMAPPED)


def _read_size(read: Read, chunk: int) -> int:
    """Return the size of a chunk, with its flags; 0 where it cannot be read."""
    return int.from_bytes(read(chunk + SIZE, 8), "little")
