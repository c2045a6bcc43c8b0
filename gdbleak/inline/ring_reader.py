"""Events out of the units of a ring, as columns. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from gdbleak.inline.ring import (
    ADDRESS,
    FACTOR,
    FRAME_POINTER,
    INFO,
    SIZE,
    STACK_POINTER,
    STACK_WORDS_OF_UNIT,
    THREAD,
    UNIT_BYTES,
    WORD_BYTES,
    Ring,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]
    Numbers = NDArray[np.int64]
    Flags = NDArray[np.bool_]

UNIT_WORDS = UNIT_BYTES // WORD_BYTES
_FIELD = np.uint64(0xFFFF)


class Batch(NamedTuple):
    """Whole events in the order of their tickets. All but `words` and `fields` are columns."""

    words: Words
    """The units, in rows of eight words."""
    heads: Numbers
    """Row of each event's first unit."""
    tickets: Numbers
    """Number of that unit of all that were ever claimed."""
    sites: Numbers
    stack_words: Numbers
    """How much stack it has."""
    fields: Words
    """The words of the events' first units: a row for each of the eight, a column an event."""

    def __len__(self) -> int:
        return len(self.heads)

    def pick(self, wanted: Flags) -> Batch:
        """Return the batch of some of its events."""
        return Batch(
            self.words,
            self.heads[wanted],
            self.tickets[wanted],
            self.sites[wanted],
            self.stack_words[wanted],
            self.fields[:, wanted],
        )

    def column(self, field: int) -> Words:
        """Return a word of each event's first unit."""
        found: Words = self.fields[field]
        return found

    @property
    def addresses(self) -> Words:
        """Of the blocks."""
        return self.column(ADDRESS)

    @property
    def sizes(self) -> Words:
        """Bytes that were requested, modulo 2**64."""
        return self.column(SIZE) * self.column(FACTOR)

    @property
    def threads(self) -> Words:
        """Thread pointers."""
        return self.column(THREAD)

    @property
    def stack_pointers(self) -> Words:
        """Where the stacks begin."""
        return self.column(STACK_POINTER)

    @property
    def frame_pointers(self) -> Words:
        """What the register held."""
        return self.column(FRAME_POINTER)

    def stack(self, event: int) -> Words:
        """Return the words of the stack of one event, in a copy."""
        first, words = int(self.heads[event]) + 1, int(self.stack_words[event])
        units = -(-words // STACK_WORDS_OF_UNIT)
        return self.words[first : first + units, 1:].reshape(-1)[:words]


class Decoded(NamedTuple):
    """What stands in a part of a ring."""

    batch: Batch
    end: int
    """Number of the unit behind the last whole event: the next one, or a hole, begins there."""
    damaged: int
    """Events whose units do not fit together, and which are left out."""


def decode(units: bytes, first: int) -> Decoded:
    """Decode units, up to the first that is not written yet.

    Args:
        units: Their bytes, from a whole event on.
        first: The number of the first one, of all that were ever claimed.

    """
    words: Words = np.frombuffer(units, "<u8").reshape(-1, UNIT_WORDS)
    written = _find_written(words, first)
    end = len(words) if written.all() else int(np.argmin(written))
    heads = np.flatnonzero(words[:end, 0] & np.uint64(1))
    fields = np.ascontiguousarray(words[heads].T)
    info = fields[INFO]
    counts = ((info >> np.uint64(32)) & _FIELD).astype(np.int64)
    stack_words = (((info >> np.uint64(16)) & _FIELD) // np.uint64(WORD_BYTES)).astype(np.int64)
    behind = np.append(heads[1:], end)
    if len(heads) and heads[-1] + counts[-1] > end:  # its last units are not written yet
        end = int(heads[-1])
        heads, counts, stack_words, behind = (
            column[:-1] for column in (heads, counts, stack_words, behind)
        )
        fields = fields[:, :-1]
    needed = 1 + -(-stack_words // STACK_WORDS_OF_UNIT)
    sound = (counts == needed) & (heads + counts == behind)
    strays = end > 0 and (not len(heads) or heads[0] != 0)
    damaged = len(heads) - int(np.count_nonzero(sound)) + bool(strays)
    sites = (fields[INFO] & _FIELD).astype(np.int64)
    batch = Batch(words, heads, heads + first, sites, stack_words, fields)
    if not sound.all():
        batch = batch.pick(sound)
    return Decoded(batch, first + end, damaged)


def find_next(units: bytes, first: int, after: int) -> int:
    """Return the number of the first unit behind another at which a written event begins.

    The number behind the last unit, if there is none.

    Args:
        units: Their bytes.
        first: The number of the first one.
        after: The number of that other one.

    """
    words: Words = np.frombuffer(units, "<u8").reshape(-1, UNIT_WORDS)
    begins = _find_written(words, first) & (words[:, 0] & np.uint64(1)).astype(np.bool_)
    begins[: after + 1 - first] = False
    places = np.flatnonzero(begins)
    return first + (int(places[0]) if len(places) else len(words))


def pieces(ring: Ring, first: int, end: int) -> Iterable[tuple[int, int]]:
    """Yield address and size of the one or two pieces of memory that hold units of a ring."""
    place = first % ring.units
    count = min(end - first, ring.units - place)
    yield ring.first_unit + place * UNIT_BYTES, count * UNIT_BYTES
    if count < end - first:
        yield ring.first_unit, (end - first - count) * UNIT_BYTES


def _find_written(words: Words, first: int) -> Flags:
    numbers = np.arange(first + 1, first + 1 + len(words), dtype=np.uint64)
    found: Flags = words[:, 0] >> np.uint64(1) == numbers
    return found
