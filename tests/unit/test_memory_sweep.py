"""One look at all references among blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.memory import sweep as sweeping
from gdbleak.memory.gather import gather
from gdbleak.memory.look import Ranges
from gdbleak.memory.pieces import PIECE_BYTES, Range
from gdbleak.memory.sweep import mix, sweep
from gdbleak.memory.table import Table

BLOCKS = [(0x10000 + 64 * number, 48) for number in range(16)]
FREE = [(0x10000 + 64 * 16, 0x10000 + 64 * 20)]
MEMORY = Range(0x10000, 0x12000)
ROOTS = 0x11000
"""From there on nothing belongs to a block."""


class Memory:
    """Zeros, but for the words that a test puts into them."""

    def __init__(self, words=()):
        self.words = np.zeros((MEMORY.end - MEMORY.start) // 8, np.uint64)
        for place, word in dict(words).items():
            self.words[(place - MEMORY.start) // 8] = word

    def read(self, address, size):
        at = (address - MEMORY.start) // 8
        return self.words[at : at + size // 8].tobytes()


def look(words, own=(), free=FREE, with_weak=True, backwards=False, blocks=BLOCKS):
    table = Table(blocks)
    are_own = np.zeros(len(table), bool)
    are_own[[*own]] = True
    parts = [lambda: [Range(MEMORY.start, ROOTS), Range(ROOTS, MEMORY.end)]]
    read = Memory(words).read
    return sweep(table, read, parts, lambda _: None, Ranges(free), are_own, with_weak, backwards)


def edges(seen):
    return sorted(zip(seen.graph.holders.tolist(), seen.graph.targets.tolist()))


places = st.integers(MEMORY.start // 8, MEMORY.end // 8 - 1).map(lambda word: 8 * word)
values = st.integers(MEMORY.start - 64, MEMORY.start + 64 * 17)


@pytest.mark.parametrize("backwards", [False, True])
@given(words=st.dictionaries(places, values))
def test_any_words(backwards, words):
    seen = look(words, backwards=backwards)
    held, inner = set(), set()
    for place, word in words.items():
        target = next((n for n, (at, size) in enumerate(BLOCKS) if at <= word <= at + size), None)
        holder = next((n for n, (at, size) in enumerate(BLOCKS) if at <= place < at + size), None)
        if target is None or holder == target:
            continue
        if holder is not None:
            inner.add((holder, target))
        elif not FREE[0][0] <= place < FREE[0][1]:
            held.add(target)
    assert {*np.flatnonzero(seen.held).tolist()} == held
    # What leads to a block that is held anyway need not be kept.
    assert {*edges(seen)} <= inner
    assert {edge for edge in inner if edge[1] not in held} <= {*edges(seen)}


def test_words_that_belong_to_nobody_are_told():
    seen = look({FREE[0][0] + 8: BLOCKS[3][0]})
    assert not seen.held.any()
    assert [each.tolist() for each in seen.weak] == [[FREE[0][0] + 8], [3]]
    assert not len(look({FREE[0][0] + 8: BLOCKS[3][0]}, with_weak=False).weak[0])


def test_marks_tell_whether_other_words_refer_to_a_block():
    words = {ROOTS: BLOCKS[3][0], BLOCKS[1][0]: BLOCKS[2][0], FREE[0][0]: BLOCKS[4][0]}
    first = look(words)
    assert (first.marks == look(words, backwards=True).marks).all()
    assert {*np.flatnonzero(first.marks).tolist()} == {2, 3, 4}
    moved = {ROOTS + 8: BLOCKS[3][0], BLOCKS[1][0]: BLOCKS[2][0], FREE[0][0] + 8: BLOCKS[4][0]}
    assert np.flatnonzero(first.marks != look(moved).marks).tolist() == [3, 4]


def test_memory_of_its_own_counts_as_outside_but_for_itself():
    words = {BLOCKS[1][0]: BLOCKS[2][0], BLOCKS[1][0] + 8: BLOCKS[1][0] + 16}
    assert np.flatnonzero(look(words, own=[1]).held).tolist() == [2]
    assert not look({BLOCKS[2][0]: BLOCKS[1][0]}, own=[1]).held.any()


def test_what_too_many_references_lead_to_counts_as_held(monkeypatch):
    monkeypatch.setattr(sweeping, "MOST_EDGES", 2)
    words = {BLOCKS[n][0]: BLOCKS[n + 1][0] for n in range(8)}
    seen = look(words)
    assert edges(seen) == []
    assert seen.crowded == seen.held.sum() == 8


def test_mixed_numbers_depend_on_all_bits():
    words = np.concatenate([[0], np.uint64(1) << np.arange(64, dtype=np.uint64)]).astype(np.uint64)
    assert len({*mix(words).tolist()}) == 65


@given(
    addresses=st.lists(st.integers(0, MEMORY.end // 8 + 4), unique=True),
    count=st.integers(1, 3),
)
def test_words_at_addresses(addresses, count):
    memory = Memory({place: place for place in range(MEMORY.start, MEMORY.end, 8)})

    def read(address, size):
        if MEMORY.start <= address < MEMORY.end:
            return memory.read(address, size)
        return b""

    asked = np.array(sorted(8 * each for each in addresses), np.uint64)
    for row, address in zip(gather(read, asked, count).tolist(), asked.tolist()):
        whole = range(address, address + 8 * count, 8)
        if address >= MEMORY.start:
            assert row == [each if each < MEMORY.end else 0 for each in whole]


def test_addresses_far_apart_are_read_one_by_one():
    reads = []

    def read(address, size):
        reads.append((address, size))
        return bytes(size)

    asked = np.array([64, 128, 10 * PIECE_BYTES], np.uint64)
    gather(read, asked, 2)
    assert reads == [(64, 80), (10 * PIECE_BYTES, 16)]
