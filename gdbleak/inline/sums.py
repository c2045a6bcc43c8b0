"""What was folded: counts of blocks by stack, thread and size, with their ages. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdbleak.inline.ring import HASH_FACTOR, HASH_SHIFT, LEVELS
from gdbleak.inline.stack_keys import KeyTable, mix
from gdbleak.recording.events import Alike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gdbleak.inline.ring_reader import Numbers, Words

MOST_CELLS = 1 << 13
"""So many sums are kept; then they have to go."""

_ZEROS = LEVELS + 1
"""Classes of the zeros in which hashes end; the last one is all that end in as many or more."""
_FIRST_AGE, _AGES = 16, 16
"""Ages are told apart by how many bits their nanoseconds take: from so many on, so many more."""
_BINS = _ZEROS * _AGES
_ENDS = np.array([LEVELS, *((n & -n).bit_length() - 1 for n in range(1, 1 << LEVELS))])
"""In how many zeros a number ends, by its lowest bits."""


class Blocks(NamedTuple):
    """Blocks that were freed, as columns."""

    stacks: Numbers
    """Number of the stack of each."""
    threads: Numbers
    addresses: Words
    sizes: Words
    ages: Numbers
    """In nanoseconds."""

    def pick(self, places: slice) -> Blocks:
        """Return some of them."""
        stacks, threads, addresses, sizes, ages = self
        return Blocks(
            stacks[places], threads[places], addresses[places], sizes[places], ages[places]
        )


class Sum(NamedTuple):
    """What was summed up for one stack and thread, and one order of magnitude of sizes."""

    stack: int
    thread: int
    groups: tuple[Alike, ...]


class Sums:
    """Sums up blocks."""

    def __init__(self) -> None:
        self._cells = KeyTable(MOST_CELLS)
        self._stacks = np.zeros(MOST_CELLS, np.int64)
        self._threads = np.zeros(MOST_CELLS, np.int64)
        self._blocks = np.zeros((MOST_CELLS, _BINS), np.int64)
        self._bytes = np.zeros((MOST_CELLS, _BINS), np.uint64)
        self._ages = np.zeros((MOST_CELLS, _BINS), np.int64)

    def add(self, blocks: Blocks) -> Iterator[Sum]:
        """Add blocks; yield what has to go for want of room. It has to be run to its end."""
        keys = blocks.stacks.astype(np.uint64) << np.uint64(40)
        keys ^= blocks.threads.astype(np.uint64) << np.uint64(7)
        keys ^= _bit_lengths(blocks.sizes).astype(np.uint64)
        keys = np.maximum(mix(keys), np.uint64(1))
        cells = self._cells.find(keys)
        unknown = np.flatnonzero(cells < 0)
        if len(unknown):
            new, places = np.unique(keys[unknown], return_index=True)
            if len(new) > MOST_CELLS - self._cells.count:
                yield from self.take()
                half = len(keys) // 2 if len(new) > MOST_CELLS else len(keys)
                yield from self.add(blocks.pick(slice(half)))
                yield from self.add(blocks.pick(slice(half, None)))
                return
            added = slice(self._cells.count, self._cells.count + len(new))
            self._stacks[added] = blocks.stacks[unknown[places]]
            self._threads[added] = blocks.threads[unknown[places]]
            self._cells.add(new)
            cells[unknown] = self._cells.find(keys[unknown])
        self._count(cells, blocks)

    def take(self) -> Iterator[Sum]:
        """Yield all sums, and begin anew. It has to be run to its end."""
        for cell in range(self._cells.count):
            bins = np.flatnonzero(self._blocks[cell])
            counts = self._blocks[cell, bins]
            ages, sizes = self._ages[cell, bins] // counts, self._bytes[cell, bins]
            columns = bins // _AGES, ages, counts, sizes
            groups = tuple(map(Alike, *(column.tolist() for column in columns)))
            yield Sum(int(self._stacks[cell]), int(self._threads[cell]), groups)
        for sums in (self._blocks, self._bytes, self._ages):
            sums[: self._cells.count] = 0
        self._cells.clear()

    def _count(self, cells: Numbers, blocks: Blocks) -> None:
        hashes = (blocks.addresses >> np.uint64(HASH_SHIFT)) * np.uint64(HASH_FACTOR)
        zeros = _ENDS[(hashes >> np.uint64(32) & np.uint64((1 << LEVELS) - 1)).astype(np.int64)]
        ages = np.clip(_bit_lengths(blocks.ages) - _FIRST_AGE, 0, _AGES - 1)
        places = cells * _BINS + zeros * _AGES + ages
        np.add.at(self._blocks.reshape(-1), places, 1)
        np.add.at(self._bytes.reshape(-1), places, blocks.sizes)
        np.add.at(self._ages.reshape(-1), places, blocks.ages)


def _bit_lengths(numbers: Words | Numbers) -> Numbers:
    """Return how many bits each number takes; of very large ones it may be one more."""
    _, exponents = np.frexp(numbers.astype(np.float64))
    lengths: Numbers = exponents.astype(np.int64)
    return lengths
