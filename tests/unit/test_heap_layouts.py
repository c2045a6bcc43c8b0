"""The rows of glibc's layouts, and which of them is chosen for a heap."""

from __future__ import annotations

import struct

import pytest

from gdbleak.heap.arenas import find_arenas
from gdbleak.heap.layouts import ARENAS, BINS, CACHES, FAST_BINS, SMALL_CACHE_BINS, cache_layout
from gdbleak.heap.snapshot import PAGE_BYTES, Snapshot

START = 0x7F0000200000
PLACE = 0x340
ROWS = pytest.mark.parametrize("layout", ARENAS, ids=lambda layout: layout.versions)


def put_arena(layout, system_mem=33 * PAGE_BYTES + 24):
    """Return memory with the main arena of one layout in it."""
    words = [0] * (2 * PAGE_BYTES // 8)

    def put(offset, word):
        words[(PLACE + offset) // 8] = word

    bins = START + PLACE + layout.bins
    for number in range(2 * BINS):
        put(layout.bins + 8 * number, bins + 16 * (number // 2) - 16)
    put(layout.next, START + PLACE)
    put(layout.system_mem, system_mem)
    return words


class Words:
    """Memory from START on."""

    def __init__(self, words):
        self._data = struct.pack(f"<{len(words)}Q", *words)

    def read(self, address, size):
        return self._data[address - START :][:size] if address >= START else b""


def found(words):
    arenas = find_arenas(Snapshot(Words(words)), words, START)
    return [(arena.address, arena.layout) for arena in arenas]


@ROWS
def test_an_arena_is_known_by_what_stands_in_it(layout):
    assert found(put_arena(layout)) == [(START + PLACE, layout)]


@pytest.mark.parametrize("threads", [0, 1, 300])
def test_an_arena_that_counts_its_threads(threads):
    """The 2.17 of RHEL 7 has the arena of 2.23, which counts them where 2.17 has its size."""
    older, newer = (
        next(row for row in ARENAS if row.versions.startswith(v)) for v in ("2.17", "2.23")
    )
    words = put_arena(newer)
    words[(PLACE + older.system_mem) // 8] = threads
    assert found(words) == [(START + PLACE, newer)]


@ROWS
def test_an_arena_that_has_no_memory_yet(layout):
    [(address, chosen)] = found(put_arena(layout, system_mem=0))
    assert (address, chosen.bins, chosen.top) == (START + PLACE, layout.bins, layout.top)


@ROWS
def test_fields_of_an_arena_follow_each_other(layout):
    assert layout.bins == layout.top + 16
    if layout.fast_bins is not None:
        assert layout.top == layout.fast_bins + 8 * FAST_BINS
    assert layout.next == layout.bins + 16 * BINS + 16, "behind the map of the bins"
    assert layout.next < layout.system_mem == layout.size - 16


@pytest.mark.parametrize("layout", CACHES, ids=lambda layout: layout.versions)
def test_a_cache_fills_its_chunk(layout):
    assert cache_layout(layout.chunk_bytes) == cache_layout(layout.chunk_bytes + 16) == layout
    size = layout.entries + 8 * layout.bins
    assert layout.chunk_bytes == (size + 8 + 15) & -16
    assert layout.bins >= SMALL_CACHE_BINS


def test_a_chunk_that_no_cache_stands_in():
    assert cache_layout(0x2B0) is None
