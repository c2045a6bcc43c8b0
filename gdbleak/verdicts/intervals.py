"""Between which bounds a total lies of which a part was seen. Pure.

Each block of some population is seen with one probability, and what is seen is added up. Of blocks
that are equally large, so many are seen as a binomial distribution says. A sum of sizes behaves as
so many blocks of one size do as have its mean and its variance.

Source: K. J. Rothman and J. D. Boice, Epidemiologic Analysis with a Programmable Calculator (1979),
the approximation of Byar to the mid-P interval of a Poisson count; M. P. Fay and E. J. Feuer,
Statistics in Medicine 16 (1997), for weighted sums of counts, and for one more of the largest
blocks at the upper end.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf, log, log1p, sqrt
from typing import NamedTuple

_Z = 1.96
"""Of a normal distribution, 95 % lie closer to the mean than so many standard deviations."""

UNLIKELY = 0.025
"""On either side of an interval."""


class Interval(NamedTuple):
    """What a number lies between, with a confidence of 95 %."""

    low: float
    high: float


class Seen(NamedTuple):
    """Sizes of blocks that were seen, added up."""

    blocks: int = 0
    total: float = 0.0
    squares: float = 0.0
    """The sum of their squares."""
    largest: float = 0.0


def add_up(sizes: Iterable[float]) -> Seen:
    """Return the sums of some sizes.

    >>> add_up([1, 3])
    Seen(blocks=2, total=4.0, squares=10.0, largest=3.0)

    """
    blocks, total, squares, largest = 0, 0.0, 0.0, 0.0
    for size in sizes:
        blocks += 1
        total += size
        squares += size * size
        largest = max(largest, float(size))
    return Seen(blocks, total, squares, largest)


def bound_total(seen: Seen, share: float, typical: float) -> Interval:
    """Return between which bounds the sum of all sizes lies.

    Args:
        seen: What was seen. To see blocks together or not at all makes `squares` larger.
        share: The probability with which each block was seen, above 0 and up to 1.
        typical: How large a block is where none was seen.

    >>> [round(end) for end in bound_total(Seen(), 1 / 100, 1.0)]
    [0, 367]
    >>> [round(end) for end in bound_total(Seen(100, 100.0, 100.0, 1.0), 1 / 10, 1.0)]
    [827, 1200]
    >>> bound_total(Seen(5, 50.0, 500.0, 10.0), 1.0, 10.0)
    Interval(low=50.0, high=50.0)

    """
    if share >= 1:
        return Interval(seen.total, seen.total)
    if not seen.total:
        return Interval(0.0, typical * log(UNLIKELY) / log1p(-share))
    # Of what is missing, the variance is by so much smaller than that of a Poisson count.
    missing = 1 - share
    unit = seen.squares / seen.total
    low = unit * missing / share * _limit((seen.total / unit + 0.5) / missing, -_Z)
    total = seen.total + seen.largest / 2
    unit = (seen.squares + seen.largest**2 / 2) / total
    high = unit * missing / share * _limit(total / unit / missing, _Z)
    return Interval(max(low, seen.total), max(high, seen.total))


def _limit(count: float, z: float) -> float:
    """Return what a Poisson count is expected to be, at one end of an interval."""
    if count == inf:
        return inf
    return float(count * max(1 - 1 / (9 * count) + z / (3 * sqrt(count)), 0.0) ** 3)
