"""Classes of sizes, and how they grow from census to census."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdbleak.census.classes import Blocks, make_classes, of_chunks
from gdbleak.census.series import Series
from gdbleak.heap.size_classes import key_of
from gdbleak.report.heap import Amount, SizeClass


def test_small_sizes_stand_for_themselves():
    assert [key_of(size) for size in range(1, 1033)] == [*range(1, 1033)]


@given(st.integers(1033, 1 << 40))
def test_large_sizes_share_a_class_with_those_like_them(size):
    low = key_of(size)
    assert low <= size < low * 1.125 + 1
    assert key_of(low) == low


@given(st.lists(st.integers(1, 1 << 30), min_size=2, max_size=20))
def test_classes_are_in_order(sizes):
    keys = [key_of(size) for size in sorted(sizes)]
    assert keys == sorted(keys)


def test_blocks_of_chunks():
    assert of_chunks({32: 5, 112: 1}) == [Blocks(24, 32, 5), Blocks(104, 112, 1)]


def test_classes():
    used = [Blocks(24, 32, 5), Blocks(2000, 2008, 1), Blocks(1990, 1998, 2)]
    free = [Blocks(24, 32, 3), Blocks(40, 48, 7), Blocks(24, 32, 1)]
    classes = make_classes(used, free)
    assert classes == {
        24: SizeClass(24, 24, Amount(5, 160), Amount(4, 128)),
        1920: SizeClass(1990, 2000, Amount(3, 2008 + 2 * 1998), Amount()),
        40: SizeClass(40, 40, Amount(), Amount(7, 336)),
    }
    assert make_classes([], []) == {}


def census(**counts):
    """Return the classes of a census, by size: s24=5."""
    return make_classes(
        [Blocks(int(size[1:]), int(size[1:]) + 8, count) for size, count in counts.items()], []
    )


def series_of(*counts, step_s=10.0):
    series = Series()
    for number, each in enumerate(counts):
        series.add(number * step_s, census(**each))
    return series


def test_a_single_census_is_ranked_by_bytes_and_knows_no_growth():
    ranked = series_of({"s24": 10, "s1000": 3, "s40": 7}).rank()
    assert [each.low for each in ranked] == [1000, 40, 24]
    assert {each.growth for each in ranked} == {None}


def test_what_grows_steadily_comes_first_and_what_is_large_does_not():
    counts = [
        {"s24": 100 + 50 * n, "s200": 100_000, "s56": 300 + (n % 2) * 9000, "s72": 4000 - n}
        for n in range(8)
    ]
    ranked = series_of(*counts).rank()
    assert [each.low for each in ranked] == [24, 200, 56, 72]
    growth = ranked[0].growth
    assert (growth.count.slope, growth.bytes.slope) == (5.0, 160.0)
    assert growth.count.steadiness == growth.bytes.steadiness == 1.0
    assert growth.history == tuple(100 + 50 * n for n in range(8))


def test_one_jump_is_no_growth():
    counts = [{"s24": 100, "s40": 10 if n < 4 else 100_000} for n in range(8)]
    ranked = series_of(*counts).rank()
    assert {each.growth.bytes.slope for each in ranked} == {0.0}


def test_sizes_that_come_and_go():
    """Before a size came and after it went there are no blocks of it."""
    series = series_of({"s24": 5}, {"s24": 6, "s40": 1}, {"s40": 2})
    found = {each.low: each for each in series.rank()}
    assert found[24].growth.history == (5, 6, 0)
    assert found[40].growth.history == (0, 1, 2)
    assert (found[24].in_use, found[40].in_use) == (Amount(), Amount(2, 96))
    assert len(series) == 3


@pytest.mark.parametrize("number", [2, 3, 70])
def test_growth_of_few_and_many_censuses(number):
    ranked = series_of(*({"s24": 10 * n} for n in range(number))).rank()
    assert ranked[0].growth.count.slope == 1.0
    assert len(ranked[0].growth.history) == number


def test_censuses_without_a_heap():
    assert series_of({}, {}).rank() == ()
