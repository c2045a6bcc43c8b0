"""An index of all words of a process that refer to blocks, by what they refer to. Pure, on numpy.

Each takes eight bytes: addresses are numbered by the words that hold something, and two numbers of
32 bits, what is referred to and where from, make one that can be sorted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from gdbleak.memory.pieces import WORD_BYTES, Range, Words, iter_pieces

_ADDRESS_BITS = np.uint64((1 << 48) - 1)
_NUMBER_BITS = 32
_WORD_BITS = 3
ENTRY_BYTES = 8


class Numbering:
    """Numbers for the words of some ranges, in order of address."""

    def __init__(self, ranges: Sequence[Range]) -> None:
        self.starts = np.array([start for start, _ in ranges], np.uint64)
        self.ends = np.array([end for _, end in ranges], np.uint64)
        sizes = (self.ends - self.starts) >> np.uint64(_WORD_BITS)
        self._firsts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)
        self._low = self.starts[0] if ranges else np.uint64(0)
        self._span = self.ends[-1] - self._low if ranges else np.uint64(0)
        self._lists: tuple[list[int], ...] = (
            self.starts.tolist(),
            self.ends.tolist(),
            self._firsts.tolist(),
        )

    def __len__(self) -> int:
        return int(self._firsts[-1])

    def find(self, words: Words) -> tuple[NDArray[np.int64], Words]:
        """Return which words are addresses within the ranges, and the numbers of these."""
        addresses = words & _ADDRESS_BITS
        positions = np.flatnonzero(addresses - self._low < self._span)
        addresses = addresses[positions]
        at = np.searchsorted(self.starts, addresses, "right") - 1
        inside = addresses < self.ends[at]
        at, addresses = at[inside], addresses[inside]
        numbers = self._firsts[at] + ((addresses - self.starts[at]) >> np.uint64(_WORD_BITS))
        return positions[inside], numbers

    def number(self, address: int) -> int:
        """Return the number of the word at an address, or of the first one behind it."""
        starts, ends, firsts = self._lists
        at = bisect_left(starts, address + 1) - 1
        if at < 0:
            return 0
        inside = min(address, ends[at]) - starts[at]
        return firsts[at] + (inside >> _WORD_BITS)

    def begin(self, address: int) -> int:
        """Return where the last range begins that begins at or before an address; 0 if none."""
        at = bisect_left(self._lists[0], address + 1) - 1
        return self._lists[0][at] if at >= 0 else 0

    def address(self, number: int) -> int:
        """Return the address of a word."""
        starts, _, firsts = self._lists
        at = bisect_left(firsts, number + 1) - 1
        return starts[at] + ((number - firsts[at]) << _WORD_BITS)


class Index:
    """What refers to the blocks of a process, as it was when its memory was read."""

    def __init__(self, pairs: Words, targets: Numbering, places: Numbering, seeds: Words) -> None:
        self._pairs = memoryview(pairs)  # type: ignore[arg-type]
        self._targets = targets
        self._places = places
        self.seeds = seeds
        """Addresses of words in roots that refer to blocks."""

    def __len__(self) -> int:
        return len(self._pairs)

    def find(self, start: int, end: int, most: int) -> list[int]:
        """Return up to so many of the words that refer to a range, by their addresses."""
        low = bisect_left(self._pairs, self._targets.number(start) << _NUMBER_BITS)
        number = self._targets.number(end + WORD_BYTES - 1)
        high = bisect_left(self._pairs, number << _NUMBER_BITS, low, len(self._pairs))
        mask = (1 << _NUMBER_BITS) - 1
        return [
            self._places.address(self._pairs[at] & mask) for at in range(low, min(high, low + most))
        ]

    def nearest(self, address: int) -> int | None:
        """Return the last word at or before an address that something refers to."""
        at = bisect_left(self._pairs, (self._targets.number(address) + 1) << _NUMBER_BITS) - 1
        if at < 0:
            return None
        return self._targets.address(self._pairs[at] >> _NUMBER_BITS)


class TooLargeError(Exception):
    """The index would take more memory than it may."""


def make_index(
    read: Callable[[int, int], bytes],
    roots: Sequence[Range],
    blocks: Sequence[Range],
    most_bytes: int,
    pause: Callable[[int], None],
) -> Index:
    """Read the memory of a process once, and return the index.

    Args:
        read: Reads that memory.
        roots: What holds references and consists of no blocks, in order of address.
        blocks: What consists of blocks.
        most_bytes: How much memory the index may take.
        pause: Called after each piece with its size in bytes; it may raise.

    Raises:
        TooLargeError: it would take more.

    """
    searched = sorted([*roots, *blocks])
    inside = {start for start, _ in roots}
    targets, places = Numbering(blocks), Numbering(searched)
    if max(len(targets), len(places)) >> _NUMBER_BITS:
        raise TooLargeError
    pairs = np.empty(min(most_bytes // ENTRY_BYTES, len(places)), np.uint64)
    count = 0
    seeds = [np.zeros(0, np.uint64)]
    for address, words in iter_pieces(read, searched):
        positions, numbers = targets.find(words)
        if count + len(positions) > len(pairs):
            raise TooLargeError
        # A piece is of one range, so its words have numbers that follow each other.
        first = np.uint64(places.number(address))
        held = first + positions.astype(np.uint64)
        np.bitwise_or(
            numbers << np.uint64(_NUMBER_BITS), held, out=pairs[count : count + len(positions)]
        )
        count += len(positions)
        if len(positions) and places.begin(address) in inside:
            seeds.append(
                np.uint64(address) + (positions.astype(np.uint64) << np.uint64(_WORD_BITS))
            )
        pause(words.nbytes)
    pairs = pairs[:count]
    pairs.sort()
    return Index(pairs, targets, places, np.concatenate(seeds))
