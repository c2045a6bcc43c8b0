"""How many blocks live long: by those that were freed, and those that have not been yet. Pure.

Source: E. L. Kaplan and P. Meier, Nonparametric estimation from incomplete observations, Journal of
the American Statistical Association 53 (1958). Of the interval: J. D. Kalbfleisch and R. L.
Prentice, The Statistical Analysis of Failure Time Data (1980), section 1.3, on the scale of
log(-log); where none or all were freed, C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from math import exp, log, sqrt
from typing import NamedTuple

_Z = 1.96
"""Of a normal distribution, 95 % lie closer to the mean than so many standard deviations."""


_AT_ONCE = 1 << 16
"""About so many ages are sorted at once: as objects they take five times the memory."""
_TELLING = 64
"""So many of them tell where a part ends."""


class Share(NamedTuple):
    """A share of blocks, and between which two it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float


def ascending(ages: Sequence[int]) -> Iterator[int]:
    """Yield ages in ascending order; of millions, few at a time are in memory as numbers.

    >>> [*ascending([3, 1, 2])]
    [1, 2, 3]

    """
    # Of every so many ages one, sorted, tells where to divide them into parts about as large.
    bounds = sorted(ages[:: _AT_ONCE // _TELLING])[_TELLING::_TELLING]
    parts = [array("q") for _ in range(len(bounds) + 1)]
    for age in ages if bounds else ():
        parts[bisect_right(bounds, age)].append(age)
    for part in parts if bounds else [ages]:
        yield from sorted(part)


def survival(freed: Sequence[int], alive: Sequence[int], age: float) -> float:
    """Return which share of blocks reaches an age; 1 where none was observed for as long.

    Args:
        freed: Ages at which blocks were freed.
        alive: Ages of blocks that are not freed yet: how old they become is not known.
        age: The age, in the same unit.

    >>> survival([1, 1, 1, 5], [9, 9], age=3)
    0.5
    >>> survival([2], [1, 1, 1, 9], age=3)  # the young ones say nothing about the age of 2
    0.5

    """
    return estimate_survival(freed, alive, age).value


def estimate_survival(freed: Sequence[int], alive: Sequence[int], age: float) -> Share:
    """Return which share of blocks reaches an age, and its interval.

    Where nothing was observed, that is from 0 to 1.

    >>> [round(share, 3) for share in estimate_survival([], [9] * 100, age=3)]
    [1.0, 0.964, 1.0]

    """
    share, variance = 1.0, 0.0
    observed = len(freed) + len(alive)
    young = sorted(alive)
    left = 0
    for gone, died in enumerate(ascending(freed)):
        if died > age:
            break
        while left < len(young) and young[left] < died:
            left += 1
        at_risk = observed - gone - left
        share *= 1 - 1 / at_risk
        if at_risk > 1:
            variance += 1 / (at_risk * (at_risk - 1))
    if share in (0.0, 1.0):
        known = sum(born > age for born in alive) + len(freed)
        bound = (0.05 / 2) ** (1 / known) if known else 0.0
        return Share(share, *((bound, 1.0) if share else (0.0, 1 - bound)))
    spread = exp(_Z * sqrt(variance) / -log(share))
    return Share(share, share**spread, share ** (1 / spread))
