"""From counts that slowed a process down to the rate of one that nobody counts."""

from __future__ import annotations

import pytest

from gdbleak.recording.rate import Rate, unknown
from gdbleak.verdicts.rates import Count, SetCount, estimate, is_costly

HIT_S = 2e-6
PAIR = (True, False)


def busy(pairs_per_s, hit_s, functions, wall_s=0.1):
    """Return what is counted of a thread that does nothing but allocate and free."""
    calls = round(wall_s / (1 / pairs_per_s + functions * hit_s))
    return Count((calls,) + (calls,) * (functions == 2), wall_s, wall_s)


def counts(pairs_per_s, hit_s=HIT_S):
    return SetCount(PAIR, busy(pairs_per_s, hit_s, 2), busy(pairs_per_s, hit_s, 1))


@pytest.mark.parametrize("pairs_per_s", [10_000, 50_000, 200_000, 1_000_000])
@pytest.mark.parametrize("times", [0.9, 1.0, 1.25], ids=lambda times: f"costs {times} times")
def test_busy_thread(pairs_per_s, times):
    """A counted call costs the process more or less than it costs us."""
    rate = estimate([counts(pairs_per_s, times * HIT_S)], HIT_S, cpu_per_s=1, is_busy=True)
    assert not rate.at_least
    assert rate.allocations_per_s == pytest.approx(pairs_per_s, rel=0.15)
    assert rate.frees_per_s == pytest.approx(rate.allocations_per_s)


@pytest.mark.parametrize("pairs_per_s", [5_000_000, 100_000_000])
def test_more_than_can_be_told(pairs_per_s):
    rate = estimate([counts(pairs_per_s)], HIT_S, cpu_per_s=1, is_busy=True)
    assert rate.at_least
    assert 500_000 < rate.allocations_per_s < pairs_per_s


@pytest.mark.parametrize(
    ("name", "sets", "cpu_per_s", "expected"),
    [
        ("nothing was called", [Count((0, 0), 0.2, 0.1)], 1, (0, 0)),
        ("nothing ran", [Count((0, 0), 0.2, 0)], 0, (0, 0)),
        ("idle between", [Count((200, 200), 0.2, 0.01)], 0.05, (1000, 1000)),
        ("each set", [Count((9, 1), 0.1, 0), Count((1, 0), 0.2, 0)], 0, (95, 10)),
        ("calls only", [Count((20, 0), 0.2, 0)], 0, (100, 0)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_counting_that_costs_little(name, sets, cpu_per_s, expected):
    rate = estimate([SetCount(PAIR, count) for count in sets], HIT_S, cpu_per_s, is_busy=False)
    assert not rate.at_least
    assert (rate.allocations_per_s, rate.frees_per_s) == pytest.approx(expected, rel=0.02), name


def test_a_function_that_is_called_alone():
    """Its cost cannot be measured in the process: what a call costs us must do."""
    count = busy(100_000, HIT_S, 1)
    rate = estimate([SetCount((True,), count, count)], HIT_S, cpu_per_s=1, is_busy=True)
    assert rate.allocations_per_s == pytest.approx(100_000, rel=0.1)
    fast = busy(2_000_000, HIT_S, 1)
    rate = estimate([SetCount((True,), fast, fast)], HIT_S, cpu_per_s=1, is_busy=True)
    assert (rate.at_least, 400_000 < rate.allocations_per_s < 2_000_000) == (True, True)


@pytest.mark.parametrize(
    "alone",
    [Count((900, 0), 0.01, 0.01), Count((3, 0), 0.01, 0.0005), Count((0, 0), 0.01, 0)],
    ids=["longer alone than together", "hardly ran", "did not run"],
)
def test_noise_is_no_figure(alone):
    """The function is called much more often than it seems."""
    rate = estimate(
        [SetCount(PAIR, busy(1e8, HIT_S, 2, 0.01), alone)], HIT_S, cpu_per_s=1, is_busy=True
    )
    assert rate.at_least
    assert 0.1 / HIT_S < rate.allocations_per_s < 3 / HIT_S


def paced(calls, alone, busy_s=0.02):
    """Return what is counted in a tenth of a second of a thread that waits between its calls."""
    busy_alone_s = busy_s * alone / calls - alone * HIT_S
    return SetCount(PAIR, Count((calls, calls), 0.1, busy_s), Count((alone, 0), 0.1, busy_alone_s))


@pytest.mark.parametrize(
    ("name", "count", "cpu_per_s", "expected", "at_least"),
    [
        ("makes up for it", paced(2000, 2000), 0.1, 20_000, False),
        ("makes up for a part", paced(2000, 2400), 0.2, 30_000, False),
        ("seems to make up for more", paced(2000, 1900), 0.1, 20_000, False),
        ("is held up", paced(3571, 4167, busy_s=0.05), 0.5, 50_000, False),
        ("nothing else to see", SetCount(PAIR, Count((2000, 2000), 0.1, 0.009)), 0.1, 15_000, True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_thread_that_waits_for_its_work(name, count, cpu_per_s, expected, at_least):
    rate = estimate([count], HIT_S, cpu_per_s, is_busy=False)
    assert rate.at_least is at_least, name
    assert rate.allocations_per_s == pytest.approx(expected, rel=0.12)


@pytest.mark.parametrize(("calls", "expected"), [(0, False), (1_400, False), (1_600, True)])
def test_what_is_costly(calls, expected):
    assert is_costly(Count((calls, 0), 0.1, 0.1), HIT_S) is expected


def test_unknown():
    assert unknown("why") == Rate(0, 0, reason="why")
    assert (unknown("why").reason, Rate(0, 0).reason) == ("why", None)
