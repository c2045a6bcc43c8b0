"""Whether the blocks of the window take the place of older ones of their size. Pure.

Blocks that live longer than the window look like a leak: none is freed in it. But in a process that
has reached its usual size, as many older ones are, of the same size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from gdbleak.glibc_chunk import SMALLEST_CHUNK

Sizes = Mapping[int, int]
"""How many blocks there are of each class of sizes."""

UNKNOWN = 0
"""The class of blocks whose size is not known."""

_LARGE = 1 << 16
_PAGE_BYTES = 4096


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


class Turnover:
    """Older blocks that were freed, against those that came and stayed meanwhile."""

    def __init__(self, freed: Sizes, grown: Iterable[Sizes]) -> None:
        """Compare.

        Args:
            freed: Older blocks that were freed, by the class of their size.
            grown: Of each site, by how many blocks of each class there are more.

        """
        came: Counter[int] = Counter()
        for site in grown:
            came.update({key: count for key, count in site.items() if count > 0})
        everything = sum(came.values())
        # One of unknown size may have been of any.
        anywhere = freed.get(UNKNOWN, 0) / everything if everything else 0.0
        self._shares = {
            key: min(freed.get(key, 0) / count + anywhere, 1.0) for key, count in came.items()
        }

    def share(self, grown: Sizes) -> float:
        """Return which share of what has come to a site older blocks have made room for."""
        counts = {key: count for key, count in grown.items() if count > 0}
        room = sum(count * self._shares[key] for key, count in counts.items())
        return room / sum(counts.values()) if counts else 0.0
