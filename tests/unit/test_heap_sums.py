"""Sums over chunks: by size, the end of a heap, and pages that could be given back."""

from __future__ import annotations

import random
from collections import Counter

import numpy as np
import pytest

from gdbleak.heap.chunks import Piece
from gdbleak.heap.sums import BySize, Resident, Tail

START = 0x555555559000
PAGE = 4096


def array(numbers):
    return np.array(numbers, np.uint64)


def piece_of(rows, at=START):
    """Return a piece of chunks, each of a size and in use or not; and where the next one goes."""
    chunks = []
    for size, _ in rows:
        chunks.append(at)
        at += size
    sizes, used = [row[0] for row in rows], np.array([row[1] for row in rows], bool)
    return Piece(array(chunks), array(sizes), used, np.zeros(len(rows), bool)), at


def pin_of(*pieces):
    tail, at = Tail(), START
    for rows in pieces:
        piece, at = piece_of(rows, at)
        tail.add(piece)
    return tail.find_pin()


def test_counts_by_size():
    chance = random.Random(1)
    sizes = [16 * chance.choice([2, 3, 3, 100, 4095, 4096, 4097, 1 << 30]) for _ in range(3000)]
    sums = BySize()
    for at in range(0, len(sizes), 700):
        sums.add(array(sizes[at : at + 700]))
    assert sums.counts() == Counter(sizes)
    assert sums.total == (3000, sum(sizes))
    sums.add(array(sizes[:500]), -1)
    assert sums.counts() == Counter(sizes[500:])


def test_no_chunks_by_size():
    sums = BySize()
    sums.add(array([]))
    assert (sums.counts(), sums.total) == ({}, (0, 0))


@pytest.mark.parametrize("cut", [0, 1, 50, 99, 100, 101])
def test_one_block_at_the_end_keeps_all_before_it(cut):
    rows = [(112, True)] * 50 + [(4096, False)] * 50 + [(112, True)]
    chunk = START + 50 * 112 + 50 * 4096
    assert pin_of(rows[:cut], rows[cut:]) == (chunk, 112, 50 * 4096)


def test_what_is_free_behind_the_last_block_is_not_kept():
    assert pin_of([(4096, False), (112, True), (4096, False)], [(64, False)]) == (
        START + 4096,
        112,
        4096,
    )


@pytest.mark.parametrize("number", [1, 36, 37, 128])
def test_more_than_a_page_in_use_ends_what_is_kept(number):
    """112 bytes 36 times are less than a page, 37 times more."""
    rows = [(4096, False), (112, True), (8192, False)] + [(112, True)] * number
    free = 8192 + 4096 * (number < 36) if number <= 36 else 0
    assert pin_of(rows)[2] == free


@pytest.mark.parametrize("size", [PAGE, PAGE + 16, 60000])
def test_a_large_block_at_the_end_keeps_what_is_before_it_too(size):
    rows = [(1 << 20, False), (size, True)]
    assert pin_of(rows) == (START + (1 << 20), size, 1 << 20)


def test_no_block_at_all():
    assert pin_of() is None
    assert pin_of([(4096, False)] * 3) is None


def test_a_tail_of_millions_of_free_blocks_stays_small():
    tail, at = Tail(), START
    tail.add(piece_of([(32, True)], at)[0])
    piece, at = piece_of([(32, False)] * 20000, at + 32)
    for _ in range(200):
        tail.add(piece)
    tail.add(piece_of([(32, True)], at)[0])
    assert tail.find_pin() == (at, 32, 200 * 20000 * 32)
    assert len(tail._used) == 2


def pages_by_hand(chunks, runs):
    """Return the bytes of whole resident pages in chunks, behind the first 48 bytes of each."""
    resident = {page for low, high in runs for page in range(low // PAGE, high // PAGE)}
    total = 0
    for start, size in chunks:
        first, last = -(-(start + 48) // PAGE), (start + size) // PAGE
        total += sum(page in resident for page in range(first, last))
    return total * PAGE


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("offset", [0, 10000 // 16 * 16])
def test_pages_that_could_be_given_back(seed, offset):
    chance = random.Random(seed)
    start, at, chunks, runs = START + offset, START + offset, [], []
    for _ in range(40):
        size = 16 * chance.randrange(2, 2000)
        if chance.random() < 0.6:
            chunks.append((at, size))
        at += size
    page = START + offset & -PAGE
    while page < at:
        end = page + PAGE * chance.randrange(1, 9)
        if chance.random() < 0.7:
            runs.append((page, end))
        page = end + PAGE
    resident = Resident(start, at, runs)
    addresses, sizes = (array(each) for each in zip(*chunks))
    assert resident.within(addresses, sizes) == pages_by_hand(chunks, runs)


def test_nothing_in_memory():
    resident = Resident(START, START + 10 * PAGE, [])
    assert resident.within(array([START]), array([8 * PAGE])) == 0


def test_a_free_chunk_of_a_page_has_no_whole_page_behind_its_links():
    resident = Resident(START, START + 10 * PAGE, [(START, START + 10 * PAGE)])
    assert resident.within(array([START]), array([PAGE])) == 0
    assert resident.within(array([START]), array([2 * PAGE])) == PAGE
    assert resident.within(array([START + PAGE - 48]), array([PAGE + 48])) == PAGE
