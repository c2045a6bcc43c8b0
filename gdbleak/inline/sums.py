"""What was folded: how many blocks of each stack, and how these are made up. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdbleak.inline.ring import HASH_FACTOR, HASH_SHIFT, LEVELS

if TYPE_CHECKING:
    from gdbleak.inline.ring_reader import Numbers, Words

_ENDS = np.array([LEVELS, *((n & -n).bit_length() - 1 for n in range(1, 1 << LEVELS))])
"""In how many zeros a number ends, by its lowest bits; the last class is all that end in more."""
_FIRST_AGE, _AGES = 16, 16
"""Ages are told apart by how many bits their nanoseconds take: from so many on, so many more."""
_SIZES = 64
"""So are sizes."""
_THREADS = 256
"""So many threads are told apart; then what is summed up has to go."""


class Blocks(NamedTuple):
    """Blocks that were freed, as columns."""

    stacks: Numbers
    """Number of the stack of each."""
    threads: Numbers
    addresses: Words
    sizes: Words
    ages: Numbers
    """In nanoseconds."""


class Sums:
    """Sums up blocks by their stack."""

    def __init__(self, stacks: int) -> None:
        """Begin; the numbers of stacks are less than `stacks`."""
        self.zeros = np.zeros((2, stacks, LEVELS + 1), np.int64)
        """Blocks, and their bytes."""
        self.sizes = np.zeros((2, stacks, _SIZES), np.int64)
        """Blocks, and their bytes."""
        self.ages = np.zeros((2, stacks, _AGES), np.int64)
        """Blocks, and their ages together."""
        self.threads = np.zeros((stacks, _THREADS), np.int64)
        self._places: dict[int, int] = {}
        """By thread."""

    def has_room(self, threads: Numbers) -> bool:
        """Whether blocks of these threads can be added before `clear`, all at once."""
        return len(self._places.keys() | {*np.unique(threads).tolist()}) <= _THREADS

    def add(self, blocks: Blocks) -> None:
        """Add blocks; those of more threads than there is room for are added to the last one."""
        stacks, sizes = blocks.stacks, blocks.sizes.astype(np.int64)
        factor = np.uint64(HASH_FACTOR)
        products = (blocks.addresses >> np.uint64(HASH_SHIFT)) * factor
        lots = (products ^ products >> np.uint64(32)) * factor
        ends = (lots >> np.uint64(32) & np.uint64((1 << LEVELS) - 1)).astype(np.int64)
        _add(self.zeros, stacks, _ENDS[ends], sizes)
        _add(self.sizes, stacks, np.minimum(_bit_lengths(sizes), _SIZES - 1), sizes)
        ages = np.clip(_bit_lengths(blocks.ages) - _FIRST_AGE, 0, _AGES - 1)
        _add(self.ages, stacks, ages, blocks.ages)
        known, places = np.unique(blocks.threads, return_inverse=True)
        columns = [
            self._places.setdefault(thread, min(len(self._places), _THREADS - 1))
            for thread in known.tolist()
        ]
        places = stacks * _THREADS + np.array(columns, np.int64)[places]
        np.add.at(self.threads.reshape(-1), places, 1)

    def filled(self) -> list[int]:
        """Return the stacks that have blocks."""
        found: list[int] = np.flatnonzero(self.ages[0].any(axis=1)).tolist()
        return found

    def ages_of(self, stack: int) -> tuple[tuple[int, int], ...]:
        """Return ages, the mean of those that are alike, each with how many blocks."""
        blocks, ages = self.ages[:, stack]
        bins = np.flatnonzero(blocks)
        return tuple(zip((ages[bins] // blocks[bins]).tolist(), blocks[bins].tolist()))

    def threads_of(self, stack: int) -> tuple[tuple[int, int], ...]:
        """Return threads, each with how many blocks."""
        row = self.threads[stack].tolist()
        return tuple((thread, row[at]) for thread, at in self._places.items() if row[at])

    def sizes_of(self, stack: int) -> tuple[tuple[int, int], ...]:
        """Return how many blocks are about equally large, each with their bytes."""
        blocks, size = self.sizes[:, stack]
        bins = np.flatnonzero(blocks)
        return tuple(zip(blocks[bins].tolist(), size[bins].tolist()))

    def zeros_of(self, stack: int) -> tuple[tuple[int, int, int], ...]:
        """Return zeros, each with how many blocks have lots that end in them, and their bytes."""
        blocks, size = self.zeros[:, stack]
        bins = np.flatnonzero(blocks)
        return tuple(zip(bins.tolist(), blocks[bins].tolist(), size[bins].tolist()))

    def clear(self) -> None:
        """Begin anew."""
        for sums in (self.zeros, self.sizes, self.ages, self.threads):
            sums[:] = 0
        self._places.clear()


def _add(sums: Numbers, stacks: Numbers, bins: Numbers, values: Numbers) -> None:
    """Add a block to the bin of each stack, and its value."""
    places = stacks * sums.shape[2] + bins
    np.add.at(sums[0].reshape(-1), places, 1)
    np.add.at(sums[1].reshape(-1), places, values)


def _bit_lengths(numbers: Numbers) -> Numbers:
    """Return how many bits each number takes; of very large ones it may be one more."""
    _, exponents = np.frexp(numbers.astype(np.float64))
    lengths: Numbers = exponents.astype(np.int64)
    return lengths
