"""What of a process's memory is searched for references, and that memory piece by piece. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.source import Mapped, Pages

Words = NDArray[np.uint64]

WORD_BYTES = 8
PIECE_BYTES = 1 << 19
"""As much is read at once: more does not stay in the processor's cache until it was searched."""
PAGE_BYTES = 4096
_MOST_HIDDEN = 1 << 30
"""What is larger and may not be accessed at all is room that nobody has used yet."""
_ASKED_BYTES = 1 << 35
"""For so much memory it takes a fraction of a second to find out what of it was touched."""

_MEMORY_DEVICES = ("/dev/shm/", "/dev/zero", "/dev/hugepages/")
_DEVICES = ("/dev/", "/sys/", "/proc/")
"""Files below these are devices, or views of them, such as the memory of a PCI card."""
_OF_THE_KERNEL = ("[vvar", "[vdso", "[vsyscall", "[uprobes")


class Range(NamedTuple):
    """Addresses from the first on, up to the one behind the last."""

    start: int
    end: int


class Region(NamedTuple):
    """A mapping that is searched."""

    start: int
    end: int
    only_own: bool
    """Whether only those of its pages count that the process has written itself."""


def choose_regions(mappings: Iterable[Mapped]) -> list[Region]:
    """Return which mappings may hold references, in order of address.

    That is what can be written, what is shared, and what the process may have written before it was
    protected, even from itself. Devices are left out: to read them may have an effect.
    """
    found = []
    for mapping in mappings:
        permissions, path = mapping.permissions, mapping.path
        is_hidden = permissions == "---p" and mapping.end - mapping.start <= _MOST_HIDDEN
        if not (permissions[0] == "r" or is_hidden) or path.startswith(_OF_THE_KERNEL):
            continue
        if path.startswith(_DEVICES) and not path.startswith(_MEMORY_DEVICES):
            continue
        may_be_of_others = "w" not in permissions and permissions[3] == "p" and mapping.inode
        found.append(Region(mapping.start, mapping.end, bool(may_be_of_others)))
    return found


def subtract(ranges: Iterable[Range], left_out: Iterable[Range]) -> list[Range]:
    """Return ranges without those parts that are left out; both are in order of address.

    The ranges do not overlap; what is left out may.
    """
    left_out = [*left_out]
    ends = [*accumulate((each.end for each in left_out), max)]
    found = []
    for start, end in ranges:
        for hole in left_out[bisect_right(ends, start) :]:
            if hole.start >= end:
                break
            if start < hole.start:
                found.append(Range(start, hole.start))
            start = max(start, hole.end)
        if start < end:
            found.append(Range(start, end))
    return found


def touched(
    regions: Iterable[Region],
    find_pages: Callable[[int, int], Iterable[Pages]],
    pause: Callable[[], None] = lambda: None,
) -> list[Range]:
    """Return what was ever touched of regions: the rest holds nothing, and would take long.

    Args:
        regions: In order of address.
        find_pages: See `Searchable`.
        pause: Called often: what is merely reserved may be terabytes. It may raise.

    """
    found = []
    for region in regions:
        for start in range(region.start, region.end, _ASKED_BYTES):
            end = min(start + _ASKED_BYTES, region.end)
            for run in find_pages(start, end):
                if not (region.only_own and run.is_of_file):
                    found.append(Range(max(run.start, start), min(run.end, end)))
            pause()
    return found


def iter_pieces(
    read: Callable[[int, int], bytes], ranges: Iterable[Range], backwards: bool = False
) -> Iterator[tuple[int, Words]]:
    """Yield the words of ranges, with the address of the first, up to 512 KiB of them at once.

    Args:
        read: Returns up to so many bytes from an address on.
        ranges: What to read. What is not mapped any more is passed over, a page at a time.
        backwards: Whether to begin with the last piece.

    """
    pieces = [
        (start, min(PIECE_BYTES, end - start))
        for first, end in ranges
        for start in range(first, end, PIECE_BYTES)
    ]
    for start, size in reversed(pieces) if backwards else pieces:
        while size > 0:
            data = read(start, size)
            if words := len(data) // WORD_BYTES:
                yield start, np.frombuffer(data, np.uint64, words)
            done = len(data) or PAGE_BYTES - start % PAGE_BYTES
            start, size = start + done, size - done
