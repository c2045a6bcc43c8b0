"""How many blocks live long: by those that were freed, and those that have not been yet. Pure.

Source: E. L. Kaplan and P. Meier, Nonparametric estimation from incomplete observations, Journal of
the American Statistical Association 53 (1958). Of the interval: J. D. Kalbfleisch and R. L.
Prentice, The Statistical Analysis of Failure Time Data (1980), section 1.3, on the scale of
log(-log); where none or all were freed, C. J. Clopper and E. S. Pearson, Biometrika 26 (1934).
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, repeat
from math import exp, log, sqrt
from typing import NamedTuple, Union

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


def take_away(share: Share, unseen: float) -> Share:
    """Return which share of blocks is not freed, where some are freed without being seen to be.

    Args:
        share: Which are not seen to be freed.
        unseen: Which of those that are freed are not.

    >>> take_away(Share(0.5, 0.25, 1.0), 0.0)
    Share(value=0.5, low=0.25, high=1.0)
    >>> take_away(Share(0.625, 0.1, 1.0), 0.25)
    Share(value=0.5, low=0.0, high=1.0)

    """
    seen = 1 - unseen
    if seen <= 0:
        return Share(0.0, 0.0, share.high)
    return Share(*(max((each - unseen) / seen, 0.0) for each in share))


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


class Ages:
    """Ages of blocks, some of them together with how many blocks had each."""

    def __init__(self, ages: Iterable[int] = ()) -> None:
        self._single = array("q", ages)
        self._many: dict[int, int] = {}
        self._count_of_many = 0

    def __len__(self) -> int:
        return len(self._single) + self._count_of_many

    def add(self, age: int) -> None:
        """Add the age of a block."""
        self._single.append(age)

    def add_many(self, age: int, count: int) -> None:
        """Add the age that so many blocks have reached, in the memory that one of them takes."""
        if count > 0:
            self._many[age] = self._many.get(age, 0) + count
            self._count_of_many += count

    def merge(self, other: Ages) -> None:
        """Add all that was added to another."""
        self._single += other._single
        for age, count in other._many.items():
            self.add_many(age, count)

    @property
    def largest(self) -> int:
        """The greatest age.

        Raises:
            ValueError: there are none.

        """
        return max(chain(self._single, self._many))

    def count_from(self, age: float) -> int:
        """Return how many have reached an age."""
        many = sum(count for reached, count in self._many.items() if reached >= age)
        return sum(reached >= age for reached in self._single) + many

    def at(self, place: int) -> int:
        """Return the age at a place in ascending order, from 0.

        >>> ages = Ages([5, 1])
        >>> ages.add_many(3, 10)
        >>> ages.at(0), ages.at(1), ages.at(10), ages.at(11)
        (1, 3, 3, 5)

        """
        for age, count in self.pairs():
            if place < count:
                return age
            place -= count
        raise IndexError(place)

    def pairs(self) -> Iterator[tuple[int, int]]:
        """Yield ages in ascending order, each with how many blocks; an age may come again."""
        single = zip(ascending(self._single), repeat(1))
        return merge(single, sorted(self._many.items())) if self._many else single


AnyAges = Union[Ages, Sequence[int]]
"""Ages, or the age of every single block."""


def estimate_survival(freed: AnyAges, alive: Sequence[int], age: float) -> Share:
    """Return which share of blocks reaches an age, and its interval.

    Where nothing was observed, that is from 0 to 1.

    >>> estimate_survival([2], [1, 1, 1, 9], age=3).value
    0.5
    >>> [round(share, 3) for share in estimate_survival([], [9] * 100, age=3)]
    [1.0, 0.964, 1.0]

    """
    share, variance = 1.0, 0.0
    observed = len(freed) + len(alive)
    young = sorted(alive)
    left = gone = 0
    for died, count in (freed if isinstance(freed, Ages) else Ages(freed)).pairs():
        if died > age:
            break
        while left < len(young) and young[left] < died:
            left += 1
        at_risk = observed - gone - left
        share *= 1 - count / at_risk
        if at_risk > count:
            variance += count / (at_risk * (at_risk - count))
        gone += count
    if share in (0.0, 1.0):
        known = sum(born > age for born in alive) + len(freed)
        bound = (0.05 / 2) ** (1 / known) if known else 0.0
        return Share(share, *((bound, 1.0) if share else (0.0, 1 - bound)))
    spread = exp(_Z * sqrt(variance) / -log(share))
    return Share(share, share**spread, share ** (1 / spread))


def chances(freed: AnyAges, alive: Sequence[int], age: float, of: Sequence[int]) -> list[float]:
    """Return how likely blocks of some ages are to reach an age, by what became of others.

    Args:
        freed: Ages at which blocks were freed.
        alive: Ages of blocks that are not freed yet.
        age: The age to be reached.
        of: Ages, ascending; whoever has reached the age has a chance of 1.

    >>> chances([2, 2, 2], [1, 9], age=3, of=[1, 2, 9])
    [0.25, 1.0, 1.0]

    """
    young = sorted(alive)
    at_risk = len(freed) + len(young)
    share, left, position = 1.0, 0, 0
    shares: list[float] = []
    for died, count in (freed if isinstance(freed, Ages) else Ages(freed)).pairs():
        if died > age:
            break
        while position < len(of) and of[position] < died:
            shares.append(share)
            position += 1
        while left < len(young) and young[left] < died:
            left += 1
            at_risk -= 1
        share *= 1 - count / at_risk
        at_risk -= count
    shares += [share] * (len(of) - position)
    # Where nobody who was watched got as old, nobody does.
    return [share / at if at > 0 else 0.0 for at in shares]
