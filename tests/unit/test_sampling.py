"""How much of a window was recorded, and what is concluded from that."""

from __future__ import annotations

import pytest

from gdbleak.phases import Phase
from gdbleak.rates import Rate, unknown
from gdbleak.recording import Turn
from gdbleak.report import Sampling, Site
from gdbleak.sampling import estimate, measure_sampling

S = 1_000_000_000
ALL, FEWER, FREES, NONE = Phase


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


def test_what_was_recorded():
    sampling = measure_sampling(turns(*BURSTS), 15 * S, 100, unknown(""))
    assert sampling == Sampling(3, 2.0, 100, 500, at_least=True)


def test_a_burst_that_the_end_cuts_off():
    sampling = measure_sampling(turns((5, ALL), (6, NONE), (14, FEWER)), 15 * S, 10, unknown(""))
    assert (sampling.bursts, sampling.recorded_s) == (2, 2.0)


@pytest.mark.parametrize(
    ("per_s", "more", "expected"),
    [
        (0.0, False, (500, True)),  # the share of the time is all that is known
        (1000.0, False, (10_000, False)),
        (1000.0, True, (10_000, True)),
        (10.0, False, (500, True)),  # it has allocated more than that since
    ],
)
def test_how_much_there_was(per_s, more, expected):
    sampling = measure_sampling(turns(*BURSTS), 15 * S, 100, Rate(per_s, 0, more))
    assert (sampling.allocations, sampling.at_least) == expected


def test_nothing_recorded():
    sampling = measure_sampling(turns(*BURSTS), 15 * S, 0, unknown(""))
    assert sampling.allocations == 0
    assert estimate(site(0, 0), sampling).outstanding_count == 0


def site(count, size):
    return Site(1, size, count, 4 * size, 4 * count, 3 * count, size / 10, 9.0, None, False, ())


def test_estimates_are_scaled():
    scaled = estimate(site(100, 6400), Sampling(9, 1.0, 1000, 50_000, at_least=False))
    assert (scaled.outstanding_bytes, scaled.outstanding_count) == (320_000, 5000)
    assert (scaled.allocated_bytes, scaled.allocated_count) == (1_280_000, 20_000)
    assert (scaled.freed_count, scaled.bytes_per_s) == (15_000, 32_000)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Exact intervals: scipy.stats.chi2.ppf(0.025, 2 * n) / 2, chi2.ppf(0.975, 2 * n + 2) / 2.
    [(1, 0.0253, 5.572), (4, 1.090, 10.24), (10, 4.795, 18.39), (100, 81.36, 121.6)],
)
def test_interval_of_a_count(count, low, high):
    scaled = estimate(site(count, 1000 * count), Sampling(9, 1.0, 1000, 10_000, at_least=False))
    # The approximation is poor for the lower end of the smallest counts, and on the safe side.
    assert scaled.outstanding_bytes_low == pytest.approx(10_000 * low, rel=0.02, abs=200)
    assert scaled.outstanding_bytes_high == pytest.approx(10_000 * high, rel=0.02)
