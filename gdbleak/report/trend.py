"""How steadily something grows. Pure.

Sources: P. K. Sen, Estimates of the regression coefficient based on Kendall's tau, Journal of the
American Statistical Association 63 (1968); M. G. Kendall, A new measure of rank correlation,
Biometrika 30 (1938).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from statistics import median
from typing import NamedTuple

ENOUGH = 6
"""Of fewer points, nobody can say when they rose."""

MOST = 64
"""So many points are looked at; of more, some are left out."""


class Trend(NamedTuple):
    """The growth of a series.

    One jump makes no slope, wherever it lies: what grows has grown in each third of the time.
    """

    slope: float
    """By how much it grows in a unit of time: the median over all pairs of points."""
    steadiness: float
    """From -1, always falling, to 1, always rising: Kendall's tau of the points by time."""


def find_trend(points: Sequence[tuple[float, float]]) -> Trend:
    """Return the trend of points, each a time and a value; one point has a slope of 0.

    One jump, and a value that goes up and down, make no slope.

    >>> find_trend([(0, 5), (1, 7), (2, 9), (3, 11)])
    Trend(slope=2.0, steadiness=1.0)
    >>> find_trend([(0, 5), (1, 5), (2, 90), (3, 90), (4, 90), (5, 90)]).slope
    0.0

    """
    step = -(-len(points) // MOST) or 1
    pairs = [*combinations(points[::-step][::-1], 2)]  # the last one is always among them
    if not pairs:
        return Trend(0.0, 0.0)
    slopes = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairs]
    rising = sum(slope > 0 for slope in slopes) - sum(slope < 0 for slope in slopes)
    slope, steadiness = median(slopes), rising / len(slopes)
    if len(points) >= ENOUGH and not _moves_throughout(points, slope):
        slope = 0.0
    return Trend(slope, steadiness)


def _moves_throughout(points: Sequence[tuple[float, float]], slope: float) -> bool:
    """Whether a series rises, or falls, in each third of it."""
    third = len(points) // 3
    bounds = [points[0], points[third], points[-1 - third], points[-1]]
    steps = [after[1] - before[1] for before, after in zip(bounds, bounds[1:])]
    return all(step > 0 for step in steps) if slope > 0 else all(step < 0 for step in steps)
