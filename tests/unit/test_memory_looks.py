"""What looks at memory see, what is concluded from several, and who holds a block."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.memory import look as looking
from gdbleak.memory.flood import Flood
from gdbleak.memory.holding import SAMPLE, find_ways
from gdbleak.memory.judgement import State, find_reached, judge
from gdbleak.memory.look import Ranges, TooManyError, disown, harden, join, look
from gdbleak.memory.pieces import Range
from gdbleak.memory.table import Table

HELD, LOST, LOST_WITH = State.HELD, State.LOST, State.LOST_WITH
OUTSIDE, BLOCKS, SIZE = 0x1000, 0x100000, 64
"""Where words are that are in no block; where the blocks are, and what each takes."""
NOTHING = Ranges([])


def block(number):
    """Return the address of a block."""
    return BLOCKS + SIZE * number


def within(number, word=0):
    """Return the address of a word in a block."""
    return block(number) + 8 * word


class Memory:
    """Words by their addresses; all others are 0."""

    def __init__(self, count, words):
        self.table = Table([(block(n), SIZE) for n in range(count)])
        self.words = words
        self.count = count
        self.told = 0

    def read(self, address, size):
        found = np.zeros(size // 8, np.uint64)
        for place, word in self.words.items():
            if address <= place < address + size:
                found[(place - address) // 8] = word
        return found.tobytes()

    def tell(self, size):
        self.told += size

    def look(self, free=NOTHING, backwards=False):
        ranges = [Range(OUTSIDE, OUTSIDE + 0x1000), Range(BLOCKS, block(self.count))]
        return look(self.table, self.read, ranges, self.tell, free, backwards)


def judge_words(count, *worlds, registers=()):
    """Return the judgement on blocks, given the words that were there at each look."""
    held = np.zeros(count, bool)
    held[[*registers]] = True
    return judge([Memory(count, words).look() for words in worlds], held)


def states_of(count, *worlds, registers=()):
    return judge_words(count, *worlds, registers=registers).states.tolist()


# The same, slowly.


class Seen(NamedTuple):
    place: int
    holder: int | None
    target: int


def see(count, words):
    """Return the references of one look."""

    def find(address, end_counts):
        number, rest = divmod(address - BLOCKS, SIZE)
        if end_counts and number == count and rest == 0:
            return number - 1
        return number if 0 <= number < count else None

    found = set()
    for place, word in words.items():
        target, holder = find(word, True), find(place, False)
        if target is not None and target != holder:
            found.add(Seen(place, holder, target))
    return found


def spread(seeds, references):
    """Return what is reached from seeds, these among them."""
    reached, follow = set(), [*seeds]
    while follow:
        number = follow.pop()
        if number not in reached:
            reached.add(number)
            follow += [each.target for each in references if each.holder == number]
    return reached


def judge_naively(count, *worlds, registers=()):
    every = [see(count, words) for words in worlds]
    reached = set()
    for references in every:
        roots = {each.target for each in references if each.holder is None}
        reached |= spread({*registers, *roots}, references)
    union, always = set.union(*every), set.intersection(*every)
    moved = {each.target for each in union - always}
    held = spread(reached | moved, union)
    referred = {each.target for each in union}
    return [
        HELD if number in held else LOST_WITH if number in referred else LOST
        for number in range(count)
    ]


@st.composite
def some_worlds(draw):
    """Return a number of blocks, the words of three looks, and what registers refer to."""
    count = draw(st.integers(1, 12))
    numbers = st.integers(0, count - 1)
    outside = st.integers(0, 4).map(lambda n: OUTSIDE + 8 * n)
    place = st.one_of(outside, st.builds(within, numbers, st.integers(0, 7)))
    inner = st.integers(0, SIZE - 1)
    word = st.one_of(
        st.builds(lambda number, offset: block(number) + offset, numbers, inner),
        st.sampled_from([0, BLOCKS - 1, block(count), block(count) + 1]),
    )
    still = draw(st.dictionaries(place, word, max_size=30))
    worlds = [still | draw(st.dictionaries(place, word, max_size=3)) for _ in range(3)]
    return count, worlds, draw(st.sets(numbers, max_size=1))


@given(some_worlds())
def test_judgement(case):
    count, worlds, registers = case
    found = states_of(count, *worlds, registers=registers)
    assert found == judge_naively(count, *worlds, registers=registers)


@given(some_worlds(), st.booleans())
def test_look(case, backwards):
    count, (words, *_), _ = case
    memory = Memory(count, words)
    seen, expected = memory.look(backwards=backwards), see(count, words)
    roots = {n: at for n, at in enumerate(seen.roots.tolist()) if at}
    outside = {(each.place, each.target) for each in expected if each.holder is None}
    assert {*roots} == {target for _, target in outside}
    assert {(at, n) for n, at in roots.items()} <= outside
    inside = [each for each in sorted(expected) if each.holder is not None]
    assert [*zip(seen.places.tolist(), seen.holders.tolist(), seen.targets.tolist())] == inside
    assert seen.scanned_bytes == memory.told == 0x1000 + SIZE * count


@given(some_worlds())
def test_ways_lead_to_roots(case):
    """Each step of the way is a reference that was seen, and the root is outside or a register."""
    count, worlds, registers = case
    judgement = judge_words(count, *worlds, registers=registers)
    looks = [Memory(count, words).look() for words in worlds]
    union = set.union(*(see(count, words) for words in worlds))
    ways = find_ways(judgement, looks, [0] * count)
    roots = {each.target for each in union if each.holder is None} | registers
    assert {way.block for way in ways} == spread(roots, union)
    parents = judgement.parents.tolist()
    for way in ways:
        chain = [way.block]
        while parents[chain[-1]] >= 0:
            chain.append(parents[chain[-1]])
        assert way.hops == len(chain) - 1
        for target, parent in zip(chain, chain[1:]):
            assert any((each.holder, each.target) == (parent, target) for each in union)
        if way.root:
            assert Seen(way.root, None, chain[-1]) in union
        else:
            assert chain[-1] in registers
        holder = chain[1] if way.hops else None
        direct = Seen(way.holder, holder, way.block)
        assert direct in union or (way.holder == way.root == 0 and not way.hops)


RING = {within(0): block(1), within(1): block(2), within(2): block(0)}


def test_shapes():
    assert states_of(3, {}) == [LOST] * 3
    assert states_of(3, RING) == [LOST_WITH] * 3
    assert states_of(3, RING | {OUTSIDE: block(1) + 5}) == [HELD] * 3
    assert states_of(3, RING, registers=[2]) == [HELD] * 3
    listed = {within(0): block(1), within(1): block(2)}
    assert states_of(3, listed) == [LOST, LOST_WITH, LOST_WITH]
    assert states_of(3, listed | {OUTSIDE: block(1)}) == [LOST, HELD, HELD]
    assert states_of(3, listed | {OUTSIDE: block(0)}) == [HELD] * 3
    # A block does not hold itself.
    assert states_of(2, {within(0): block(0), within(0, 7): block(1) - 1}) == [LOST, LOST]


def test_one_look_that_has_seen_it_is_enough():
    assert states_of(1, {}, {}, {OUTSIDE: block(0)}) == [HELD]
    assert states_of(2, {}, RING, {OUTSIDE: block(0)}) == [HELD, HELD]


def test_a_reference_that_moves_between_lost_blocks():
    still, there, gone = {within(0): block(1)}, {within(0, 1): block(1)}, {}
    assert states_of(2, still, still, still) == [LOST, LOST_WITH]
    for other in (there, gone):
        assert states_of(2, still, still, other) == [LOST, HELD]
        assert states_of(2, other, still, still) == [LOST, HELD]
        assert states_of(2, still, other, still) == [LOST, HELD]


def test_a_reference_that_is_exchanged_for_another():
    """The word is the same, and what it refers to is not."""
    assert states_of(3, {within(0): block(1)}, {within(0): block(2)}) == [LOST, HELD, HELD]


def test_what_moved_holds_what_it_refers_to():
    there = {within(0): block(1), within(1): block(2), within(2): block(3)}
    here = {**there, within(0): 0, within(0, 3): block(1)}
    assert states_of(4, there, here) == [LOST, HELD, HELD, HELD]


def test_what_one_look_reaches():
    seen = Memory(3, {OUTSIDE: block(0), within(0): block(1)}).look()
    assert find_reached(seen).tolist() == [True, True, False]
    assert find_reached(seen, np.array([False, False, True])).all()


def test_memory_of_a_block_that_was_freed_meanwhile():
    """What stands there may be somebody else's by now."""
    words = {within(0): block(1), within(1): block(2), within(3): block(1)}
    looks = [Memory(4, words).look()] * 3
    held = np.zeros(4, bool)
    assert judge(looks, held).states.tolist() == [LOST, LOST_WITH, LOST_WITH, LOST]
    disowned = disown(looks, np.array([False, False, False, True]))
    judgement = judge(disowned, held)
    assert judgement.states.tolist() == [LOST, HELD, HELD, LOST]
    assert judgement.roots.tolist() == [0, within(3), 0, 0]
    assert judge(disown(looks, ~held), held).states.tolist() == [LOST, HELD, HELD, LOST]
    assert judge(disown(looks, held), held).states.tolist() == judge(looks, held).states.tolist()


@given(some_worlds(), st.integers(OUTSIDE, OUTSIDE + 40))
def test_looks_at_two_parts(case, border):
    """Together they have seen what one look at the whole has."""
    count, (words, *_), registers = case
    free = Ranges([(OUTSIDE + 8, OUTSIDE + 24)])
    parts = [
        Memory(count, {at: word for at, word in words.items() if (at < border) is is_below})
        for is_below in (True, False)
    ]
    joined = join(*(part.look(free) for part in parts))
    whole = Memory(count, words).look(free)
    held = np.zeros(count, bool)
    held[[*registers]] = True
    assert ((joined.roots > 0) == (whole.roots > 0)).all()
    assert sorted(joined.weak[0]) == sorted(whole.weak[0])
    for looks in ([joined, whole], [whole, joined]):
        assert judge(looks, held).states.tolist() == judge([whole], held).states.tolist()
    assert joined.scanned_bytes == 2 * whole.scanned_bytes


def test_words_that_belong_to_nobody():
    """They count if their memory has an owner at the end."""
    free = Ranges([(OUTSIDE + 8, OUTSIDE + 24), (OUTSIDE + 64, OUTSIDE + 72)])
    words = {OUTSIDE: block(0), OUTSIDE + 16: block(1), OUTSIDE + 64: block(2)}
    seen = Memory(4, words | {OUTSIDE + 24: block(3)}).look(free)
    assert (seen.roots > 0).tolist() == [True, False, False, True]
    assert [*zip(*(each.tolist() for each in seen.weak))] == [
        (OUTSIDE + 16, 1),
        (OUTSIDE + 64, 2),
    ]
    assert (harden([seen], free)[0].roots > 0).tolist() == [True, False, False, True]
    later = Ranges([(OUTSIDE + 64, OUTSIDE + 72)])
    hardened = harden([seen, seen], later)
    assert [(each.roots > 0).tolist() for each in hardened] == [[True, True, False, True]] * 2
    assert hardened[0].roots[1] == OUTSIDE + 16
    assert (seen.roots > 0).tolist() == [True, False, False, True]
    assert (harden([seen], NOTHING)[0].roots > 0).all()


def test_words_in_a_block_have_an_owner():
    free = Ranges([(BLOCKS, block(2))])
    seen = Memory(2, {within(0): block(1)}).look(free)
    assert (seen.targets.tolist(), len(seen.weak[0])) == ([1], 0)


@given(st.sets(st.integers(0, 40)), st.lists(st.integers(0, 45)))
def test_ranges(numbers, places):
    ordered = sorted(numbers)
    ranges = [*zip(ordered[::2], ordered[1::2])]
    found = Ranges(ranges).have(np.array(places, np.uint64)).tolist()
    assert found == [any(start <= place < end for start, end in ranges) for place in places]


def test_too_many_references(monkeypatch):
    monkeypatch.setattr(looking, "MOST_REFERENCES", 3)
    words = {within(0, n): block(1) for n in range(3)}
    assert len(Memory(2, words).look().places) == 3
    with pytest.raises(TooManyError):
        Memory(2, {**words, within(0, 3): block(1)}).look()


# Large ones.


def flood(count, pairs, seeds):
    holders, targets = np.array(pairs, np.int64).reshape(-1, 2).T
    wanted = np.zeros(count, bool)
    wanted[seeds] = True
    return Flood(count, holders, targets).reach(wanted)


@pytest.mark.parametrize("ways", [1, 31, 32, 33, 100])
def test_lists_of_many_nodes(ways):
    """They are followed at once, however many at the same time."""
    count = 100_000 * min(ways, 4) // ways * ways
    pairs = np.array([np.arange(count - ways), np.arange(ways, count)]).T
    began_s = time.process_time()
    reached, parents = flood(count, pairs, [*range(ways)])
    assert time.process_time() - began_s < 20
    assert reached.all()
    assert np.array_equal(parents[ways:], np.arange(count - ways))
    assert (parents[:ways] == -1).all()


def test_no_references():
    reached, parents = flood(3, [], [1])
    assert (reached.tolist(), parents.tolist()) == ([False, True, False], [-1] * 3)
    assert flood(3, [(0, 1)], [])[0].tolist() == [False] * 3


def test_a_fan():
    """One block refers to many, and these to another one."""
    count = 100_002
    pairs = [(0, n) for n in range(1, count - 1)] + [(n, count - 1) for n in range(1, count - 1)]
    reached, parents = flood(count, pairs, [0])
    assert reached.all()
    assert (parents[1:-1] == 0).all()
    assert 0 < parents[-1] < count - 1


def test_sample_of_each_group():
    count = 1000
    words = {OUTSIDE + 8 * n: block(n) for n in range(512)}
    words |= {within(0, 3): block(900), within(900, 1): block(901)}
    looks = [Memory(count, words).look()] * 3
    judgement = judge(looks, np.zeros(count, bool))
    groups = [0 if n < 500 else n for n in range(count)]
    ways = {way.block: way for way in find_ways(judgement, looks, groups)}
    of_first = [number for number in ways if number < 500]
    assert SAMPLE // 2 <= len(of_first) <= SAMPLE
    assert max(of_first) > 400
    assert {number for number in ways if number >= 500} == {*range(500, 512), 900, 901}
    assert ways[510][1:] == (OUTSIDE + 8 * 510, OUTSIDE + 8 * 510, 0, 510)
    assert ways[900][1:] == (within(0, 3), OUTSIDE, 1, 0)
    assert ways[901][1:] == (within(900, 1), OUTSIDE, 2, 0)


def test_a_way_that_is_long():
    count = 100_001
    memory = Memory(count, {})
    words = np.zeros(SIZE * count // 8, np.uint64)
    words[:: SIZE // 8] = BLOCKS + SIZE * np.arange(1, count + 1)
    words[-SIZE // 8] = 0
    first = np.zeros(0x1000 // 8, np.uint64)
    first[1] = BLOCKS
    parts = {OUTSIDE: first.tobytes(), BLOCKS: words.tobytes()}

    def read(address, size):
        start = max(each for each in parts if each <= address)
        return parts[start][address - start : address - start + size]

    ranges = [Range(OUTSIDE, OUTSIDE + 0x1000), Range(BLOCKS, block(count))]
    looks = [look(memory.table, read, ranges, memory.tell, NOTHING)] * 3
    began_s = time.process_time()
    judgement = judge(looks, np.zeros(count, bool))
    assert time.process_time() - began_s < 10
    assert (judgement.states == HELD).all()
    ways = find_ways(judgement, looks, [*range(count)])
    assert [way.root for way in ways] == [OUTSIDE + 8] * count
    assert [way.hops for way in ways] == [*range(count)]
