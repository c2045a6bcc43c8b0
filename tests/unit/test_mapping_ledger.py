"""The books of mappings: each rule a row, and any history told by a set of pages."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.ledger.blocks import FILE_MAPPING, MAPPING
from gdbleak.ledger.heap import Ledger, ignore
from gdbleak.ledger.mappings import MAP_ANONYMOUS, PAGE_BYTES, MappingLedger
from gdbleak.recording.references import LOST

A = 0x10000
P = PAGE_BYTES


class Books(MappingLedger):
    """A ledger whose calls need no more than what a row is about."""

    def __init__(self):
        self._gone = []
        self._calls = 0
        super().__init__(self._gone.append, ignore, ignore)

    @property
    def blocks(self):
        """Every mapping that was made, in the order of the calls that made it."""
        return sorted([*self._gone, *self.survivors], key=lambda block: block.stack)

    def count(self):
        """Return the number of the next call."""
        self._calls += 1
        return self._calls

    def map_pages(self, start, pages, flags=MAP_ANONYMOUS):
        self.map(A + start * P, pages * P, flags, 0, 1, self.count())

    def unmap_pages(self, start, pages):
        self.unmap(A + start * P, pages * P, 1)

    def remap_pages(self, old, old_pages, new, new_pages):
        self.remap(A + old * P, old_pages * P, A + new * P, new_pages * P, 2, 1, self.count())

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
    "grown twice": ([("remap", 0, 4, 20, 6), ("remap", 20, 6, 40, 8)], [4]),
    "grown twice, and unmapped": (
        [("remap", 0, 4, 20, 6), ("remap", 20, 6, 40, 8), ("unmap", 40, 8)],
        [0],
    ),
    "what was grown cut off": ([("remap", 0, 4, 20, 6), ("remap", 20, 6, 20, 4)], [0]),
    "one of before moved onto another": ([("map", 20, 4), ("remap", 0, 2, 20, 2)], [2]),
    "two moved at once": ([("map", 0, 2), ("map", 2, 2), ("remap", 0, 4, 20, 3)], [2, 1]),
    "two grown at once": ([("map", 0, 2), ("map", 2, 2), ("remap", 0, 4, 20, 6)], [2, 4]),
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
    books.map(A, 1, MAP_ANONYMOUS, 0, 1, 1)
    books.map(A + P, P + 1, MAP_ANONYMOUS, 0, 1, 2)
    books.unmap(A + P, 1, 1)
    assert books.pages() == [1, 1]


def test_what_was_found_by_references():
    ledger = Ledger(ignore)
    ledger.mappings.map(A, 8 * P, MAP_ANONYMOUS, 7, 1, 1)
    ledger.mappings.map(A + 8 * P, P, MAP_ANONYMOUS, 8, 1, 2)
    ledger.reach([(A, 7, LOST), (A + 8 * P, 7, LOST), (A + 9 * P, 7, LOST)])
    assert [block.reach for block in ledger.survivors] == [LOST, 0]


def test_kind():
    books = Books()
    books.map_pages(0, 1, flags=2)
    books.map_pages(8, 1, flags=2 | MAP_ANONYMOUS)
    assert [block.kind for block in books.blocks] == [FILE_MAPPING, MAPPING]


def test_break():
    books = Books()
    books.set_break(A, 0, 1, 0)  # where it was is not known
    books.set_break(A + 100, 0, 1, 1)
    books.move_break(A + 100, 50, 0, 1, 2)
    books.move_break(A + 150, -70, 0, 1, 3)
    books.set_break(A + 90, 0, 1, 4)
    assert [block.size for block in books.blocks] == [80, 0, 10]


def test_unmapping_that_the_kernel_refuses():
    books = Books()
    books.map_pages(0, 4)
    books.unmap(A + 1, P, 1)
    books.unmap(A, 0, 1)
    assert books.pages() == [4]


pages = st.integers(0, 20)
counts = st.integers(1, 8)
calls = st.one_of(
    st.tuples(st.just("map"), pages, counts),
    st.tuples(st.just("unmap"), pages, counts),
    st.tuples(st.just("remap"), pages, counts, pages, counts),
)


def overlap(first, first_pages, second, second_pages):
    return first < second + second_pages and second < first + first_pages


@given(st.lists(calls, max_size=30))
def test_any_history_is_that_of_its_pages(history):
    """Page by page: who owns it, None for nobody who is known."""
    books = Books()
    owner: dict[int, int | None] = {}
    mappings = 0
    for name, start, size, *target in history:
        if name == "remap" and target[0] != start and overlap(start, size, *target):
            continue  # the kernel refuses to move a range onto itself
        getattr(books, f"{name}_pages")(start, size, *target)
        if name != "remap":
            for page in range(start, start + size):
                owner[page] = mappings if name == "map" else None
            mappings += name == "map"
            continue
        moved = [owner.pop(page, None) for page in range(start, start + size)]
        new, new_size = target
        grown = new_size - size
        heir = moved[-1]
        if grown > 0 and heir is None:
            heir = mappings
            mappings += 1
        for number in range(new_size):
            owner[new + number] = moved[number] if number < size else heir
    left = Counter(number for number in owner.values() if number is not None)
    assert books.pages() == [left[number] for number in range(mappings)]
