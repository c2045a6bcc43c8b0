"""The search for what holds a block, on memory made by hand."""

from __future__ import annotations

import struct
from itertools import islice

import numpy as np
import pytest

from gdbleak.memory import ways
from gdbleak.memory.index import Numbering, TooLargeError, make_index
from gdbleak.memory.pieces import Range
from gdbleak.memory.territory import Area, Kind, Territory
from gdbleak.memory.ways import Block, Indexed, MetError, OverError, Passes, Search, Step

DATA, STACK, HEAP, FAR = 0x10000, 0x7FF000000000, 0x500000000000, 0x7F0000000000
SIZE = 1 << 16
BLOCK_BYTES = 48


class Made:
    """A process with some data, a stack, and blocks of 48 bytes in two heaps."""

    def __init__(self):
        self.memory = {start: bytearray(SIZE) for start in (DATA, STACK, HEAP, FAR)}
        self.territory = Territory(
            [
                Area(DATA, DATA + SIZE, Kind.MODULE),
                Area(STACK, STACK + 256, Kind.DEAD),
                Area(STACK + 256, STACK + SIZE, Kind.STACK, thread=7),
            ]
        )
        self.scanned_bytes = 0
        self.free = set()

    def write(self, address, word):
        start = max(s for s in self.memory if s <= address)
        struct.pack_into("<Q", self.memory[start], address - start, word)

    def read(self, address, size):
        start = max((s for s in self.memory if s <= address), default=None)
        return b"" if start is None else bytes(self.memory[start][address - start :][:size])

    def split(self):
        return self.territory.split(sorted(Range(s, s + SIZE) for s in self.memory))

    def count(self, size):
        self.scanned_bytes += size

    def find_block(self, word, _near=None):
        start = max(s for s in (HEAP, FAR) if s <= word)
        block = start + (word - start) // BLOCK_BYTES * BLOCK_BYTES
        return None if block in self.free else Block(block, block + BLOCK_BYTES)

    def indexed(self):
        roots, blocks = self.split()
        return make_index(self.read, roots, blocks, 1 << 20, self.count)

    def search(self, referrers=None, check=lambda: None, known=()):
        referrers = referrers or Indexed(self.indexed())
        return Search(self.territory, referrers, self.find_block, check, known)

    def in_passes(self):
        return self.search(self.passes())

    def passes(self):
        roots, blocks = self.split()
        return Passes(self.read, sorted([*roots, *blocks]), self.count)


@pytest.fixture
def made():
    return Made()


@pytest.fixture(params=["index", "passes"])
def begin(request, made):
    return made.search if request.param == "index" else made.in_passes


def block(number, heap=HEAP):
    start = heap + number * BLOCK_BYTES
    return Block(start, start + BLOCK_BYTES)


def words(way):
    return [step.word for step in way.steps]


def test_variable_is_one_step_away(made, begin):
    made.write(DATA + 64, block(3).start)
    [way] = begin().backwards(block(3))
    assert way.steps == (Step(DATA + 64, None),)
    assert way.area.kind is Kind.MODULE


@pytest.mark.parametrize(
    ("offset", "found"),
    [(-1, 0), (0, 1), (8, 1), (47, 1), (48, 0), (1 << 48, 1), (0xABCD << 48, 1)],
)
def test_address_in_it_counts_whatever_its_upper_bits_are(made, begin, offset, found):
    made.write(DATA, block(3).start + offset)
    assert len([*begin().backwards(block(3))]) == found


def test_search_ends_at_a_block_whose_holder_is_known(made):
    """What holds that one holds those on the way from it, too."""
    made.write(DATA, block(9).start)
    made.write(block(9).start, block(5).start)
    made.write(block(5).start, block(4).start)
    made.write(block(4).start, block(3).start)
    with pytest.raises(MetError) as met:
        list(made.search(known={block(9).start}).backwards(block(3)))
    assert met.value.start == block(9).start
    assert met.value.blocks == (block(4), block(5))


def test_ways_through_other_blocks_come_after_shorter_ones(made, begin):
    far = block(9, FAR)
    made.write(DATA + 8, far.start)
    made.write(far.start + 16, block(5).start + 8)
    made.write(block(5).start + 40, block(3).start)
    made.write(STACK + 512, block(5).start)
    made.write(STACK + 1024, block(3).start)
    found = [words(way) for way in begin().backwards(block(3))]
    assert found == [
        [STACK + 1024],
        [block(5).start + 40, STACK + 512],
        [block(5).start + 40, far.start + 16, DATA + 8],
    ]


def test_cycles_and_words_of_its_own_end_it(made, begin):
    made.write(block(3).start, block(3).start)
    made.write(block(3).start + 8, block(4).start)
    made.write(block(4).start, block(3).start)
    made.write(block(4).start + 8, block(5).start)
    made.write(block(5).start, block(4).start)
    search = begin()
    assert [*search.backwards(block(3))] == []
    assert sorted(search.blocks) == [block(n).start for n in (3, 4, 5)]
    assert search.roots == 0


def test_dead_stack_and_free_blocks_hold_nothing(made, begin):
    made.write(STACK + 248, block(3).start)
    made.write(block(4).start, block(3).start)
    made.write(DATA, block(4).start)
    made.free.add(block(4).start)
    assert [*begin().backwards(block(3))] == []


def test_list_is_walked_to_its_head(made):
    for number in range(1000):
        made.write(block(number + 1).start, block(number).start)
    made.write(DATA, block(1000).start)
    [way] = made.search().backwards(block(0))
    assert words(way) == [*(block(n).start for n in range(1, 1001)), DATA]
    search = made.in_passes()
    with pytest.raises(OverError):
        next(search.backwards(block(0)))
    assert len(search.blocks) == 1 + ways.MOST_LEVELS
    assert search.goes_on


def test_after_a_root_ways_may_be_twice_as_long_and_no_longer(made):
    made.write(DATA, block(1).start)
    made.write(block(1).start, block(0).start)
    for number in range(2, 20):
        made.write(block(number).start, block(0 if number == 2 else number - 1).start)
        made.write(DATA + 8 * number, block(number).start)
    found = [len(way.steps) for way in made.search().backwards(block(0))]
    assert found == sorted(found)
    assert 4 <= max(found) < 12


def make_tree(made, count):
    """Make a tree of blocks whose nodes know their parents; each is as high as it may be."""
    for number in range(1, count):
        node = block(number)
        for side in (0, 1):
            child = 2 * number + side
            if child < count:
                made.write(node.start + 16 + 8 * side, block(child).start)
                made.write(block(child).start + 8, node.start)
    made.write(DATA + 80, block(1).start)


def test_wide_search_goes_forwards_too(made, monkeypatch):
    monkeypatch.setattr(ways, "_PATIENCE", 40)
    monkeypatch.setattr(ways, "_WIDE", 4)
    count = 1023
    make_tree(made, count)
    leaf = block(count - 1)
    index = made.indexed()
    search = made.search(Indexed(index))
    assert [*search.backwards(leaf)] == []
    assert search.goes_on
    assert len(search.blocks) < count
    _, blocks = made.split()
    numbering = Numbering(blocks)
    [way] = islice(search.forwards(made.read, index.seeds.tolist(), numbering, made.find_block), 1)
    assert len(way.steps) == 10
    held = leaf
    for step in way.steps:  # each word refers to the block before
        assert held.start <= int.from_bytes(made.read(step.word, 8), "little") < held.end
        held = step.block
    assert way.steps[-1] == Step(DATA + 80, None)


def test_patience_reaches_the_root_too(made, monkeypatch):
    monkeypatch.setattr(ways, "_PATIENCE", 40)
    monkeypatch.setattr(ways, "_WIDE", 4)
    make_tree(made, 1023)
    search = made.search()
    assert [*search.backwards(block(1022))] == []
    way = next(search.backwards_further())
    assert len(way.steps) == 10


def test_it_ends_when_it_is_told_to(made):
    def check():
        raise OverError("over")

    made.write(DATA, block(3).start)
    with pytest.raises(OverError, match="over"):
        next(made.search(check=check).backwards(block(3)))


def test_blocks_of_unknown_bounds_may_overlap(made):
    first, second = Block(HEAP, HEAP + 100, False), Block(HEAP + 40, HEAP + 140, False)
    made.write(DATA, HEAP + 8)
    made.write(DATA + 8, HEAP + 120)
    assert [*made.passes().find([second, first])] == [(first, [DATA]), (second, [DATA + 8])]


def test_index_knows_what_is_referred_to_before_an_address(made):
    made.write(DATA, HEAP + 96)
    made.write(DATA + 8, FAR)
    index = made.indexed()
    assert index.nearest(HEAP + 95) is None
    assert index.nearest(HEAP + 96) == HEAP + 96
    assert index.nearest(HEAP + 960) == HEAP + 96
    assert index.nearest(FAR + 8) == FAR
    assert index.seeds.tolist() == [DATA, DATA + 8]
    assert len(index) == 2


def test_index_that_would_be_too_large(made):
    for number in range(200):
        made.write(DATA + 8 * number, HEAP)
    roots, blocks = made.split()
    with pytest.raises(TooLargeError):
        make_index(made.read, roots, blocks, 100 * 8, made.count)


def test_index_agrees_with_a_plain_search(made):
    random = np.random.default_rng(5)
    places = [
        *range(DATA, DATA + SIZE, 8),
        *range(HEAP, HEAP + SIZE, 8),
        *range(FAR, FAR + SIZE, 8),
    ]
    targets = {}
    for at in random.choice(len(places), 5000, replace=False).tolist():
        value = (HEAP, FAR)[at % 2] + int(random.integers(0, SIZE))
        made.write(places[at], value)
        targets[places[at]] = value & ~7
    index = made.indexed()
    for start in (HEAP, HEAP + 4096, HEAP + SIZE - 64, FAR, FAR + 8000):
        wanted = sorted(at for at, value in targets.items() if start <= value < start + 64)
        assert sorted(index.find(start, start + 64, 10_000)) == wanted
        assert len(index.find(start, start + 64, 1)) == min(len(wanted), 1)


def test_numbers_of_words():
    numbering = Numbering([Range(0x1000, 0x1020), Range(0x3000, 0x3010)])
    assert len(numbering) == 6
    assert [numbering.number(at) for at in (0, 0x1000, 0x1018, 0x2000, 0x3008, 0x9000)] == [
        *(0, 0, 3, 4, 5, 6)
    ]
    assert [numbering.address(number) for number in (0, 3, 4, 5)] == [
        *(0x1000, 0x1018, 0x3000, 0x3008)
    ]
    assert len(Numbering([])) == 0


class TestTerritory:
    """Areas and what lies between."""

    def test_the_first_area_wins_where_two_overlap(self):
        areas = [
            Area(0x2000, 0x3000, Kind.THREAD, thread=1),
            Area(0x1000, 0x4000, Kind.STACK, thread=1),
        ]
        territory = Territory(areas)
        kinds = [territory.find(at) for at in (0xFFF, 0x1000, 0x2000, 0x3000, 0x4000)]
        assert [area and area.kind for area in kinds] == [
            *(None, Kind.STACK, Kind.THREAD, Kind.STACK, None)
        ]

    def test_areas_are_whole_words(self):
        [area] = Territory([Area(0x1003, 0x1011, Kind.THREAD)]).areas
        assert (area.start, area.end) == (0x1000, 0x1018)

    def test_what_belongs_to_nobody_is_neither_root_nor_block(self):
        territory = Territory(
            [Area(0x1000, 0x2000, Kind.MODULE)], [(0x1100, 0x1200), (0x5004, 0x5100)]
        )
        roots, blocks = territory.split([Range(0x800, 0x1800), Range(0x5000, 0x6000)])
        assert roots == [(0x1000, 0x1100), (0x1200, 0x1800)]
        assert blocks == [(0x800, 0x1000), (0x5000, 0x5008), (0x5100, 0x6000)]
        assert territory.find(0x1180).kind is Kind.ALLOCATOR
        assert territory.find(0x5000) is None

    def test_areas_that_hold_nothing_are_no_roots(self):
        areas = [Area(0x1000, 0x1800, Kind.DEAD), Area(0x1800, 0x2000, Kind.STACK)]
        assert Territory(areas).split([Range(0x1000, 0x2000)]) == ([(0x1800, 0x2000)], [])
