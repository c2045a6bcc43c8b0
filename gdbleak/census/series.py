"""How size classes grow from census to census. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gdbleak.report.heap import Amount, Growth, SizeClass
from gdbleak.report.lineup import STEADY
from gdbleak.report.trend import find_trend

_NONE = Amount()


class Series:
    """What each of several censuses has counted of each size class."""

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._counts: dict[int, list[Amount]] = {}
        self._last: dict[int, SizeClass] = {}

    def add(self, now_s: float, classes: Mapping[int, SizeClass]) -> None:
        """Take a census.

        Args:
            now_s: When it was taken, in seconds since any moment.
            classes: What it has counted, by the keys of size classes.

        """
        for key in {*classes, *self._counts}:
            counts = self._counts.setdefault(key, [_NONE] * len(self._times_s))
            counts.append(classes[key].in_use if key in classes else _NONE)
        self._times_s.append(now_s)
        self._last.update(classes)
        for key in self._last.keys() - classes.keys():
            self._last[key] = replace(self._last[key], in_use=_NONE, free=_NONE)

    def __len__(self) -> int:
        return len(self._times_s)

    def rank(self) -> tuple[SizeClass, ...]:
        """Return all size classes: what grows steadily, the fastest first, then by their bytes."""
        if len(self) < 2:
            found = [*self._last.values()]
        else:
            found = [replace(each, growth=self._grow(key)) for key, each in self._last.items()]
        return tuple(sorted(found, key=_order))

    def _grow(self, key: int) -> Growth:
        counts = self._counts[key]
        return Growth(
            find_trend([*zip(self._times_s, (float(each.count) for each in counts))]),
            find_trend([*zip(self._times_s, (float(each.bytes) for each in counts))]),
            tuple(each.count for each in counts),
        )


def _order(size: SizeClass) -> tuple[float, int, int]:
    growth = size.growth
    grows = growth is not None and growth.bytes.steadiness >= STEADY and growth.bytes.slope > 0
    return -growth.bytes.slope if growth and grows else 0, -size.in_use.bytes, size.low
