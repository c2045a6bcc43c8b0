"""How much of a window was recorded, and what is concluded from that."""

from __future__ import annotations

import random
from array import array

import pytest

from gdbleak.recording.events import Turn
from gdbleak.recording.phases import Phase
from gdbleak.recording.rate import Rate, unknown
from gdbleak.report.model import Sampling
from gdbleak.verdicts.sampling import Sample, choose_scale, estimate, measure_sampling
from gdbleak.verdicts.survival import ascending, survival

S = 1_000_000_000
ALL, FEWER, FREES, NONE, SETTLING = Phase


def turns(*changes):
    return [Turn(round(at * S), phase) for at, phase in changes]


@pytest.mark.parametrize(
    "changes",
    [
        [(5, ALL)],
        [(5, ALL), (7, FEWER)],
        [(5, ALL), (15, FREES)],
        [(5, ALL), (15, NONE), (16, FREES)],
        [(5, ALL), (15.001, NONE), (15.002, FREES)],
        [],
    ],
)
def test_a_window_without_a_gap_was_recorded_whole(changes):
    assert measure_sampling(turns(*changes), 15 * S, 100, Rate(1e6, 0)) is None


BURSTS = [(5, ALL), (6, NONE), (9, FEWER), (9.5, NONE), (12, FEWER), (12.5, NONE), (16, FREES)]


@pytest.mark.parametrize(
    ("rate", "calls", "high"),
    [
        (unknown(""), None, 5),  # the share of the time is all that is known
        (Rate(1000, 0), 10_000, 100),
        (Rate(10, 0), None, 5),  # it has allocated more than that since
    ],
)
def test_what_was_recorded(rate, calls, high):
    sampling = measure_sampling(turns(*BURSTS), 15 * S, 100, rate)
    assert sampling == Sampling(3, 2.0, 100, calls, 5, 5, high)


def test_a_burst_that_the_end_cuts_off():
    sampling = measure_sampling(turns((5, ALL), (6, NONE), (14, FEWER)), 15 * S, 10, unknown(""))
    assert (sampling.bursts, sampling.recorded_s) == (2, 2.0)


def test_nothing_recorded():
    sampling = measure_sampling(turns(*BURSTS), 15 * S, 0, unknown(""))
    empty = Sample([], [], 0.0, 0, 0)
    assert sampling
    assert choose_scale(sampling, [empty], 1, 10**9, unknown("")) == sampling
    assert estimate(empty, sampling, 1, 10.0).outstanding_count == 0


@pytest.mark.parametrize(
    ("freed", "alive", "age", "share"),
    [
        ([], [9, 9], 5, 1),
        ([1, 2], [], 5, 0),
        ([6, 7], [], 5, 1),
        ([1], [9], 5, 1 / 2),
        ([5], [9], 5, 1 / 2),
        ([1] * 3 + [8], [9], 5, 2 / 5),
        # Who is younger than the first that died says nothing about that age.
        ([3], [1, 1, 1, 9], 5, 1 / 2),
        # The product of Kaplan and Meier: 5 of 6, then 2 of 3.
        ([1, 4], [2, 2, 9, 9], 5, 5 / 6 * 2 / 3),
    ],
)
def test_survival(freed, alive, age, share):
    assert survival(freed, alive, age) == pytest.approx(share)


def sample(count, size=100, older_count=0, older_bytes=0):
    """Return a sample of blocks that all stay."""
    return Sample([], [9 * S] * count, size, older_count, older_bytes)


SAMPLING = Sampling(9, 1.0, 1000, 50_000, 10, 10, 50)


@pytest.mark.parametrize(
    ("growth", "scale"),
    [
        (None, 10),  # what is certain
        (0, 10),
        (15_000, 10),
        (40_000, 20),
        (10**9, 50),
    ],
)
def test_scale_is_what_the_resident_set_allows(growth, scale):
    samples = [sample(5), sample(10), Sample([1] * 500, [], 1000, 0, 0)]
    made = choose_scale(SAMPLING, samples, 5 * S, growth, Rate(1e4, 0))
    assert (made.scale, made.scale_low) == (scale, 10)


def test_rate_that_is_a_lower_bound_does_not_bound_from_above():
    def choose(at_least):
        rate = Rate(1e4, 0, at_least=at_least)
        made = choose_scale(SAMPLING, [sample(20)], 5 * S, 2_000_000, rate)
        return made.scale, made.scale_high

    assert choose(at_least=False) == (50, 750)
    assert choose(at_least=True) == (750, 750)


def test_blocks_that_are_freed_in_the_end_do_not_stay():
    """A queue: every block is found to be freed some time later, but the last ones not yet."""
    queue = Sample([S // 2] * 990, [S // 3] * 10, 100, 0, 0)
    assert estimate(queue, SAMPLING, 4 * S, 10.0).outstanding_count == 0
    leak = Sample([S // 2] * 950, [6 * S] * 75, 100, 0, 0)
    assert estimate(leak, SAMPLING, 4 * S, 10.0).outstanding_count == 1000


def test_older_blocks_stand_for_themselves():
    """A buffer that grows is resized in many bursts, and is one block all the same."""
    buffer = estimate(sample(0, older_count=1, older_bytes=5_000_000), SAMPLING, S, 10.0)
    assert (buffer.outstanding_count, buffer.outstanding_bytes) == (1, 5_000_000)
    assert buffer.outstanding_bytes_low == 5_000_000
    both = estimate(sample(6, 100, 1, 5_000_000), SAMPLING, S, 10.0)
    assert (both.outstanding_count, both.outstanding_bytes) == (81, 5_008_000)
    assert both.bytes_per_s == 500_800


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Exact intervals: scipy.stats.chi2.ppf(0.025, 2 * n) / 2, chi2.ppf(0.975, 2 * n + 2) / 2.
    [(1, 0.0253, 5.572), (4, 1.090, 10.24), (10, 4.795, 18.39), (100, 81.36, 121.6)],
)
def test_bounds_hold_both_doubts(count, low, high):
    # A third more, for the last blocks of each burst that do not count.
    scaled = estimate(sample(count, 750), SAMPLING, S, 10.0)
    # The approximation is poor for the lower end of the smallest counts, and on the safe side.
    assert scaled.outstanding_bytes_low == pytest.approx(10_000 * low, rel=0.02, abs=200)
    assert scaled.outstanding_bytes_high == pytest.approx(50_000 * high, rel=0.02)


@pytest.mark.parametrize("spread", [1, 3, 10**9])
@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 5000])
def test_ages_in_order(monkeypatch, spread, count):
    """They are sorted in parts that are about as large, where there are so many."""
    monkeypatch.setattr("gdbleak.verdicts.survival._AT_ONCE", 128)
    chance = random.Random(count)
    ages = array("q", (int(chance.expovariate(1 / spread)) for _ in range(count)))
    assert [*ascending(ages)] == sorted(ages)
