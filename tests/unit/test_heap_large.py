"""Blocks with mappings of their own, and what malloc says of itself."""

from __future__ import annotations

import pytest
from heap_memory import START, Memory

from gdbleak.heap.mmapped import LargeBlock, find_large
from gdbleak.heap.parameters import LAYOUTS, Parameters, find_parameters
from gdbleak.heap.snapshot import Snapshot

PAGE = 4096
FORMS = pytest.mark.parametrize("room", [0, 16], ids=["up to 2.42", "2.43"])


def put_block(memory, at, mapped, room=0, before=0):
    memory.put(at, before, (mapped - room) | 2)
    return LargeBlock(at, at + mapped, at + 16, mapped - 16 - room // 2)


def pages(memory, *runs):
    end = START + len(memory.data)
    return [(*run, end) for run in runs] or [(START, end, end)]


@FORMS
def test_blocks_one_behind_another(room):
    """The kernel makes one mapping of those that touch."""
    memory = Memory(100 * PAGE)
    blocks = [
        put_block(memory, START, 40 * PAGE, room),
        put_block(memory, START + 40 * PAGE, 33 * PAGE, room),
        put_block(memory, START + 80 * PAGE, 20 * PAGE, room),
    ]
    memory.put(START + 10 * PAGE, 0, 5 * PAGE | 2)  # what is in a block is not looked at
    assert find_large(memory.read, pages(memory)) == blocks


@FORMS
@pytest.mark.parametrize("alignment", [32, 64, 1024, 4096, 1 << 16, 1 << 17])
@pytest.mark.parametrize("at", [0, 1, 5, 16])
def test_an_aligned_block(alignment, at, room):
    """It is where its second chunk says; the first one is left as it was."""
    memory = Memory(200 * PAGE)
    start, end = START + at * PAGE, START + (at + 120) * PAGE
    put_block(memory, start, end - start, room)
    block = -(-(start + 48) // alignment) * alignment
    memory.put(block - 16, block - 16 - start, (end - block + 16 - room) | 2)
    assert find_large(memory.read, pages(memory)) == [
        LargeBlock(start, end, block, end - block - room // 2)
    ]


def test_a_block_on_huge_pages_since_2_43():
    memory = Memory(40 * PAGE)
    block = put_block(memory, START, 40 * PAGE, 16, before=1)
    assert find_large(memory.read, pages(memory)) == [block]


@pytest.mark.parametrize(
    ("before", "size"),
    [
        (0, 40 * PAGE | 3),
        (0, 40 * PAGE | 6),
        (0, 40 * PAGE),
        (0, 2),
        (0, 40 * PAGE + 32 | 2),
        (0, 41 * PAGE | 2),
        (2, 40 * PAGE | 2),
        (0, 1 << 60 | 2),
        ((1 << 64) - 1, (1 << 64) - 1),
    ],
)
def test_what_is_no_block(before, size):
    memory = Memory(40 * PAGE)
    memory.put(START, before, size)
    assert find_large(memory.read, pages(memory)) == []


def test_only_pages_that_hold_something_are_read():
    memory = Memory(1000 * PAGE)
    block = put_block(memory, START + 500 * PAGE, 400 * PAGE)
    runs = [(START + 2 * PAGE, START + 4 * PAGE), (block.start, block.start + PAGE)]
    assert find_large(memory.read, pages(memory, *runs)) == [block]
    assert memory.reads < 30


def test_runs_of_pages_that_follow_each_other():
    memory = Memory(1000 * PAGE)
    block = put_block(memory, START + 9 * PAGE, 400 * PAGE)
    runs = [(START, block.start), (block.start, block.start + PAGE)]
    assert find_large(memory.read, pages(memory, *runs)) == [block]


def test_it_ends_when_all_are_found():
    memory = Memory(1000 * PAGE)
    blocks = [put_block(memory, START + n * 100 * PAGE, 50 * PAGE) for n in range(3)]
    found = find_large(
        memory.read, pages(memory), lambda number, size: (number, size) == (3, 150 * PAGE)
    )
    assert found == blocks
    assert memory.reads < 200


def test_memory_that_has_gone():
    memory = Memory(10 * PAGE, holes=[(START, START + 10 * PAGE)])
    assert find_large(memory.read, pages(memory)) == []


HEAP = 0x555555579000
ROWS = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.versions)


def put_parameters(layout, count=3, most=65536, size=3 << 20, threshold=128 << 10):
    memory = Memory(8192)
    at = START + 0x400

    def put_half(offset, number):
        place = at + offset
        word = memory.word(place & -8)
        shift = (place & 7) * 8
        memory.put(place & -8, word & ~(0xFFFFFFFF << shift) | number << shift)

    memory.put(at + 0x10, threshold)
    put_half(layout.n_mmaps, count)
    put_half(layout.n_mmaps_max, most)
    memory.put(at + layout.mmapped_mem, size)
    memory.put(at + layout.sbrk_base, HEAP + 16)
    return memory


def found(memory):
    words = memoryview(bytes(memory.data)).cast("Q")
    return find_parameters(Snapshot(memory), words, START, (HEAP, HEAP + 0x21000))


@ROWS
def test_parameters_of_each_layout(layout):
    assert found(put_parameters(layout)) == Parameters(3, 3 << 20, 128 << 10, HEAP + 16)


@ROWS
def test_parameters_where_nothing_is_mapped(layout):
    assert found(put_parameters(layout, 0, size=0)) == Parameters(0, 0, 128 << 10, HEAP + 16)


@ROWS
@pytest.mark.parametrize(
    "wrong",
    [
        {"count": 0},
        {"size": 0},
        {"size": 12345},
        {"count": 70000, "most": 65536},
        {"most": 0},
        {"threshold": 3},
        {"threshold": 1 << 40},
        {"size": 1 << 50},
    ],
    ids=str,
)
def test_parameters_that_contradict_themselves(layout, wrong):
    assert found(put_parameters(layout, **wrong)) is None


def test_another_word_that_points_into_the_heap():
    memory = put_parameters(LAYOUTS[0])
    memory.put(START + 0x100, HEAP + 16)
    assert found(memory) == Parameters(3, 3 << 20, 128 << 10, HEAP + 16)


def test_no_parameters():
    assert found(Memory(8192)) is None
