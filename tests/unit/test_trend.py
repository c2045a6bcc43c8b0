"""How steadily something grows."""

from __future__ import annotations

import random

import pytest

from gdbleak.report.trend import MOST, find_trend


def series(values):
    return [(float(second), float(value)) for second, value in enumerate(values)]


CASES = {
    "climbs": ([3 * n for n in range(30)], 3.0, 1.0),
    "falls": ([90 - 3 * n for n in range(30)], -3.0, -1.0),
    "level": ([7] * 30, 0.0, 0.0),
    "jumps once": ([7] * 12 + [900] * 18, 0.0, None),
    "one point": ([7], 0.0, 0.0),
    "none": ([], 0.0, 0.0),
    "two": ([7, 9], 2.0, 1.0),
}


@pytest.mark.parametrize("name", CASES)
def test_trend(name):
    values, slope, steadiness = CASES[name]
    trend = find_trend(series(values))
    assert trend.slope == slope
    if steadiness is not None:
        assert trend.steadiness == steadiness


def test_one_that_goes_up_and_down_is_not_steady():
    assert abs(find_trend(series([n % 6 for n in range(60)])).steadiness) < 0.3


def test_noise_does_not_hide_a_slope():
    chance = random.Random(1)
    trend = find_trend(series([10 * n + chance.gauss(0, 15) for n in range(40)]))
    assert trend.slope == pytest.approx(10, rel=0.1)
    assert trend.steadiness > 0.8


def test_of_many_points_the_last_is_among_those_looked_at():
    values = [0] * (20 * MOST)
    values[-1] = 100
    assert find_trend(series(values)).steadiness > 0


@pytest.mark.parametrize("at", range(1, 29))
def test_one_jump_is_no_slope_wherever_it_lies(at):
    assert find_trend(series([7] * at + [900] * (30 - at))).slope == 0.0
