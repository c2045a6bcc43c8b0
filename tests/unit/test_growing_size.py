"""Which size `gdbleak hunt` has traced."""

from __future__ import annotations

import pytest
from heap_reports import growing, report, size

from gdbleak.plan.sizes import parse_sizes
from gdbleak.report.growing_size import choose_size
from gdbleak.report.heap import AllocatorUse, Amount

STEADY = (1000, 2000, 3000, 4000, 5000, 6000)
FAST = tuple(10 * count for count in STEADY)
UNSTEADY = (1000, 90_000, 10, 80_000, 5, 70_000)
SHRINKING = STEADY[::-1]


def option_of(*sizes, **changes):
    found = choose_size(report(sizes=sizes, **changes))
    return found and found.option


def test_the_fastest_of_those_that_grow_steadily():
    sizes = (growing(24, *STEADY), growing(40, *FAST), growing(200, *UNSTEADY))
    assert option_of(*sizes) == "40"
    assert option_of(*sizes[::-1], size(504, 10**6)) == "40"


@pytest.mark.parametrize(
    "sizes", [(), (size(24, 10**6),), (growing(24, *UNSTEADY), growing(40, *SHRINKING))]
)
def test_nothing_grows(sizes):
    assert option_of(*sizes) is None


def test_large_blocks_are_a_range():
    assert option_of(growing(2064, *STEADY, high=2544)) == "2064-2544"


def test_sizes_of_another_allocator_serve_what_the_next_smaller_one_does_not():
    sizes = (size(320, 5), growing(384, *FAST), growing(16, *STEADY))
    use = AllocatorUse("tcmalloc", "/lib/tcmalloc.so", Amount(1, 1), None, Amount(1, 1), sizes)
    assert option_of(growing(24, *STEADY), allocators=(use,)) == "321-384"
    first = AllocatorUse("x", "/x", Amount(1, 1), None, Amount(1, 1), (growing(16, *STEADY),))
    assert option_of(allocators=(first,)) == "0-16"
    jemalloc = (growing(1025, *STEADY, high=1280),)
    use = AllocatorUse("jemalloc", "/j", Amount(1, 1), None, Amount(1, 1), jemalloc)
    assert option_of(allocators=(use,)) == "1025-1280"


def test_what_is_chosen_can_be_traced():
    for low in (24, 40, 104, 1032):
        found = choose_size(report(sizes=(growing(low, *STEADY),)))
        assert parse_sizes(found.option).chunks == (low + 8, low + 8)
    found = choose_size(report(sizes=(growing(1040, *STEADY, high=1528),)))
    assert parse_sizes(found.option).chunks == (1056, 1536)
