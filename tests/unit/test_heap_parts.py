"""Where the memory of each arena lies, from what its headers say."""

from __future__ import annotations

import pytest
from heap_memory import Memory

from gdbleak.heap.arenas import Arena
from gdbleak.heap.layouts import ARENAS, HEAP_BYTES
from gdbleak.heap.parts import Part, find_detached, find_parts, is_contiguous
from gdbleak.heap.snapshot import PAGE_BYTES, Snapshot

LAYOUT = ARENAS[0]
MAIN = 0x7F0000200340
HEAP = 0x555555559000
HEAP_END = HEAP + 0x21000
OTHER = 0x7F0004000000
HEADER = 0x30


class Process:
    """Sparse memory."""

    def __init__(self):
        self.pages = {}

    def put(self, address, *words):
        for at, word in enumerate(words):
            place = address + 8 * at
            page = self.pages.setdefault(place & -PAGE_BYTES, Page(place & -PAGE_BYTES))
            page.put(place, word)

    def read(self, address, size):
        data = b""
        while len(data) < size and (page := self.pages.get(address & -PAGE_BYTES)):
            part = page.read(address, size - len(data))
            data += part
            address += len(part)
        return data


class Page(Memory):
    """One page of it."""

    def __init__(self, start):
        super().__init__(PAGE_BYTES)
        self.start = start

    def put(self, address, word):
        at = address - self.start
        self.data[at : at + 8] = word.to_bytes(8, "little")

    def read(self, address, size):
        return bytes(self.data[address - self.start :][:size])


@pytest.fixture
def process():
    process = Process()
    put_top(process, MAIN, HEAP + 0x5000, HEAP_END)
    process.put(MAIN + LAYOUT.system_mem, HEAP_END - HEAP)
    process.put(HEAP + 8, 0x291)
    return process


def put_top(process, arena, top, end):
    process.put(arena + LAYOUT.top, top)
    process.put(top + 8, (end - top) | 1)


def put_heap(process, start, arena, before=0, size=0x21000):
    process.put(start, arena, before, size, size)


def parts(process, *arenas, heap=(HEAP, HEAP_END)):
    found = [Arena(MAIN, LAYOUT), *(Arena(each, LAYOUT) for each in arenas)]
    return find_parts(Snapshot(process), found, heap)


def test_the_main_arena(process):
    assert parts(process) == [Part(0, HEAP, HEAP, HEAP_END, HEAP + 0x5000)]


def test_a_main_arena_that_begins_behind_somebody_else(process):
    """As much as it counts, back from its end."""
    process.put(MAIN + LAYOUT.system_mem, HEAP_END - HEAP - 0x2710)
    process.put(HEAP + 0x2718, 0x291)
    assert parts(process) == [Part(0, HEAP + 0x2710, HEAP + 0x2710, HEAP_END, HEAP + 0x5000)]


@pytest.mark.parametrize("system_mem", [0, 8, 1 << 60, (1 << 64) - 16])
def test_a_main_arena_that_counts_wrongly(process, system_mem):
    process.put(MAIN + LAYOUT.system_mem, system_mem)
    [part] = parts(process)
    assert (part.start, part.top) == (HEAP, HEAP + 0x5000)


@pytest.mark.parametrize("top", [0, 0x7F0000999000, HEAP + 0x5008, (1 << 64) - 16])
def test_a_main_arena_that_has_gone_on_elsewhere(process, top):
    process.put(MAIN + LAYOUT.top, top)
    assert parts(process) == [Part(0, HEAP, HEAP, HEAP_END, HEAP_END)]


def test_a_heap_that_does_not_begin_at_a_grain(process):
    process.put(MAIN + LAYOUT.top, 0)
    assert parts(process, heap=(HEAP + 8, HEAP_END))[0].first == HEAP + 16


def test_a_heap_in_which_the_main_arena_begins_later(process):
    """In a static program, what belongs to its threads comes first."""
    process.put(MAIN + LAYOUT.top, 0)
    found = find_parts(
        Snapshot(process), [Arena(MAIN, LAYOUT)], (HEAP, HEAP_END), start=HEAP + 0xD08
    )
    assert found == [Part(0, HEAP + 0xD08, HEAP + 0xD10, HEAP_END, HEAP_END)]


def test_no_heap_at_all(process):
    assert parts(process, heap=None) == []


def test_an_arena_of_several_heaps(process):
    arena = OTHER + HEADER
    last = OTHER + 2 * HEAP_BYTES
    middle = OTHER - 3 * HEAP_BYTES
    put_heap(process, OTHER, arena)
    put_heap(process, middle, arena, OTHER, HEAP_BYTES)
    put_heap(process, last, arena, middle, 0x5000)
    put_top(process, arena, last + 0x1000, last + 0x5000)
    first = (arena + LAYOUT.size + 15) & -16
    assert parts(process, arena)[1:] == [
        Part(1, last, last + HEADER, last + 0x5000, last + 0x1000),
        Part(1, middle, middle + HEADER, middle + HEAP_BYTES, middle + HEAP_BYTES),
        Part(1, OTHER, first, OTHER + 0x21000, OTHER + 0x21000),
    ]


def test_heaps_that_name_each_other_in_a_ring(process):
    arena = OTHER + HEADER
    put_heap(process, OTHER, arena, OTHER + HEAP_BYTES)
    put_heap(process, OTHER + HEAP_BYTES, arena, OTHER)
    put_top(process, arena, OTHER + HEAP_BYTES + 0x1000, OTHER + HEAP_BYTES + 0x21000)
    assert len(parts(process, arena)) == 3


@pytest.mark.parametrize(
    ("owner", "size"),
    [(OTHER, 0x21000), (0, 0x21000), (OTHER + HEADER, 0x21008), (OTHER + HEADER, 1 << 30)],
)
def test_a_heap_whose_header_makes_no_sense(process, owner, size):
    put_heap(process, OTHER, owner, 0, size)
    put_top(process, OTHER + HEADER, OTHER + 0x1000, OTHER + 0x21000)
    assert len(parts(process, OTHER + HEADER)) == 1


@pytest.mark.parametrize("place", [0, (1 << 64) - 16])
def test_an_arena_without_a_heap(process, place):
    process.put(OTHER + HEADER + LAYOUT.top, place)
    assert len(parts(process, OTHER + HEADER)) == 1


@pytest.mark.parametrize(("flags", "expected"), [(0, True), (2, False), (1, True), (3, False)])
def test_whether_the_main_arena_is_in_one_piece(process, flags, expected):
    process.put(MAIN, flags << 32 | 1)
    assert is_contiguous(Snapshot(process), Arena(MAIN, LAYOUT)) is expected


MAPPED = 0x7F0010000000


def put_chunks(process, sizes, at=MAPPED):
    for size in sizes:
        process.put(at + 8, size | 1)
        at += size
    return at


def test_a_mapping_in_which_the_main_arena_goes_on(process):
    fence = put_chunks(process, [96] * 100)
    process.put(fence + 8, 0x11, 0, 0x11)
    found = find_detached(process.read, [(MAPPED, MAPPED + (1 << 20))])
    assert found == [Part(0, MAPPED, MAPPED, MAPPED + (1 << 20), MAPPED + (1 << 20))]


def test_the_main_arena_behind_something_else_in_one_mapping(process):
    for at in range(MAPPED, MAPPED + 3 * PAGE_BYTES, 8):
        process.put(at, 0x7F0000001238)
    at = MAPPED + 3 * PAGE_BYTES
    fence = put_chunks(process, [96] * 100, at)
    process.put(fence + 8, 0x11, 0, 0x11)
    found = find_detached(process.read, [(MAPPED, MAPPED + (1 << 20))])
    assert found == [Part(0, at, at, MAPPED + (1 << 20), MAPPED + (1 << 20))]


@pytest.mark.parametrize(
    ("size", "end"),
    [(96, 0x7F1234567890), (100, 0x11), (96 | 4, 0x11)],
    ids=["ends in a pointer", "sizes of nothing", "chunks of another arena"],
)
def test_mappings_of_something_else(process, size, end):
    fence = put_chunks(process, [size & ~7] * 100)
    if size & 7:
        for at in range(MAPPED, fence, size & ~7):
            process.put(at + 8, size | 1)
    process.put(fence + 8, end)
    if size == 100:
        process.put(MAPPED + 8, 0)
    assert find_detached(process.read, [(MAPPED, MAPPED + (1 << 20))]) == []


def test_mappings_with_few_chunks_or_nothing(process):
    put_chunks(process, [96] * 5)
    mappings = [(MAPPED, MAPPED + PAGE_BYTES), (MAPPED + (1 << 30), MAPPED + (2 << 30))]
    assert find_detached(process.read, mappings) == []
