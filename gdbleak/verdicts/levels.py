"""How many blocks of a site's size the heap holds, and whether they grow. Pure.

A recording tells what comes and goes in its window. The heap itself tells two things more:

- whether there are more blocks of a size after the window than before it. That is so for whatever
  leaks, and needs no record of a single call: it is exact in a window of which little was recorded.
- for how long blocks of a size can live at most. Where so many come each second and stay, and the
  heap holds a number of them, they live for the number divided by the rate in the mean (J. D. C.
  Little, A proof for the queuing formula L = lambda W, Operations Research 9, 1961). What is never
  freed lives as long as the process.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gdbleak.heap.size_classes import key_of
from gdbleak.recording.censuses import Censuses, CountedSize
from gdbleak.report.heap_findings.model import STEADILY
from gdbleak.report.history import OLD_SHARE
from gdbleak.report.trend import ENOUGH, find_trend
from gdbleak.verdicts.turnover import UNKNOWN, Came, usable_size

FEWEST = 3
"""Of fewer censuses nobody can say anything."""
LEAST_GROWN = 5
"""By fewer blocks nothing grows that is worth a word."""
OLD_PROCESS = 10
"""A process that is so many times as old as the window has seen what its blocks live for."""
YOUNG_BLOCKS = 0.2
"""Blocks that live for less of the age of their process have been freed before."""


class Level(NamedTuple):
    """What the heap holds of the size of most of a site's blocks."""

    size: CountedSize
    per_s: float
    """By how many blocks a second it grows; 0 when it does not throughout."""
    steadiness: float
    """From -1, always falling, to 1, always rising: see `find_trend`."""
    share: float
    """Which part of the recorded blocks of this size that got old are the site's."""
    life_s: float | None
    """For how long the blocks of this size live at most, in the mean; None where nobody knows."""
    age_s: float | None
    """How old the process is; None where nobody knows."""
    window_s: float
    lost: float = 0.0
    """About how many blocks of this size came in the window that nothing refers to any more."""

    @property
    def grown(self) -> int:
        """How many more blocks the heap held in the last census than in the first."""
        return self.size.counts[-1] - self.size.counts[0]

    @property
    def grows(self) -> bool:
        """Whether there are more and more of them, throughout."""
        return self.per_s > 0 and self.steadiness >= STEADILY and self.grown >= LEAST_GROWN

    @property
    def grows_beside_lost(self) -> bool:
        """Whether lost blocks are less than half of what they have grown by."""
        return self.grows and 2 * self.lost < self.grown

    @property
    def is_short_lived(self) -> bool:
        """Whether blocks of this size must have been freed before in the life of the process."""
        if self.life_s is None or self.age_s is None:
            return False
        is_old = self.age_s >= OLD_PROCESS * self.window_s
        return is_old and self.life_s < YOUNG_BLOCKS * self.age_s


class GrownSize(NamedTuple):
    """A size of which there are more and more blocks."""

    size: CountedSize
    per_s: float
    """By how many they grow."""
    seen: int
    """By how many they have grown as recorded."""

    @property
    def is_unseen(self) -> bool:
        """Whether most of that was not recorded."""
        grown = self.size.counts[-1] - self.size.counts[0]
        return grown >= 2 * LEAST_GROWN and self.seen < grown / 2


class Levels:
    """The censuses of a window, against what was recorded in it."""

    def __init__(
        self,
        censuses: Censuses | None,
        sites: Iterable[Came],
        freed: Mapping[int, Sequence[int]],
        window_ns: int,
        age_s: float | None,
        stands_for: int = 1,
        scale: float | None = None,
        lost: Iterable[Came] = (),
    ) -> None:
        """Compare.

        Args:
            censuses: None where the heap was not counted.
            sites: What has come to each site.
            freed: Older blocks that were freed in each quarter of the window, by the class of their
                size.
            window_ns: Length of the window.
            age_s: Of the process.
            stands_for: How many blocks each recorded one stands for.
            scale: The same in a sample, where nobody knows how many blocks came; None elsewhere.
            lost: What has come to those of the sites whose blocks are lost.

        """
        self._window_s, self._age_s = window_ns / 1e9, age_s
        self._stands_for, self._is_sampled = stands_for, scale is not None
        self._scale = stands_for if scale is None else scale
        self._times_s = [time_ns / 1e9 for time_ns in censuses.times_ns] if censuses else []
        sizes = censuses.sizes if censuses and len(censuses.times_ns) > 1 else ()
        self._sizes = {key_of(size.low): size for size in sizes}
        self._old: Counter[int] = Counter()
        self._stayed: Counter[int] = Counter()
        for site in sites:
            _add(self._old, site.old)
            _add(self._stayed, site.old)
            _add(self._stayed, site.young)
        self._lost: Counter[int] = Counter()
        for site in lost:
            _add(self._lost, site.old)
            _add(self._lost, site.young)
        self._freed: Counter[int] = Counter()
        _add(self._freed, {kind: sum(quarters) for kind, quarters in freed.items()})

    def of(self, site: Came) -> Level | None:
        """Return what the heap holds of the size of most blocks of a site; None without one."""
        old: Counter[int] = Counter()
        _add(old, site.old)
        (key, count), *_ = [*old.most_common(1), (0, 0)]
        size = self._sizes.get(key)
        if size is None or 2 * count < sum(old.values()):
            return None
        known = self._old[key] * self._stands_for
        if size.counts[-1] < known / 2:  # they are not where blocks of this size are
            return None
        per_s, steadiness = self._trend(size)
        life_s = None
        if known and not self._is_sampled and self._window_s:
            life_s = size.counts[-1] / (known / (self._window_s * (1 - OLD_SHARE)))
        return Level(
            size,
            per_s,
            steadiness,
            count / self._old[key],
            life_s,
            self._age_s,
            self._window_s,
            self._lost[key] * self._scale,
        )

    def find_growing(self) -> list[GrownSize]:
        """Return sizes that grow throughout, those of most bytes a second first."""
        found = []
        for key, size in self._sizes.items():
            per_s, steadiness = self._trend(size)
            grown = size.counts[-1] - size.counts[0]
            if per_s > 0 and steadiness >= STEADILY and grown >= LEAST_GROWN:
                seen = (self._stayed[key] - self._freed[key]) * self._stands_for
                found.append(GrownSize(size, per_s, max(seen, 0)))
        return sorted(found, key=lambda each: -each.per_s * each.size.high)

    def _trend(self, size: CountedSize) -> tuple[float, float]:
        points = [*zip(self._times_s, map(float, size.counts))]
        # Few points rise by chance, but not all by about as much.
        if len(points) < ENOUGH and not _is_even(points):
            return 0.0, 0.0
        return find_trend(points)


def _is_even(points: Sequence[tuple[float, float]]) -> bool:
    """Whether there are three points or more, from each of which it rises about as fast.

    >>> _is_even([(0, 5), (1, 9), (3, 15)]), _is_even([(0, 5), (1, 9), (3, 11)])
    (True, False)

    """
    pairs = zip(points, points[1:])
    rates = [(after[1] - before[1]) / (after[0] - before[0]) for before, after in pairs]
    return len(rates) >= FEWEST - 1 and min(rates) > max(rates) / 2


def _add(sums: Counter[int], blocks: Mapping[int, int]) -> None:
    """Add blocks, by their classes in `turnover`, to those of classes in a census."""
    for kind, count in blocks.items():
        if kind != UNKNOWN:
            sums[key_of(usable_size(kind))] += count
