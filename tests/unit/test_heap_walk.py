"""The walk over millions of chunks at once, beside the loop that goes from one to the next."""

from __future__ import annotations

import random

import numpy as np
import pytest
from heap_memory import START, Memory, grains, words_of
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.fuzz import scaled

from gdbleak.heap.chunk import FLAGS, LARGEST_CHUNK, is_size
from gdbleak.heap.walk import HOPS, SEGMENT, are_sizes, choose_segment, find_chunks, walk

SIZE_WORDS = st.one_of(
    st.integers(2, 40).map(lambda grains: 16 * grains),
    st.integers(2, 1000).map(lambda grains: 16 * grains),
    st.sampled_from([0, 8, 16, 1 << 12, 1 << 20, 1 << 39, 1 << 40, 1 << 60, (1 << 64) - 16]),
)
ANY_WORDS = st.tuples(SIZE_WORDS, st.integers(0, 7)).map(lambda pair: pair[0] | pair[1])


def walk_one_by_one(words):
    """Return what `walk` returns, from the obvious loop."""
    at, places = 0, []
    while at < len(words):
        word = int(words[at])
        if not is_size(word) or word & 2:
            return places, at, True
        places.append(at)
        at += (word & ~FLAGS) >> 4
    return places, at, False


def assert_same(words):
    words = np.array(words, np.uint64)
    places, end, is_broken = walk_one_by_one(words)
    for segment in (SEGMENT, choose_segment(1, 1 << 20), 7):
        way = walk(words, segment)
        assert (way.places.tolist(), way.end, way.is_broken) == (places, end, is_broken)


@given(st.lists(ANY_WORDS, max_size=400))
@example([])
@example([0])
@example([0x21])
@example([0x31, 0, 0])
@settings(max_examples=scaled(100))
def test_any_words(words):
    assert_same(words)


@given(st.integers(0, 1 << 32), st.sampled_from([3, 40, 4000]), st.booleans())
@settings(max_examples=scaled(40))
def test_heaps_full_of_what_looks_like_chunks(seed, most, breaks):
    """Every word in a block is the size of a chunk that leads somewhere else."""
    chance = random.Random(seed)
    words = [chance.randrange(2, most) << 4 | 1 for _ in range(5000)]
    if breaks:
        for _ in range(3):
            words[chance.randrange(len(words))] = chance.choice([0, 0x10, 0x23, 0x18, 1 << 60])
    assert_same(words)


@pytest.mark.parametrize("grains", [255, 256, 257, 511, 512, 513, 2048])
def test_chunks_that_end_where_segments_do(grains):
    assert_same(([grains << 4 | 1] + [0x7FF1] * (grains - 1)) * 5)


def test_chunks_two_grains_apart_never_meet_the_others():
    """Cursors that begin between two chunks of the smallest size go on beside them for ever."""
    words = [0x21] * 3000
    words[0] = 0x31
    assert_same(words)


def test_a_chunk_that_is_longer_than_what_was_given():
    way = walk(np.array([0x41, 0, 0, 0, (1 << 30) | 1, 0], np.uint64))
    assert (way.places.tolist(), way.end, way.is_broken) == ([0, 4], 4 + (1 << 26), False)


def test_a_broken_first_chunk():
    way = walk(np.array([0x12, 0x21, 0x21], np.uint64))
    assert (way.places.tolist(), way.end, way.is_broken) == ([], 0, True)


@given(st.integers(0, (1 << 64) - 1))
@example(0x1F)
@example(0x20)
@example(LARGEST_CHUNK)
@example(LARGEST_CHUNK - 16)
def test_what_may_be_a_size(word):
    assert are_sizes(np.array([word], np.uint64))[0] == (is_size(word) and not word & 2)


def find_one_by_one(words, start):
    found = []
    for first in range(start, len(words)):
        at = first
        for _ in range(HOPS):
            if at >= len(words):
                found.append((first, False))
                break
            if not is_size(int(words[at])) or int(words[at]) & 2:
                break
            at += (int(words[at]) & ~FLAGS) >> 4
        else:
            found.append((first, True))
    return found


@given(st.lists(ANY_WORDS, max_size=200), st.integers(0, 210))
@settings(max_examples=scaled(60))
def test_finding_chunks(words, start):
    places, inside = find_chunks(np.array(words, np.uint64), start)
    assert [*zip(places.tolist(), inside.tolist())] == find_one_by_one(words, start)


def test_chunks_behind_what_is_broken_are_found():
    memory = Memory(4096 * 4)
    chunks, _ = memory.fill([48] * 200, at=START + 160)
    for at in range(START, START + 160, 8):
        memory.put(at, 0xDEADBEEFDEADBEEF)
    places, inside = find_chunks(words_of(memory))
    assert (places[0], inside[0]) == (grains(chunks)[0], True)
