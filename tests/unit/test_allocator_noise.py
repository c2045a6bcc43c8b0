"""Whatever stands where an allocator's structures should be: no wrong counts, and an end."""

from __future__ import annotations

import random
import struct
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest

from gdbleak.census.others.jemalloc import read_jemalloc
from gdbleak.census.others.mimalloc import read_mimalloc
from gdbleak.census.others.musl import read_musl
from gdbleak.census.others.structures import Memory
from gdbleak.census.others.tcmalloc import read_tcmalloc
from gdbleak.census.others.told import Count, merge, size_classes
from gdbleak.effort import Effort, EffortError
from gdbleak.memory.pieces import Range
from gdbleak.memory.source import Pages

PARSERS = read_jemalloc, read_mimalloc, read_musl, read_tcmalloc
DATA, HEAP = 0x10000000, 0x7F0000000000
TABLES = [8, 16, 32, 48, 64, 80, 96, 112, 128, 160], [0, 8, 16, 32, 48, 64, 80, 96, 112, 128]


class Words:
    """A process of two mappings."""

    def __init__(self, data, heap):
        self._contents = {DATA: data, HEAP: heap}

    def read_mappings(self):
        return [
            SimpleNamespace(
                start=start, end=start + len(content), permissions="rw-p", inode=0, path=""
            )
            for start, content in self._contents.items()
        ]

    def find_pages(self, start, end):
        return [
            Pages(max(start, each.start), min(end, each.end), False)
            for each in self.read_mappings()
            if each.start < end and start < each.end
        ]

    def find_waiting(self):
        return {}

    def find_stacks(self, waiting):
        return dict.fromkeys(waiting, (0, 0))

    def read(self, address, size):
        for start, content in self._contents.items():
            if start <= address < start + len(content):
                return content[address - start : address - start + size]
        return b""


def random_words(seed, count, heap_bytes):
    """Return words that look like addresses in the heap, small numbers, or anything."""
    choose = random.Random(seed)
    words = []
    while len(words) < count:
        kind = choose.randrange(6)
        if kind < 3:
            words.append(HEAP + choose.randrange(0, heap_bytes, (8, 64, 4096)[kind]))
        elif kind == 3:
            words.append(choose.randrange(1 << choose.randrange(1, 64)))
        else:
            words += [choose.choice((0, 1, 8, 0x100000001))] * choose.randrange(1, 40)
    return words[:count]


def packed(words):
    return struct.pack(f"<{len(words)}Q", *words)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("parser", PARSERS)
def test_noise(parser, seed):
    """Words at random, with the tables of sizes that lead on to the rest."""
    size = 8 << 20
    data = random_words(seed, 1 << 14, size)
    data[100:110] = TABLES[0]
    halves = np.array(TABLES[1] + [*range(144, 4000, 16)][:118], np.int32)
    data[1000:1064] = halves.view(np.uint64).tolist()
    process = Words(packed(data), packed(random_words(seed + 50, size // 8, size)))
    with suppress(EffortError):
        told = parser(process, [Range(DATA, DATA + 8 * len(data))], Effort(10**7, seconds=2.0))
        assert told is None


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("word", [0, 1, HEAP, HEAP + 8, 2**64 - 1])
def test_one_word_everywhere(parser, word):
    process = Words(packed([word] * 4096), packed([word] * (1 << 18)))
    with suppress(EffortError):
        assert parser(process, [Range(DATA, DATA + 8 * 4096)], Effort(10**7, seconds=5.0)) is None


def test_records_are_read_together_and_apart():
    words = [*range(1 << 18)]
    memory = Memory(Words(packed([0] * 512), packed(words)), Effort())
    places = [0, 8, 8000, 1 << 20, (1 << 21) - 16, (1 << 21) - 8, 3, 1 << 30]
    rows = memory.gather(np.array([HEAP + at for at in places], np.uint64), 2)
    last = (1 << 18) - 1
    assert rows.tolist() == [
        *([at // 8, at // 8 + 1] for at in places[:5]),
        [last, 0],  # the second is not mapped
        [0, 0],
        [0, 0],
    ]


def test_reading_costs_effort():
    memory = Memory(Words(packed([0] * 512), packed([0] * 4096)), Effort(10))
    memory.word(HEAP)
    memory.word(HEAP)
    with pytest.raises(EffortError):
        memory.word(HEAP)


def test_size_classes():
    counts = {16: Count(3, 1), 32: Count(5, 0), 48: Count(0, 0), 64: Count(0, 2)}
    classes = size_classes(counts)
    assert [each.high for each in classes] == [32, 16, 64]
    assert (classes[0].in_use.bytes, classes[1].free.bytes) == (160, 16)


def test_merge():
    assert merge([(5, 7), (1, 3), (3, 4), (6, 6), (2, 3)]) == ((1, 4), (5, 7))
