"""Free blocks that look used: fast bins, also of millions, and the caches of threads."""

from __future__ import annotations

import random

import numpy as np
import pytest
from heap_memory import START, Memory

from gdbleak.heap import idle, long_lists
from gdbleak.heap.arenas import Arena
from gdbleak.heap.idle import Idle, find_cached, find_fast, find_unsorted
from gdbleak.heap.layouts import ARENAS, CACHES, SMALL_CACHE_BINS
from gdbleak.heap.long_lists import follow_long
from gdbleak.heap.parts import Part

SIZE = 96
ARENA_BYTES = 4096
LAYOUT = ARENAS[0]
PROTECTED = pytest.mark.parametrize("protects", [True, False])


def link_up(memory, chunks, protects, last=0, offset=0):
    """Link chunks to one another; `offset` is where in each the links point to."""
    following = last
    for chunk in reversed(chunks):
        place = chunk + 16
        memory.put(place, following ^ (place >> 12) if protects else following)
        following = chunk + offset
    return following


class Heap:
    """An arena at the start of memory, and behind it a part full of chunks of 96 bytes."""

    def __init__(self, number=2000, layout=LAYOUT):
        self.memory = Memory(ARENA_BYTES + number * SIZE + 64)
        self.arena = Arena(START, layout)
        for head in self.arena.bins:
            self.memory.put(head + 16, head, head)
        self.chunks, top = self.memory.fill([SIZE] * number, at=START + ARENA_BYTES)
        self.part = Part(0, START + ARENA_BYTES, START + ARENA_BYTES, top + 32, top)

    def put_in_fast_bin(self, chunks, protects, last=0):
        first = link_up(self.memory, chunks, protects, last)
        self.memory.put(self.arena.fast_bins[SIZE // 16 - 2], first)
        return first

    def find_fast(self):
        found = find_fast(self.memory, [(self.arena, [self.part])])
        return found.chunks.tolist(), found.is_whole

    def put_cache(self, layout, lists, protects):
        """Make a cache of the first chunks; return its block."""
        cache = self.part.first + 16
        self.memory.put(cache - 8, layout.chunk_bytes | 1)
        self.memory.put(cache, *[0] * ((layout.chunk_bytes - 16) // 8))
        for number, chunks in lists.items():
            first = link_up(self.memory, chunks, protects, offset=16)
            self.memory.put(cache + layout.entries + 8 * number, first)
        return cache


@PROTECTED
@pytest.mark.parametrize("number", [0, 1, 2, 500])
def test_a_fast_bin(protects, number):
    heap = Heap()
    chunks = random.Random(1).sample(heap.chunks, number)
    heap.put_in_fast_bin(chunks, protects)
    assert heap.find_fast() == (sorted(chunks), True)


@PROTECTED
@pytest.mark.parametrize("last", [0x123456789ABC0, 0x10, (1 << 64) - 16, 0x1238])
def test_a_fast_bin_that_leads_nowhere(protects, last):
    heap = Heap()
    heap.put_in_fast_bin(heap.chunks[5:50], protects, last)
    assert heap.find_fast() == ([], False)


@PROTECTED
@pytest.mark.parametrize("short", [10, 10_000])
def test_a_fast_bin_that_is_a_ring(monkeypatch, protects, short):
    monkeypatch.setattr(idle, "_SHORT", short)
    heap = Heap()
    heap.put_in_fast_bin(heap.chunks[5:50], protects, heap.chunks[20])
    assert heap.find_fast() == ([], False)


@PROTECTED
def test_a_long_fast_bin(monkeypatch, protects):
    monkeypatch.setattr(idle, "_SHORT", 10)
    heap = Heap()
    chunks = random.Random(1).sample(heap.chunks, 1500)
    heap.put_in_fast_bin(chunks, protects)
    assert heap.find_fast() == (sorted(chunks), True)


def test_an_arena_without_fast_bins():
    heap = Heap(layout=next(row for row in ARENAS if row.fast_bins is None))
    assert heap.find_fast() == ([], True)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(long_lists, "_PIECE_BYTES", 4096)


@pytest.mark.usefixtures("small_pieces")
@PROTECTED
@pytest.mark.parametrize("seed", range(4))
def test_long_lists(protects, seed):
    """Blocks full of what looks like chunks of the same size hide none of them."""
    chance = random.Random(seed)
    heap = Heap(1500)
    for at in range(heap.part.first, heap.part.top, 16):
        heap.memory.put(at, chance.choice(heap.chunks), SIZE | 1)
    chunks = chance.sample(heap.chunks, chance.randrange(1, 1400))
    first = heap.put_in_fast_bin(chunks, protects)
    found = follow_long(heap.memory.read, first, SIZE, [heap.part])
    assert found.tolist() == sorted(chunks)


@pytest.mark.usefixtures("small_pieces")
@PROTECTED
@pytest.mark.parametrize("last", ["ring", "itself", 0x123456789ABC0])
def test_long_lists_that_do_not_end(protects, last):
    heap = Heap()
    chunks = heap.chunks[10:1000]
    ends = {"ring": chunks[17], "itself": chunks[-1]}
    first = heap.put_in_fast_bin(chunks, protects, ends.get(last, last))
    assert follow_long(heap.memory.read, first, SIZE, [heap.part]) is None


def test_a_long_list_that_begins_nowhere():
    heap = Heap()
    for first in (0x10, heap.chunks[3] + 16, 1 << 63):
        assert follow_long(heap.memory.read, first, SIZE, [heap.part]) is None
    assert follow_long(heap.memory.read, heap.chunks[0], 48, [heap.part]) is None
    assert follow_long(heap.memory.read, heap.chunks[0], SIZE, []) is None


def test_a_long_list_over_several_parts():
    heap = Heap(600)
    parts = [
        Part(1, heap.chunks[n], heap.chunks[n], heap.chunks[n + 200], heap.chunks[n + 200])
        for n in (200, 0, 400 - 1)
    ]
    chunks = [each for part in parts for each in range(part.first, part.end, SIZE)][::-3]
    first = heap.put_in_fast_bin(chunks, True)
    found = follow_long(heap.memory.read, first, SIZE, parts)
    assert found.tolist() == sorted(set(chunks))


@PROTECTED
@pytest.mark.parametrize("layout", CACHES, ids=lambda layout: layout.versions)
def test_a_cache(layout, protects):
    heap = Heap()
    number = SIZE // 16 - 2
    cache = heap.put_cache(layout, {number: heap.chunks[20:27]}, protects)
    found, caches = find_cached(heap.memory, [cache])
    assert (found.chunks.tolist(), found.is_whole) == (heap.chunks[20:27], True)
    assert caches == {cache}


@pytest.mark.parametrize("layout", CACHES, ids=lambda layout: layout.versions)
def test_an_empty_cache_holds_nothing(layout):
    heap = Heap()
    found, caches = find_cached(heap.memory, [heap.put_cache(layout, {}, True)])
    assert (found.chunks.tolist(), found.is_whole, caches) == ([], True, set())


def test_blocks_that_only_have_the_size_of_a_cache():
    """What a program writes into them is no list of blocks of the right size."""
    heap = Heap()
    layout = CACHES[1]
    cache = heap.put_cache(layout, {0: heap.chunks[20:22]}, False)  # of 96 bytes, not of 32
    assert find_cached(heap.memory, [cache, cache + 8, heap.chunks[50] + 16])[1] == set()


@pytest.mark.parametrize("end", ["ring", "wild"])
def test_a_cache_whose_list_does_not_end(end):
    heap = Heap()
    number = SIZE // 16 - 2
    cache = heap.put_cache(CACHES[1], {number: heap.chunks[20:27]}, False)
    heap.memory.put(heap.chunks[26] + 16, heap.chunks[20] + 16 if end == "ring" else 0xBAD0)
    found, caches = find_cached(heap.memory, [cache])
    assert (found.chunks.tolist(), found.is_whole, caches) == ([], False, {cache})


def test_a_list_that_changes_while_it_is_followed_is_followed_again():
    heap = Heap()
    number = SIZE // 16 - 2
    chunks = heap.chunks[20:27]
    cache = heap.put_cache(CACHES[1], {number: chunks}, False)
    heap.memory.put(chunks[3] + 16, 0xBAD0)
    read = heap.memory.read

    class Source:
        tries = 0

        def read(self, address, size):
            self.tries += address & -4096 <= cache < (address & -4096) + size
            if self.tries > 2:
                heap.memory.put(chunks[3] + 16, chunks[4] + 16)
            return read(address, size)

    found, _ = find_cached(Source(), [cache])
    assert (found.chunks.tolist(), found.is_whole) == (chunks, True)


@PROTECTED
@pytest.mark.parametrize("is_new", [False, True])
def test_a_block_that_is_handed_out_meanwhile_does_not_end_its_list(protects, is_new):
    """It is the last one of another list by then; the others may have got company."""
    heap = Heap()
    chunks, new = heap.chunks[20:27], heap.chunks[40]
    heap.put_in_fast_bin(chunks, protects)
    number = SIZE // 16 - 2
    left = [new, *chunks[3:]] if is_new else chunks[3:]
    read = heap.memory.read

    class Source:
        reads = 0
        """Of the page in which all lists begin: those before this one are empty."""

        def read(self, address, size):
            data = read(address, size)
            self.reads += address <= heap.arena.fast_bins[number] < address + size
            if self.reads == number + 1:
                self.reads += 1
                heap.put_in_fast_bin(left, protects)
                link_up(heap.memory, chunks[2:3], protects)
            return data

    found = find_fast(Source(), [(heap.arena, [heap.part])])
    assert (found.chunks.tolist(), found.is_whole) == (sorted(left), True)


@PROTECTED
def test_a_list_that_grows_while_it_is_followed(protects):
    heap = Heap()
    chunks, new = heap.chunks[20:27], heap.chunks[40:42]
    heap.put_in_fast_bin(chunks, protects)
    read = heap.memory.read

    class Source:
        reads = 0
        """As above, and one of the blocks."""

        def read(self, address, size):
            data = read(address, size)
            self.reads += 1
            if self.reads == SIZE // 16:
                heap.put_in_fast_bin([*new, *chunks], protects)
            return data

    found = find_fast(Source(), [(heap.arena, [heap.part])])
    assert (found.chunks.tolist(), found.is_whole) == (sorted([*new, *chunks]), True)


def test_what_is_in_no_list():
    assert Idle(np.zeros(0, np.uint64), True).have(np.array([START], np.uint64)).tolist() == [False]
    some = Idle(np.array([START, START + 64], np.uint64), True)
    asked = np.array([START - 16, START, START + 32, START + 64, START + 128], np.uint64)
    assert some.have(asked).tolist() == [False, True, False, True, False]
    assert SMALL_CACHE_BINS == 64


def put_in_unsorted(heap, chunks):
    head = heap.arena.bins[0]
    ring = [head, *chunks]
    for number, chunk in enumerate(ring):
        heap.memory.put(chunk + 16, ring[(number + 1) % len(ring)], ring[number - 1])
    for chunk in chunks:
        heap.memory.put(chunk + SIZE, SIZE, SIZE)  # its size, and that it is free


def test_the_unsorted_bin():
    heap = Heap()
    assert find_unsorted(heap.memory, heap.arena).tolist() == []
    put_in_unsorted(heap, heap.chunks[10:200:2])
    assert find_unsorted(heap.memory, heap.arena).tolist() == [SIZE] * 95


def test_an_unsorted_bin_that_is_broken_ends_there():
    heap = Heap()
    chunks = heap.chunks[10:200:2]
    put_in_unsorted(heap, chunks)
    heap.memory.put(chunks[40] + 16, chunks[40])
    assert len(find_unsorted(heap.memory, heap.arena)) <= 41
    heap.memory.put(chunks[5] + 16, 0x123456789ABC0)
    assert len(find_unsorted(heap.memory, heap.arena)) <= 6
