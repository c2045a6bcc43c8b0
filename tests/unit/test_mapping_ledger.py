"""The books of mappings: each rule a row, and any history told by a set of pages."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.blocks import FILE_MAPPING, MAPPING
from gdbleak.mapping_ledger import MAP_ANONYMOUS, PAGE_BYTES, MappingLedger

A = 0x10000
P = PAGE_BYTES


class Books(MappingLedger):
    """A ledger whose calls need no more than what a row is about."""

    def map_pages(self, start, pages, flags=MAP_ANONYMOUS):
        self.map(A + start * P, pages * P, flags, 0, 1, 0)

    def unmap_pages(self, start, pages):
        self.unmap(A + start * P, pages * P, 1)

    def remap_pages(self, old, old_pages, new, new_pages):
        self.remap(A + old * P, old_pages * P, A + new * P, new_pages * P, 2, 1, 0)

    def pages(self):
        """Return how many pages are left of each mapping."""
        return [block.size / P for block in self.blocks]


ROWS = {
    "a mapping": ([("map", 0, 8)], [8]),
    "all of it unmapped": ([("map", 0, 8), ("unmap", 0, 8)], [0]),
    "its beginning unmapped": ([("map", 0, 8), ("unmap", 0, 3)], [5]),
    "its end unmapped": ([("map", 0, 8), ("unmap", 6, 9)], [6]),
    "its middle unmapped": ([("map", 0, 8), ("unmap", 2, 2)], [6]),
    "both sides of a hole unmapped": ([("map", 0, 8), ("unmap", 2, 2), ("unmap", 0, 8)], [0]),
    "two unmapped at once": ([("map", 0, 4), ("map", 4, 4), ("unmap", 1, 6)], [1, 1]),
    "one of before unmapped": ([("unmap", 0, 8)], []),
    "one replaced in part": ([("map", 0, 8), ("map", 2, 2)], [6, 2]),
    "grown in place": ([("map", 0, 4), ("remap", 0, 4, 0, 6)], [6]),
    "shrunk": ([("map", 0, 4), ("remap", 0, 4, 0, 1)], [1]),
    "moved": ([("map", 0, 4), ("remap", 0, 4, 20, 6), ("unmap", 0, 4)], [6]),
    "moved onto another": ([("map", 0, 4), ("map", 9, 2), ("remap", 0, 4, 8, 4)], [4, 0]),
    "a part moved": ([("map", 0, 4), ("remap", 2, 2, 20, 2)], [4]),
    "one of before grown": ([("remap", 0, 4, 20, 6)], [2]),
    "one of before shrunk": ([("remap", 0, 4, 0, 2)], []),
    "mapped a second time": ([("map", 0, 4), ("remap", 0, 0, 20, 4)], [4, 4]),
}


@pytest.mark.parametrize(("calls", "pages"), ROWS.values(), ids=ROWS)
def test_rule(calls, pages):
    books = Books()
    for name, *numbers in calls:
        getattr(books, f"{name}_pages")(*numbers)
    assert books.pages() == pages
    assert [block.freed_ns is not None for block in books.blocks] == [not left for left in pages]


def test_length_is_rounded_up_to_whole_pages():
    books = Books()
    books.map(A, 1, MAP_ANONYMOUS, 0, 1, 0)
    books.map(A + P, P + 1, MAP_ANONYMOUS, 0, 1, 0)
    books.unmap(A + P, 1, 1)
    assert books.pages() == [1, 1]


def test_kind():
    books = Books()
    books.map_pages(0, 1, flags=2)
    books.map_pages(8, 1, flags=2 | MAP_ANONYMOUS)
    assert [block.kind for block in books.blocks] == [FILE_MAPPING, MAPPING]


def test_break():
    books = Books()
    books.set_break(A, 0, 1, 0)  # where it was is not known
    books.set_break(A + 100, 0, 1, 0)
    books.move_break(A + 100, 50, 0, 1, 0)
    books.move_break(A + 150, -70, 0, 1, 0)
    books.set_break(A + 90, 0, 1, 0)
    assert [block.size for block in books.blocks] == [80, 0, 10]


ranges = st.tuples(st.integers(0, 20), st.integers(1, 8))


@given(st.lists(st.tuples(st.booleans(), ranges), max_size=30))
def test_any_history_of_maps_and_unmaps(history):
    books = Books()
    owner = {}
    for number, (is_map, (start, pages)) in enumerate(history):
        (books.map_pages if is_map else books.unmap_pages)(start, pages)
        for page in range(start, start + pages):
            owner[page] = number if is_map else None
    left = Counter(number for number in owner.values() if number is not None)
    maps = [number for number, (is_map, _) in enumerate(history) if is_map]
    assert books.pages() == [left[number] for number in maps]
