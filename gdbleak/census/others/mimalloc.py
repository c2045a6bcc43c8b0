"""The blocks of mimalloc, from what it keeps of every page of blocks of one size. Pure.

Source: mimalloc 2.0 to 2.2, include/mimalloc/types.h: segments of 32 MiB begin with an array of
slices, and the first slice of a page describes it. Since 3.0 a page describes itself at its begin.
A description counts the blocks in use, also those that other threads have given back meanwhile:
these are in a list, which is followed. Builds differ in the lengths of records; what they say of
each other tells which lengths are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.census.others.structures import Memory, Words
from gdbleak.census.others.told import Count, Told, merge, size_classes
from gdbleak.effort import Effort
from gdbleak.memory.pieces import Range
from gdbleak.memory.source import Mapped, Searchable

_SEGMENT_BYTES, _SLICE_BYTES = 32 << 20, 64 << 10
_SLICES = _SEGMENT_BYTES // _SLICE_BYTES
_HEADS = range(8, 80)
"""Where in a segment its slices may begin, in words."""
_LENGTHS = range(9, 17)
"""How long the description of a slice may be, in words."""
_INFO_WORDS = 80 + _SLICES * 16
_PAGE_WORDS = 9
_ARENA_BYTES, _APART_BYTES = 1 << 30, 128
"""How long an arena is, and the description of a page that is apart from it."""
_LARGEST_PAGE_INFO = 8 << 10
_HUGE, _LARGEST_BLOCK = 1 << 31, 1 << 40
"""A size that stands for any larger one; and what no block reaches."""
_MOST_ROUNDS = 1 << 16
_SURE, _PLAUSIBLE = 0.8, 0.5
"""Such a share of what may be segments, or pages, has to be that."""
_MOST_HEAPS, _HEAP_WORDS = 1 << 14, 512
_QUEUES = 75
"""Queues of pages of a heap. Their list of blocks comes behind them, or is the heap's second word
where they come late in it."""
_LATE_QUEUES = 140


class _Pages(NamedTuple):
    """Pages of blocks, by what describes them: a value for each."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    sizes: NDArray[np.int64]
    """Of their blocks, in bytes."""
    used: NDArray[np.int64]
    """Blocks in use, or given back by another thread."""
    capacity: NDArray[np.int64]
    reserved: NDArray[np.int64]
    given_back: Words
    """The first block that another thread has given back, with flags in the lowest bits; or 0."""
    heaps: Words
    """Which heap of a thread each belongs to; 0 since 3.0."""

    def are_right(self) -> NDArray[np.bool_]:
        """Whether each can be a page."""
        good = (self.used <= self.capacity) & (self.capacity <= self.reserved)
        good &= (self.sizes >= 8) & (self.sizes % 8 == 0) & (self.sizes < _LARGEST_BLOCK)
        return good & (self.reserved * self.sizes <= self.ends - self.starts)

    def where(self, chosen: NDArray[np.bool_]) -> _Pages:
        """Return those pages that are chosen."""
        return _Pages._make(values[chosen] for values in self)


class _PageLayout(NamedTuple):
    """Where a page that describes itself says what, in words."""

    start: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]]
    """Returns where the blocks begin, from where the page does and the seventh word."""
    size: int
    counts: tuple[tuple[int, int], ...]
    """Word and lowest bit of: blocks in use, the capacity, what is reserved."""
    given_back: int
    free: tuple[int, int]

    def read(
        self, places: NDArray[np.int64], rows: Words, end: int
    ) -> tuple[_Pages, NDArray[np.bool_]]:
        """Return pages, and whether each seems to be one: its blocks begin soon behind its begin.

        Args:
            places: Where they begin.
            rows: Their words.
            end: Of the memory that they are in.

        """
        starts = self.start(places, rows[:, 6].astype(np.int64))
        sizes = rows[:, self.size].astype(np.int64)
        counts = [
            (rows[:, word] >> np.uint64(bit) & np.uint64(0xFFFF)).astype(np.int64)
            for word, bit in self.counts
        ]
        ends = np.full_like(starts, end)
        nothing = np.zeros_like(rows[:, 0])
        pages = _Pages._make([starts, ends, sizes, *counts, rows[:, self.given_back], nothing])
        own = (starts > places) & (starts <= places + _LARGEST_PAGE_INFO)
        apart = rows[:, 0] == places.astype(np.uint64)
        of_arena = (places - _APART_BYTES * (starts // _SLICE_BYTES)) % (
            _SLICE_BYTES - _APART_BYTES
        )
        own = np.where(apart, of_arena == 0, own)
        return pages, own & (sizes > 0) & (sizes < _LARGEST_BLOCK)


_PAGE_LAYOUTS = (
    _PageLayout(lambda _, word: word, 5, ((2, 0), (2, 16), (2, 32)), 4, (1, 3)),
    _PageLayout(
        lambda at, word: at + 8 * (word & 0xFFFFFFFF), 5, ((2, 0), (2, 16), (2, 32)), 4, (1, 3)
    ),
    _PageLayout(lambda at, word: at + word, 4, ((5, 0), (7, 0), (7, 16)), 8, (2, 3)),
)
"""Since 3.0; since 3.2; 3.6, as told by its data."""


def read_mimalloc(process: Searchable, data: list[Range], effort: Effort) -> Told | None:
    """Return the blocks of mimalloc; None if its structures are not what they are known to be.

    Args:
        process: What is read.
        data: Not needed: what is at fixed places in its memory tells enough.
        effort: What reading may take.

    Raises:
        EffortError: it is used up.

    """
    del data
    memory = Memory(process, effort)
    regions = [
        each
        for each in process.read_mappings()
        if each.permissions.startswith("rw") and not each.inode and each.path in _PATHS
    ]
    for find in (_find_segments, _find_pages):
        tried = [*find(memory, process, regions)]
        found = [(pages, space) for pages, space in tried if pages is not None]
        if len(found) > _SURE * len(tried):
            pages = _Pages._make(map(np.concatenate, zip(*(pages for pages, _ in found))))
            return _count(memory, pages, [space for _, space in found])
    return None


_PATHS = ("", "[anon:mimalloc]", "[anon:mi]")


def _iter_touched_at(
    process: Searchable, regions: list[Mapped], memory: Memory, step: int
) -> Iterator[int]:
    """Yield the multiples of a step in mappings whose first page was ever touched."""
    for region in regions:
        first = -(-region.start // step) * step
        memory.spend((region.end - region.start) >> 20)
        for run in process.find_pages(first, region.end) if first < region.end else ():
            memory.spend()
            yield from range(-(-run.start // step) * step, run.end, step)


def _find_segments(
    memory: Memory, process: Searchable, regions: list[Mapped]
) -> Iterator[tuple[_Pages | None, tuple[int, int]]]:
    """Yield the pages of each segment, and where it is; None for what is no segment."""
    shapes = [(head, length) for length in _LENGTHS for head in _HEADS]
    end = 0
    for segment in _iter_touched_at(process, regions, memory, _SEGMENT_BYTES):
        if segment < end:  # inside a block that is larger than that
            continue
        words = memory.words(segment, _INFO_WORDS)
        for number, (head, length) in enumerate(shapes):
            memory.spend(4)
            chain = _chain(words, head, length)
            if not chain:
                continue
            rows = np.array([words[head + length * at :][:length] for at in chain])
            if (pages := _pages_of_slices(segment, chain, rows)) is not None:
                shapes.insert(0, shapes.pop(number))
                end = segment + (chain[-1] + int(rows[-1][0] & 0xFFFFFFFF)) * _SLICE_BYTES
                yield pages, (segment, end)
                break
        else:
            yield None, (segment, segment)


def _chain(words: Words, head: int, length: int) -> list[int]:
    """Return the numbers of the slices that pages begin with; nothing if there are no slices.

    Each says how many slices its page has. In all there are as many as the segment says.
    """
    at, found = 0, []
    while at < _SLICES:
        first = int(words[head + length * at])
        count, offset = first & 0xFFFFFFFF, first >> 32
        if offset or not 0 < count < 1 << 24:
            return []
        found.append(at)
        at += count
    in_all = words[:head]
    return found if len(found) > 1 and np.count_nonzero(in_all == at) else []


def _pages_of_slices(segment: int, chain: list[int], rows: Words) -> _Pages | None:
    """Return the pages that slices describe, by the layout that fits all of them."""
    starts = segment + np.array(chain, np.int64) * _SLICE_BYTES
    ends = starts + (rows[:, 0] & np.uint64(0xFFFFFFFF)).astype(np.int64) * _SLICE_BYTES
    capacity = (rows[:, 1] >> np.uint64(16) & np.uint64(0xFFFF)).astype(np.int64)
    reserved = (rows[:, 1] >> np.uint64(32) & np.uint64(0xFFFF)).astype(np.int64)
    for used, sizes, behind in (_old_fields(rows), _new_fields(rows)):
        sizes = np.where(sizes == _HUGE, ends - starts, sizes)
        pages = _Pages(starts, ends, sizes, used, capacity, reserved, *behind)
        if (pages.are_right() | (used == 0)).all() and (used >= 0).all():
            return pages.where((used > 0) | (capacity > 0) & pages.are_right())
    return None


def _old_fields(rows: Words) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Words]]:
    """Return blocks in use, their size, and blocks given back and the heap, as until 2.1.2."""
    word = rows[:, 3]
    behind = 5 if rows.shape[1] <= 10 else 7
    return (
        (word & np.uint64(0xFFFFFFFF)).astype(np.int64),
        (word >> np.uint64(32)).astype(np.int64),
        [rows[:, behind], rows[:, behind + 1]],
    )


def _new_fields(rows: Words) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Words]]:
    """Return blocks in use, their size, and blocks given back and the heap, as since 2.1.4."""
    if rows.shape[1] < 11:
        nothing = np.zeros(len(rows), np.int64)
        return nothing - 1, nothing, [rows[:, 0], rows[:, 0]]
    behind = 7 if rows.shape[1] <= 12 else 9
    return (
        (rows[:, 4] & np.uint64(0xFFFF)).astype(np.int64),
        rows[:, 5].astype(np.int64),
        [rows[:, behind], rows[:, behind + 1]],
    )


def _find_pages(
    memory: Memory, process: Searchable, regions: list[Mapped]
) -> Iterator[tuple[_Pages | None, tuple[int, int]]]:
    """Yield the pages that describe themselves, as since 3.0, and where they are."""
    for region in regions:
        at_slices = [*_iter_touched_at(process, [region], memory, _SLICE_BYTES)]
        places = np.unique(np.array([*at_slices, *_iter_apart(memory, region)], np.uint64))
        rows = memory.gather(places, _PAGE_WORDS)
        for layout in _PAGE_LAYOUTS:
            pages, own = layout.read(places.astype(np.int64), rows, region.end)
            good = own & pages.are_right() & (pages.capacity > 0)
            for number in layout.free:
                at = rows[:, number].astype(np.int64)
                ends = pages.starts + pages.sizes * pages.reserved
                good &= (at == 0) | (at >= pages.starts) & (at < ends)
            # Slices that were a page's begin once are inside other pages now.
            if np.count_nonzero(good) > _PLAUSIBLE * np.count_nonzero(own):
                yield pages.where(good), (int(places[good][0]), region.end)
                break


def _iter_apart(memory: Memory, region: Mapped) -> Iterator[int]:
    """Yield where descriptions of pages seem to be that are not in these pages.

    Since 3.6 an arena begins with an array of them, one for each of its slices. The first word of
    one that is used refers to itself.
    """
    for start in range(region.start, region.end, _ARENA_BYTES):
        end = min(start + _ARENA_BYTES // _SLICE_BYTES * _APART_BYTES, region.end)
        for address, words in memory.iter_touched([(start, end)]):
            own = np.uint64(address) + np.uint64(8) * np.arange(len(words), dtype=np.uint64)
            yield from own[(words == own) & (own % np.uint64(_APART_BYTES) == 0)].tolist()


def _count(memory: Memory, pages: _Pages, spaces: list[tuple[int, int]]) -> Told:
    """Return what pages hold."""
    order = np.argsort(pages.starts, kind="stable")
    pages = _Pages._make(values[order] for values in pages)
    used = pages.used - _count_given_back(memory, pages)
    used = np.maximum(used - _count_delayed(memory, pages), 0)
    counts: dict[int, Count] = {}
    for size in np.unique(pages.sizes).tolist():
        same = pages.sizes == size
        counts[size] = Count(int(used[same].sum()), int((pages.capacity - used)[same].sum()))
    return Told(size_classes(counts), merge(spaces), ("its blocks were counted by its own pages",))


def _count_given_back(memory: Memory, pages: _Pages) -> NDArray[np.int64]:
    """Return how many blocks of each page other threads have given back: it does not know yet.

    A list that leads out of its page is none: such builds encode what links its blocks.
    """
    counts = np.zeros(len(pages.used), np.int64)
    followed = np.flatnonzero(pages.given_back >> np.uint64(3))
    at = pages.given_back[followed] & np.uint64((1 << 64) - 8)
    for _ in range(_MOST_ROUNDS):
        memory.spend(1 + len(followed) // 8)
        places = at.astype(np.int64)
        inside = (places >= pages.starts[followed]) & (places < pages.ends[followed])
        inside &= counts[followed] < pages.used[followed]
        counts[followed[~inside & (at > 0)]] = 0
        followed, at = followed[inside], at[inside]
        if not len(followed):
            break
        counts[followed] += 1
        at = memory.gather(at, 1)[:, 0]
    return counts


def _count_delayed(memory: Memory, pages: _Pages) -> NDArray[np.int64]:
    """Return how many blocks of each page wait in the lists of heaps.

    Until 2.2, the first block that another thread gives back of a full page goes to such a list.
    """
    counts = np.zeros(len(pages.used), np.int64)
    for heap in np.unique(pages.heaps[pages.heaps > 0]).tolist()[:_MOST_HEAPS]:
        words = memory.words(heap, _HEAP_WORDS)
        sizes = np.flatnonzero((words[:-6] == 8) & (words[3:-3] == 16) & (words[6:] == 24))
        if not len(sizes):
            continue
        queues = int(sizes[0]) - 5
        at = int(words[queues + 3 * _QUEUES if queues < _LATE_QUEUES else 1])
        for _ in range(_MOST_ROUNDS):
            number = int(np.searchsorted(pages.starts, at, "right")) - 1
            if number < 0 or at >= pages.ends[number] or at % 8:
                break
            if counts[number] >= pages.used[number]:  # the list is a ring
                break
            counts[number] += 1
            at = memory.word(at)
    return counts
