"""The blocks that a search looks for: those of a ledger, without what overlaps."""

from __future__ import annotations

from typing import Any

import pytest

from gdbleak.follow.books import Books
from gdbleak.ledger.blocks import HEAP, MAPPING, Block


def block(address, size, born_ns, kind=HEAP):
    return Block(address, size, size, size, born_ns, None, 1, 0, 0, kind, False, False, 0, 0)


def listed(*blocks):
    nothing: Any = None
    books = Books((), (), nothing)
    books._replay.ledger._alive.update(enumerate(blocks))
    return [(each.address, each.born_ns) for each in books.list_blocks()]


def test_order():
    assert listed(block(96, 16, 1), block(32, 16, 2)) == [(32, 2), (96, 1)]


def test_mappings_hold_blocks_and_are_none():
    assert listed(block(0, 4096, 1, MAPPING), block(32, 16, 2)) == [(32, 2)]


@pytest.mark.parametrize(
    ("older", "younger"),
    [((32, 16), (32, 64)), ((48, 16), (32, 64)), ((32, 64), (48, 16)), ((32, 64), (80, 64))],
)
def test_of_two_that_overlap_the_older_was_freed(older, younger):
    first, second = block(older[0], older[1], 1), block(younger[0], younger[1], 2)
    expected = [(younger[0], 2)]
    assert listed(first, second) == expected
    assert listed(second, first) == expected


def test_a_large_one_that_has_taken_the_place_of_several():
    assert listed(*(block(at, 16, 1) for at in range(32, 96, 16)), block(40, 32, 2)) == [
        (40, 2),
        (80, 1),
    ]


def test_those_that_touch():
    assert listed(block(32, 16, 1), block(48, 0, 2), block(49, 8, 3)) == [(32, 1), (48, 2), (49, 3)]
