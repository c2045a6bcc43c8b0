"""Which block an address is in."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.memory.table import Table

MAIN_HEAP, THREAD_HEAP = 0x555555559000, 0x7F1234000000
"""46 TB apart, as the heaps of a program and of its threads are."""
USER_SPACE = 1 << 47


def find_naively(blocks, words):
    """Return position and number of each reference, block by block."""
    found = []
    for position, word in enumerate(words):
        address = word & (1 << 48) - 1
        ends_here = None
        for number, (start, size) in enumerate(blocks):
            if start <= address < start + max(size, 1):
                found.append((position, number))
                break
            if address == start + max(size, 1) and address % 4096:  # else of the next mapping
                ends_here = number
        else:
            if ends_here is not None:
                found.append((position, ends_here))
    return found


def hold_naively(blocks, places):
    """Return in which block each word begins, which may end behind it."""
    return [
        next(
            (n for n, (start, size) in enumerate(blocks) if start <= place < start + max(size, 1)),
            -1,
        )
        for place in places
    ]


def find(blocks, words):
    positions, numbers = Table(blocks).find(np.array(words, np.uint64))
    return [*zip(positions.tolist(), numbers.tolist())]


def hold(blocks, places):
    return Table(blocks).holding(np.array(places, np.uint64)).tolist()


@st.composite
def some_blocks(draw):
    """Return blocks in order of address that do not overlap, 16 bytes apart as malloc's are."""
    at = draw(st.sampled_from([0x1000, MAIN_HEAP, USER_SPACE - (1 << 24)]))
    blocks = []
    for gap, size in draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 0, 16, 4096, 1 << 20]),
                st.sampled_from([0, 1, 8, 15, 16, 24, 4096, 5000, 1 << 16]),
            ),
            max_size=20,
        )
    ):
        at += gap
        blocks.append((at, size))
        at += max(size, 1) + 15 & -16
    return blocks


@st.composite
def blocks_and_words(draw):
    """Return blocks and words of which many are near their ends, some with tags."""
    blocks = draw(some_blocks())
    edges = [0, USER_SPACE, *(at for start, size in blocks for at in (start, start + size))]
    near = st.builds(lambda edge, more: max(edge + more, 0), st.sampled_from(edges), _NEAR)
    tagged = st.builds(lambda word, tag: word | tag << 48, near, st.integers(0, (1 << 16) - 1))
    words = draw(st.lists(st.one_of(near, tagged, st.integers(0, (1 << 64) - 1)), max_size=60))
    return blocks, words


_NEAR = st.integers(-20, 20)


@given(blocks_and_words())
def test_words_that_refer_to_blocks(both):
    blocks, words = both
    assert find(blocks, words) == find_naively(blocks, words)


@given(blocks_and_words())
def test_words_within_blocks(both):
    blocks, words = both
    places = [word & USER_SPACE - 8 for word in words]
    assert hold(blocks, places) == hold_naively(blocks, places)


def test_no_blocks():
    assert (find([], [0, 1, 1 << 63]), hold([], [0, 8])) == ([], [-1, -1])
    assert len(Table([])) == 0


def test_block_of_no_bytes():
    """malloc(0) returns an address like any other."""
    assert find([(64, 0)], [63, 64, 65, 66]) == [(1, 0), (2, 0)]


def test_blocks_that_touch():
    """The end of one is the beginning of the next, to which a pointer there belongs."""
    blocks = [(64, 16), (80, 16), (96, 1)]
    assert find(blocks, [79, 80, 95, 96, 97, 98]) == [(0, 0), (1, 1), (2, 1), (3, 2), (4, 2)]
    assert hold(blocks, [56, 64, 72, 80, 88, 96, 104]) == [-1, 0, 0, 1, 1, 2, -1]


@pytest.mark.parametrize("tag", [0x1, 0x8000, 0xB400, 0xFFFF])
def test_tags(tag):
    word = THREAD_HEAP + 8 | tag << 48
    assert find([(THREAD_HEAP, 16)], [word, THREAD_HEAP + 8]) == [(0, 0), (1, 0)]


def test_heaps_that_lie_far_apart():
    blocks = [(base + 64 * n, 40) for base in (MAIN_HEAP, THREAD_HEAP) for n in range(1000)]
    words = [at + 8 for at, _ in blocks]
    assert find(blocks, words) == [*zip(range(2000), range(2000))]
    assert find(blocks, [at + 48 for at, _ in blocks]) == []
    # The same bits of the page's number, but another page.
    assert find(blocks, [at + (1 << 40) for at, _ in blocks[:1000]]) == []


@pytest.mark.parametrize("sizes", [[1 << 40], [1 << 36] * 2, [1 << 33] * 5, [1 << 30] * 9])
def test_huge_blocks(sizes):
    """Neither many pages nor many large blocks take long to note."""
    blocks = [(1 << 20, 100)]
    for size in sizes:
        blocks.append((blocks[-1][0] + blocks[-1][1] + 4096 & -4096, size))
    began_s = time.process_time()
    last, size = blocks[-1]
    words = [1 << 20, last - 5000, last, last + size // 2, last + size, last + size + 1]
    expected = find_naively(blocks, words)
    assert find(blocks, words) == expected
    assert time.process_time() - began_s < 5


@pytest.mark.parametrize("far", [0, 1, 5, 63, 64, 65, 200])
def test_blocks_of_many_pages(far):
    """Every page counts, of those that are short as of those that are long."""
    blocks = [(n << 24 | 0xFF0, (far << 12) + 16 * n) for n in range(1, 40)]
    words = [at for start, size in blocks for at in range(start, start + size + 1, 4096)]
    words += [start + size for start, size in blocks]
    assert find(blocks, words) == find_naively(blocks, words)


def test_millions_of_blocks():
    count = 1 << 21
    blocks = [(MAIN_HEAP + 64 * n, 48) for n in range(count)]
    began_s = time.process_time()
    table = Table(blocks)
    words = np.arange(MAIN_HEAP, MAIN_HEAP + 64 * count, 64, dtype=np.uint64) + np.uint64(8)
    positions, numbers = table.find(words)
    assert np.array_equal(positions, numbers)
    assert np.array_equal(positions, np.arange(count))
    assert time.process_time() - began_s < 10
