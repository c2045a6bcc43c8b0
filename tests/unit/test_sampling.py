"""How much of a window was recorded, and what is concluded from that."""

from __future__ import annotations

import random
from array import array

import pytest

from gdbleak.recording.events import Turn
from gdbleak.recording.phases import Phase
from gdbleak.recording.rate import Rate, unknown
from gdbleak.report.window import Sampling
from gdbleak.verdicts.bursts import Burst, find_bursts, measure_sampling
from gdbleak.verdicts.intervals import Seen, add_up, bound_total
from gdbleak.verdicts.sampling import Sample, age_that_proves, estimate
from gdbleak.verdicts.survival import ascending, chances, estimate_survival

S = 1_000_000_000
ALL, FEWER, FREES, NONE, SETTLING = Phase


def turns(*changes):
    """Return turns, each with how many calls there were by then: 10 a second."""
    return [(Turn(round(at * S), phase), round(10 * at)) for at, phase in changes]


def measure(changes, end_s=15, calls=100, rate=unknown(""), stopped_s=None):  # noqa: B008
    bursts = find_bursts(turns(*changes), end_s * S, calls)
    return measure_sampling(bursts, calls, rate, stopped_s)


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
    assert measure(changes) is None


BURSTS = [(5, ALL), (6, NONE), (9, FEWER), (9.5, NONE), (12, FEWER), (12.5, NONE), (16, FREES)]


def test_bursts():
    found = find_bursts(turns(*BURSTS), 15 * S, 160)
    assert [[ns / S for ns in burst[:3]] for burst in found.all] == [
        *([5, 5.75, 6], [9, 9.375, 9.5], [12, 12.375, 12.5])
    ]
    assert [burst.calls for burst in found.all] == [10, 5, 5]
    assert (found.window_ns, found.recorded_ns, found.counted_ns) == (10 * S, 2 * S, 1.5 * S)


def test_a_burst_that_the_end_cuts_off_counts_whole():
    found = find_bursts(turns((5, ALL), (6, NONE), (14, FEWER)), 15 * S, 153)
    assert found.all[1] == Burst(14 * S, 15 * S, 15 * S, 13)
    found = find_bursts(turns((5, ALL), (6, NONE), (14, FEWER), (16, NONE)), 15 * S, 153)
    assert found.all[1][:3] == (14 * S, 15 * S, 15 * S)


@pytest.mark.parametrize(
    ("rate", "calls", "scale"),
    [
        (unknown(""), None, 5),  # the share of the time is all that is known
        (Rate(1000, 0), 10_000, 100),
        (Rate(10, 0), None, 5),  # it has allocated more than that since
    ],
)
def test_what_was_recorded(rate, calls, scale):
    assert measure(BURSTS, rate=rate) == Sampling(3, 2.0, 100, calls, scale, 5, scale)


@pytest.mark.parametrize(
    ("rate", "stopped_s", "scale", "high"),
    [
        (Rate(1000, 0), 1.9, 100, 100),  # what is known needs no bound
        (unknown(""), None, 5, 5),
        (unknown(""), 0.0, 5, 5),
        (unknown(""), 1.5, 5, 20),  # it ran for half a second, of two
        (unknown(""), 99.0, 5, 500),
        (Rate(100, 0, at_least=True), 1.5, 10, 20),
        (Rate(1000, 0, at_least=True), 1.5, 100, 100),
    ],
)
def test_how_much_slower_the_process_can_have_been(rate, stopped_s, scale, high):
    sampling = measure(BURSTS, rate=rate, stopped_s=stopped_s)
    assert (sampling.scale, sampling.scale_low) == (scale, 5)
    assert sampling.scale_high == pytest.approx(high)
    assert sampling.dilation == pytest.approx(high / 5)


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
    assert estimate_survival(freed, alive, age).value == pytest.approx(share)


@pytest.mark.parametrize("age", [0, 1, 3, 4, 8, 9, 50])
@pytest.mark.parametrize(
    ("freed", "alive"), [([], [9, 9]), ([1, 2], []), ([1, 4, 4], [2, 2, 9, 9]), ([3], [1, 1, 9])]
)
def test_chances_are_quotients_of_shares(freed, alive, age):
    of = sorted(alive)
    made = chances(freed, alive, age, of)
    assert len(made) == len(of)
    for reached, chance in zip(of, made):
        before = estimate_survival(freed, alive, reached).value
        later = estimate_survival(freed, alive, max(age, reached)).value
        expected = later / before if before else 0
        assert chance == pytest.approx(expected)


WHOLE = find_bursts(turns((0.001, ALL), (1, NONE)), 10 * S, 10)
"""One burst of a second, at the beginning of ten."""
SAMPLING = Sampling(1, 1.0, 1000, 50_000, 50, 10, 50)


def sample(count, size=100, older_count=0, older_bytes=0, freed=()):
    """Return a sample of blocks that all stay."""
    alive = [(S // 2, size)] * count
    return Sample(alive, freed, [9 * S] * count, size, 10 * S, older_count, older_bytes)


def test_nothing_recorded():
    made = estimate(sample(0, size=0), SAMPLING, WHOLE)
    assert (made.outstanding_count, made.outstanding_bytes) == (0, 0)
    assert made.bytes_between == (0, 0)


def test_each_stands_for_as_many():
    made = estimate(sample(30), SAMPLING, WHOLE)
    # A third more, for the last blocks of each burst that do not count.
    assert made.outstanding_count == pytest.approx(30 * 50 * 4 / 3)
    assert made.outstanding_bytes == pytest.approx(100 * made.outstanding_count)


@pytest.mark.parametrize(("young", "count"), [(0.1, 0), (5.0, 10)])
def test_young_blocks_of_which_all_others_were_freed(young, count):
    """A queue: every block is found to be freed some time later, but the last ones not yet."""
    ages = [round(young * S)] * 10
    alive = [(10 * S - age, 100) for age in ages]
    queue = Sample(alive, [S // 2] * 990, ages, 100, 10 * S)
    made = estimate(queue, SAMPLING, WHOLE)
    assert made.outstanding_count == pytest.approx(count * 50 * 4 / 3)
    assert made.bytes_between.high > 10 * 100 * 50, "they may be there all the same"


def test_age_that_proves():
    def proves(number):
        bursts = [each for n in range(number) for each in ((n + 1, ALL), (n + 1.1, NONE))]
        return age_that_proves(find_bursts(turns(*bursts), (number + 1) * S, 1)) / S

    assert proves(4) == pytest.approx(1.0)  # a quarter
    assert proves(20) == pytest.approx(3.0)  # three bursts
    assert proves(100) == pytest.approx(6.25)  # a sixteenth


def test_older_blocks_stand_for_themselves():
    """A buffer that grows is resized in many bursts, and is one block all the same."""
    buffer = estimate(sample(0, older_count=1, older_bytes=5_000_000), SAMPLING, WHOLE)
    assert (buffer.outstanding_count, buffer.outstanding_bytes) == (1, 5_000_000)
    assert buffer.bytes_between.low == 5_000_000
    both = estimate(sample(6, 100, 1, 5_000_000), SAMPLING, WHOLE)
    assert both.outstanding_count == pytest.approx(401)
    assert both.outstanding_bytes == pytest.approx(5_040_000)


@pytest.mark.parametrize(
    ("count", "low", "high"),
    # Exact mid-P intervals of a Poisson count: K. J. Rothman and others, Modern Epidemiology; by
    # bisection of P(X < n) + P(X = n) / 2 = 0.025 and 0.975.
    [(1, 0.0513, 4.93), (4, 1.27, 9.63), (10, 5.08, 17.82), (100, 81.8, 121.1)],
)
def test_bounds_of_a_count(count, low, high):
    made = bound_total(add_up([1.0] * count), 1e-6, 1.0)
    assert made.low * 1e-6 == pytest.approx(low, rel=0.06, abs=0.05)
    assert made.high * 1e-6 == pytest.approx(high, rel=0.06 if count == 1 else 0.02)


@pytest.mark.parametrize("share", [0.5, 0.25, 1 / 32, 0.001])
def test_bounds_of_a_binomial_count(share):
    """Against exact mid-P bounds of the number of trials, of which so many succeeded."""
    for count in (3, 12, 40):
        made = bound_total(add_up([1.0] * count), share, 1.0)
        low, high = exact_bounds(count, share)
        assert made.low == pytest.approx(low, rel=0.1)
        assert made.high == pytest.approx(high, rel=0.07)


def exact_bounds(count, share):
    """Return between which numbers of trials mid-P leaves both sides at least 1 in 40."""

    def below(trials):  # or half as likely as many
        term, total = (1 - share) ** trials, 0.0
        for number in range(count):
            total += term
            term *= (trials - number) / (number + 1) * share / (1 - share)
        return total + term / 2

    low = next(n for n in range(count, 10**6) if below(n) <= 0.975)
    step = max(round(0.001 / share), 1)
    high = next(n for n in range(low, 10**6, step) if below(n) <= 0.025)
    return low, high


def test_where_none_was_seen_there_may_be_some():
    """Of 3.7 times as many, one would have been seen nearly always."""
    assert bound_total(Seen(), 1 / 100, 8.0).high == pytest.approx(8 * 367, rel=0.01)
    assert pytest.approx(0.025, rel=0.01) == 0.99**367
    assert bound_total(Seen(), 1.0, 8.0) == (0, 0)


def test_large_blocks_make_doubt():
    even = bound_total(add_up([10.0] * 100), 0.1, 10.0)
    few_large = bound_total(add_up([1.0] * 99 + [901.0]), 0.1, 10.0)
    assert few_large.low < even.low
    assert few_large.high > 2 * even.high


@pytest.mark.parametrize("spread", [1, 3, 10**9])
@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 5000])
def test_ages_in_order(monkeypatch, spread, count):
    """They are sorted in parts that are about as large, where there are so many."""
    monkeypatch.setattr("gdbleak.verdicts.survival._AT_ONCE", 128)
    chance = random.Random(count)
    ages = array("q", (int(chance.expovariate(1 / spread)) for _ in range(count)))
    assert [*ascending(ages)] == sorted(ages)
