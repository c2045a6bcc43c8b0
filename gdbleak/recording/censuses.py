"""How many blocks the heap held of each size, several times in a window; and its frame. Pure.

- CENSUS: u64 time of the last census, u64 number of censuses, u64 number of size classes, u64 time
  of each census; and of each class u64 smallest and u64 largest size of its blocks in bytes, u64
  bytes that all of them took at the end, and u64 number of its blocks in each census. Written by
  the controller.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from gdbleak.recording.frames import CENSUS, FRAME
from gdbleak.recording.outside_values import UnfitError

MOST_CLASSES = 10_000
"""A heap of glibc has about 200 with blocks in them, and can have no more than 500."""

_ABOUT = struct.Struct("<QQQ")


class CountedSize(NamedTuple):
    """The blocks in use of a size class."""

    low: int
    """Size of the smallest of them, in bytes that the program may use."""
    high: int
    """Size of the largest."""
    bytes: int
    """What they took in the last census, headers included."""
    counts: tuple[int, ...]
    """How many there were in each census."""


class Censuses(NamedTuple):
    """The blocks in use of a heap, by size, at several times."""

    times_ns: tuple[int, ...]
    """When each census was taken: the middle of the time that it took."""
    sizes: tuple[CountedSize, ...]


def encode_censuses(censuses: Censuses) -> bytes:
    """Return the frame; empty without a census, or with more classes than a heap can have."""
    times, sizes = censuses
    if not times or len(sizes) > MOST_CLASSES:
        return b""
    words = [*times]
    for size in sizes:
        words += (size.low, size.high, size.bytes, *size.counts)
    payload = _ABOUT.pack(times[-1], len(times), len(sizes)) + struct.pack(
        f"<{len(words)}Q", *words
    )
    return FRAME.pack(CENSUS, 0, 0, len(payload)) + payload


def decode_censuses(data: Any, payload: int, length: int) -> Censuses:
    """Decode the payload of a CENSUS frame.

    Raises:
        struct.error, UnfitError: it is damaged.

    """
    _, censuses, sizes = _ABOUT.unpack_from(data, payload)
    each = 3 + censuses
    if not censuses or length != _ABOUT.size + 8 * (censuses + each * sizes):
        raise UnfitError("its list of sizes is not as long as it says")
    words = struct.unpack_from(f"<{censuses + each * sizes}Q", data, payload + _ABOUT.size)
    times = words[:censuses]
    if any(before >= after for before, after in zip(times, times[1:])):
        raise UnfitError("its censuses are not in the order of their times")
    return Censuses(
        times,
        tuple(
            CountedSize(words[at], words[at + 1], words[at + 2], words[at + 3 : at + each])
            for at in range(censuses, len(words), each)
        ),
    )
