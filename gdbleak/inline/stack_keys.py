"""Which raw stacks are of the same call stack, by a hash of the return addresses in them. Pure.

Words that lie in executable memory, and where in the stack they are, decide. Among them are old
return addresses that were left over: so one call stack may have several keys, but one key has one
call stack.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from gdbleak.inline.ring import STACK_WORDS_OF_UNIT, WORD_BYTES
from gdbleak.inline.ring_reader import UNIT_WORDS

if TYPE_CHECKING:
    from gdbleak.inline.ring_reader import Batch, Flags, Numbers, Words

_ODD = np.uint64(0x9E3779B97F4A7C15)
_OTHER = np.uint64(0xC2B2AE3D27D4EB4F)
_USER_END = np.uint64(1 << 48)
_ROWS = 1 << 13
"""So many units are looked through at once: they fit into the cache."""


class CodeRanges:
    """Where executable memory is, in tables of parts of an address.

    Together they say of few other addresses that they are there: of some whose pages are as far
    into 256 MiB as one with code is, and into 4 GiB as another.
    """

    def __init__(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Take it in; each range is its first address and the one behind its last."""
        ranges = [*ranges]
        self._pages = _table(ranges, 12)
        self._blocks = _table(ranges, 16)
        self._regions = _table(ranges, 32)

    def may_hold(self, words: Words) -> Flags:
        """Return which words may be addresses of code, by their bits 16 to 31."""
        found: Flags = self._blocks[words.view("<u2")[..., 1::4]]
        return found

    def hold(self, words: Words) -> Flags:
        """Return which of those are."""
        found: Flags = self._pages[(words >> np.uint64(12)).astype(np.uint16)]
        found &= self._regions[words.view("<u2")[2::4]] & (words < _USER_END)
        return found


def _table(ranges: Iterable[tuple[int, int]], shift: int) -> Flags:
    """Return whether code has an address with such bits, of 16 from `shift` on."""
    table = np.zeros(1 << 16, np.bool_)
    for start, end in ranges:
        first, last = start >> shift, (end - 1) >> shift
        if end > start:
            table[np.arange(first, min(last, first + 0xFFFF) + 1) & 0xFFFF] = True
    return table


def mix(words: Words) -> Words:
    """Return a hash of each word."""
    words = words * _ODD
    words ^= words >> np.uint64(29)
    words *= _OTHER
    words ^= words >> np.uint64(32)
    return words


_PLACES: Words = mix(np.arange(1, 1 << 13, dtype=np.uint64))
"""What each place in a stack adds to the hash of a word there."""


def hash_stacks(batch: Batch, code: CodeRanges, wanted: Flags) -> Words:
    """Return a key for the site and stack of each wanted event, never 0; the others have any."""
    words, heads = batch.words, batch.heads
    keys = batch.sites.astype(np.uint64) << np.uint64(32) | batch.stack_words.astype(np.uint64)
    # A function that keeps its frame in the register is unwound by that.
    above = batch.frame_pointers - batch.stack_pointers
    in_stack = above < batch.stack_words.astype(np.uint64) * np.uint64(WORD_BYTES)
    keys ^= np.where(in_stack, above, np.uint64(0xFFFF)) << np.uint64(16)
    with_stack = np.flatnonzero(wanted & (batch.stack_words > 0))
    keys[with_stack] ^= mix(words[heads[with_stack] + 1, 1])
    keys = mix(keys)
    if not len(batch):
        return keys
    events_of, places_of = _locate_rows(len(words), heads)
    for start in range(0, len(words), _ROWS):
        part = words[start : start + _ROWS]
        may_be = code.may_hold(part)
        may_be[:, 0] = False  # the words that say which unit it is
        flat = np.flatnonzero(may_be)
        rows = (flat >> 3) + start
        found, events = part.reshape(-1)[flat], events_of[rows]
        places = places_of[rows] + (flat & 7)
        # Neither an event's first unit, nor what is left over behind its stack.
        inside = (places >= 0) & (places < batch.stack_words[events]) & code.hold(found)
        events = events[inside]
        if len(events):
            parts = mix(found[inside] ^ _PLACES[places[inside]])
            starts = np.flatnonzero(np.append(True, events[1:] != events[:-1]))
            keys[events[starts]] += np.add.reduceat(parts, starts)
    return np.maximum(keys, np.uint64(1))


def _locate_rows(rows: int, heads: Numbers) -> tuple[Numbers, Numbers]:
    """Return the event that each row is in, and the place in its stack one before the row's."""
    begins = np.zeros(rows, np.int64)
    begins[heads] = 1
    events = np.maximum(np.cumsum(begins) - 1, 0)
    # Rows before the first event, and the first of each, come to be before its stack.
    places = (np.arange(rows) - heads[events] - 1) * STACK_WORDS_OF_UNIT - 1
    places[begins > 0] = -UNIT_WORDS
    return events, places


class KeyTable:
    """Numbers keys, from 0, in the order in which they come; a bounded number of them."""

    def __init__(self, most: int) -> None:
        """Begin; `most` keys are numbered, a power of two."""
        self.most = most
        slots = 8 * most
        self._mask = np.uint64(slots - 1)
        self._keys = np.zeros(slots, np.uint64)
        self._numbers = np.full(slots, -1, np.int64)
        self.count = 0

    def find(self, keys: Words) -> Numbers:
        """Return the number of each key; -1 for one that has none. A key is never 0."""
        slots = (keys & self._mask).astype(np.int64)
        found = self._keys[slots]
        numbers = np.where(found == keys, self._numbers[slots], -1)
        left = np.flatnonzero((found != keys) & (found != 0))
        while len(left):  # of another key that hashes alike
            slots[left] = (slots[left] + 1) & int(self._mask)
            found = self._keys[slots[left]]
            same = found == keys[left]
            numbers[left[same]] = self._numbers[slots[left[same]]]
            left = left[~same & (found != 0)]
        return numbers

    def add(self, keys: Words) -> None:
        """Number keys that are not numbered yet, each once; no more than there is room for."""
        mask = int(self._mask)
        for key in keys[: self.most - self.count].tolist():
            slot = key & mask
            while self._keys[slot]:
                slot = (slot + 1) & mask
            self._keys[slot] = key
            self._numbers[slot] = self.count
            self.count += 1

    def clear(self) -> None:
        """Forget all."""
        self._keys[:] = 0
        self._numbers[:] = -1
        self.count = 0
