"""Whether the blocks of the window take the place of older ones of their size. Pure.

Blocks that live longer than the window look like a leak: none is freed in it. But in a process that
has reached its usual size, as many older ones are, of the same size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

from gdbleak.heap.chunk import SMALLEST_CHUNK

UNKNOWN = 0
"""The class of blocks whose size is not known."""

REPLACED, PILED_UP = 0.6, 0.2
"""From the first share on, new blocks replace older ones; below the second, they pile up."""

_LARGE = 1 << 16
_PAGE_BYTES = 4096
_CHUNK_HEADER = 8


def size_class(size: int) -> int:
    """Return one number for the size that was asked for and the size that glibc made of it.

    Small blocks are of a class when their chunks are equally large. Large ones may be mapped by
    themselves, in whole pages.

    >>> size_class(100) == size_class(104), size_class(104) == size_class(105)
    (True, False)
    >>> size_class(200_000) == size_class(200_688)
    True

    """
    if size < _LARGE:
        return max((size + 23) // 16 * 16, SMALLEST_CHUNK)
    return _LARGE + (size + 8 + _PAGE_BYTES - 1) // _PAGE_BYTES


def usable_size(kind: int) -> int:
    """Return how many bytes of a block the program may use, by the class of its size.

    >>> usable_size(size_class(24)), usable_size(size_class(25)), usable_size(size_class(1 << 20))
    (24, 40, 1052656)

    """
    if kind < _LARGE:
        return kind - _CHUNK_HEADER
    return (kind - _LARGE) * _PAGE_BYTES - 2 * _CHUNK_HEADER


@dataclass
class Came:
    """The blocks of the window that were there when it closed, by the class of their size."""

    old: Counter[int] = field(default_factory=Counter)
    young: Counter[int] = field(default_factory=Counter)

    def add(self, size: int, is_old: bool) -> None:
        """Add a block."""
        (self.old if is_old else self.young)[size_class(size)] += 1


class Room(NamedTuple):
    """How much of what has come to a site older blocks of its sizes have made room for."""

    share: float
    """Of those that got old: what lives only for a while makes room for its like."""
    at_least: float
    """The share, less what chance may have added to it."""
    suffices: bool
    """Whether chance explains the rest."""
    quarters: tuple[float, ...]
    """How many of those older blocks were freed when."""
    balances: bool
    """Whether about as many of them were freed as blocks came: half as many to twice as many."""

    @property
    def is_certain(self) -> bool:
        """Whether they have made room for all that has come."""
        return self.suffices and self.share >= REPLACED and self.at_least >= PILED_UP


NO_ROOM = Room(0.0, 0.0, False, (0.0,) * 4, False)


class Turnover:
    """Older blocks that were freed, against those that came and stayed meanwhile.

    When a process holds as much after the window as before, then of its older blocks as many were
    freed as of the others are left, however long they live.
    """

    def __init__(self, freed: Mapping[int, Sequence[float]], sites: Iterable[Came]) -> None:
        """Compare.

        Args:
            freed: Older blocks that were freed in each quarter of the window, by the class of their
                size.
            sites: What has come to each site.

        """
        self._came = Came()
        for site in sites:
            self._came.old.update(site.old)
            self._came.young.update(site.young)
        self._everything = sum(self._came.old.values()) + sum(self._came.young.values())
        self._freed = freed
        # A block of unknown size may have been of any class.
        unknown = freed.get(UNKNOWN, (0,) * 4)
        whole = self._everything
        self._anywhere = [count / whole if whole else 0.0 for count in unknown]

    def room(self, site: Came) -> Room:
        """Return how much of what has come to a site older blocks have made room for.

        Args:
            site: What has come to it; one of those that were compared.

        """
        total = sum(site.old.values())
        if not total:
            return NO_ROOM
        share = at_least = all_came = all_went = 0.0
        quarters = [0.0] * 4
        for key, count in site.old.items():
            old, young = self._came.old[key], self._came.young[key]
            went = self._went(key, old + young)
            room = sum(went) - young
            share += count * min(max(room, 0.0) / old, 1.0)
            at_least += count * min(max(room - 2 * sqrt(sum(went)), 0.0) / old, 1.0)
            all_came += old + young
            all_went += sum(went)
            part = (count + site.young[key]) / (old + young)
            quarters = [sum_ + part * count for sum_, count in zip(quarters, went)]
        suffices = all_came - all_went <= 3 * sqrt(all_came + all_went)
        balances = all_came / 2 <= all_went <= 2 * all_came
        return Room(share / total, at_least / total, suffices, tuple(quarters), balances)

    def rest(self) -> dict[int, list[float]]:
        """Return how many more older blocks were freed than came to all sites, less what is chance.

        By class and quarter, as `freed`: these have made no room for blocks of those sites.
        """
        rest = {}
        for key, freed in self._freed.items():
            came = self._everything
            if key != UNKNOWN:
                came = self._came.old[key] + self._came.young[key]
            went = sum(freed) if key == UNKNOWN else sum(self._went(key, came))
            more = went - came - 2 * sqrt(went + came)
            share = max(more / went, 0.0) if went else 0.0
            rest[key] = [share * count for count in freed]
        return rest

    def _went(self, key: int, came: int) -> list[float]:
        """Return how many older blocks of a class were freed in each quarter."""
        known = self._freed.get(key, (0,) * 4)
        return [count + came * anywhere for count, anywhere in zip(known, self._anywhere)]
