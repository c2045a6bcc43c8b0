"""Looks at the whole heap of a process: which blocks nothing refers to.

The first look is at all blocks. What it has not reached is looked for again, as everything else
counts as held then: that takes little memory, and may only hide lost blocks, never invent them. A
process runs meanwhile; so a block counts as lost only if no look has reached it, if all of them
have seen the same words refer to it, if it begins with the same bytes at each of them, and if it is
in use after the first one and when all is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdbleak.census.lost.around import Around
from gdbleak.memory.gather import gather
from gdbleak.memory.graph import Graph
from gdbleak.memory.look import Ranges
from gdbleak.memory.pieces import WORD_BYTES, Range, Words, subtract
from gdbleak.memory.search import (
    MOST_LOOKS,
    Pace,
    TooLongError,
    choose_ranges,
    find_used,
)
from gdbleak.memory.sweep import Sweep, mix, sweep
from gdbleak.memory.table import Table
from gdbleak.target.examined import Examined
from gdbleak.target.kernel_words import read_kernel_words

Blocks = tuple[Words, Words]
"""Addresses as malloc has returned them, in order, and how many bytes may be used at each."""

_LOOKS_AGAIN = 3
_BEGIN_WORDS = 8
"""So much of a block must not change."""
_READ_AT_ONCE = 1 << 18
_NONE = np.zeros(0, np.uint64), np.zeros(0, np.uint64)
_LARGE_BYTES = 1 << 20
"""Free memory that is larger is not even read."""


@dataclass(frozen=True)
class Unreached:
    """What nothing outside it refers to."""

    starts: Words
    sizes: Words
    graph: Graph
    """References among these blocks."""
    mappings: tuple[Range, ...]
    """Mappings that nothing refers to."""
    looks: int
    crowded: int
    """How many blocks count as held because there were too many references to follow."""
    unknown_threads: int
    """How many threads there are whose registers could not be read."""


class Looks:
    """A search for blocks that nothing refers to."""

    def __init__(
        self,
        process: Examined,
        around: Around,
        blocks: Blocks,
        left_out: Words,
        pace: Pace,
        is_still: bool,
    ) -> None:
        """Begin.

        Args:
            process: Whose heap it is.
            around: What else is known of its memory.
            blocks: Those in use.
            left_out: What belongs to nobody: first addresses and those behind the last, in pairs.
            pace: Of the search.
            is_still: Whether nothing can change meanwhile.

        """
        self._process = process
        self._around = around
        self._blocks = blocks
        self._left_out = left_out
        self._free = Ranges(left_out)
        self._pace = pace
        self._is_still = is_still
        self._looks = 0
        self._crowded = self._unknown = 0

    def run(self, count_again: Callable[[], Blocks] | None) -> Unreached:
        """Return what no look has reached.

        Args:
            count_again: Counts the blocks that are in use once more; None where nothing can have
                changed.

        Raises:
            TooLongError: it would take longer than the pace admits.

        """
        starts, sizes, own = _put_among(*self._blocks, self._around.mappings)
        self._blocks = _NONE
        large = self._left_out[self._left_out[:, 1] - self._left_out[:, 0] >= _LARGE_BYTES]
        skipped = [Range(*each) for each in large.tolist()]
        table = Table.of_arrays(starts, sizes)
        del starts, sizes
        seen = self._sweep(table, own, skipped, False)
        words = self._read_words() if self._is_still else np.zeros(0, np.uint64)
        unreached = self._find_unreached(table, seen, own, words)
        if self._is_still or not unreached.any():
            return self._choose(table, seen, own, unreached)
        del seen
        if count_again is not None:  # what was freed meanwhile may be handed out again soon
            unreached &= own | _are_in_use(table, *count_again())
        table = table.choose(unreached)
        return self._look_again(table, own[unreached], count_again)

    def _look_again(
        self, table: Table, own: NDArray[np.bool_], count_again: Callable[[], Blocks] | None
    ) -> Unreached:
        """Look for the blocks that the first look has not reached."""
        words = self._read_words()
        begins = self._read_begins(table)
        held, always = np.zeros(len(table), bool), np.ones(len(table), bool)
        marks: NDArray[np.uint32] | None = None
        for number in range(MOST_LOOKS):
            self._pace.await_next()
            try:
                latest = self._sweep(table, own, [], True)
            except TooLongError:
                if number < _LOOKS_AGAIN:
                    raise
                break
            seen = latest
            reached = ~self._find_unreached(table, seen, own, words)
            always &= reached
            held |= reached
            if marks is not None:
                held |= seen.marks != marks
            marks = seen.marks
            held |= (begins != self._read_begins(table)) & ~own
            # What was reached once, and not always, moves: each look may miss some of that.
            settled = (held == always).all() or held.all() or not self._pace.is_quick
            if number >= _LOOKS_AGAIN - 1 and settled:
                break
            del latest
            if number < _LOOKS_AGAIN - 1:
                del seen  # it takes as much memory as the next one
        words = self._read_words()
        held |= ~self._find_unreached(table, seen, own, words)
        if count_again is not None:
            self._count_again(table, seen, own, held, *count_again())
        held |= (begins != self._read_begins(table)) & ~own
        reached = held.copy()
        seen.graph.flood(reached, np.flatnonzero(held & ~own).astype(np.uint32))
        return self._choose(table, seen, own, ~reached)

    def _count_again(
        self,
        table: Table,
        seen: Sweep,
        own: NDArray[np.bool_],
        held: NDArray[np.bool_],
        starts: Words,
        sizes: Words,
    ) -> None:
        """Take those for held that are not in use any more, and what is referred to from new ones.

        The latter lie where memory belonged to nobody.
        """
        held |= ~(_are_in_use(table, starts, sizes) | own)
        if not len(starts):
            return
        places, targets = seen.weak
        at = np.searchsorted(starts, places, "right") - 1
        inside = (at >= 0) & (places < starts[at] + sizes[at])
        held[targets[inside]] = True

    def _sweep(
        self, table: Table, own: NDArray[np.bool_], skipped: Sequence[Range], with_weak: bool
    ) -> Sweep:
        left_out = sorted([*self._around.dead, *skipped])
        searched = choose_ranges(self._process, left_out, self._pace.check)
        if not searched.ranges:
            return self._around.raise_gone()
        self._pace.begin_look(self._looks, sum(end - start for start, end in searched.ranges))

        def list_used() -> list[Range]:
            if self._is_still:
                return []
            used = subtract(find_used(self._process, searched), self._around.dead)
            return sorted([*used, *self._around.find_revived(self._process)])

        parts: Iterable[Callable[[], list[Range]]] = (lambda: searched.ranges, list_used)
        read, pause = self._process.read, self._pace.step
        backwards = bool(self._looks % 2)
        seen = sweep(table, read, parts, pause, self._free, own, with_weak, backwards)
        self._looks += 1
        self._crowded = max(self._crowded, seen.crowded)
        return seen

    def _find_unreached(
        self, table: Table, seen: Sweep, own: NDArray[np.bool_], words: Words
    ) -> NDArray[np.bool_]:
        """Return which blocks one look has not reached, and to which mappings nothing refers."""
        held = seen.held.copy()
        held[table.find(words)[1]] = True
        referred = held.copy()
        referred[seen.graph.targets] = True
        reached = held.copy()
        seen.graph.flood(reached, np.flatnonzero(held | own).astype(np.uint32))
        return np.where(own, ~referred, ~reached)

    def _choose(
        self, table: Table, seen: Sweep, own: NDArray[np.bool_], unreached: NDArray[np.bool_]
    ) -> Unreached:
        lost, alone = unreached & ~own, np.flatnonzero(unreached & own)
        mappings = zip(table.starts[alone].tolist(), (table.ends[alone] + np.uint64(1)).tolist())
        return Unreached(
            table.starts[lost],
            table.ends[lost] - table.starts[lost],
            seen.graph.within(lost),
            tuple(Range(*each) for each in mappings),
            self._looks,
            self._crowded,
            self._unknown,
        )

    def _read_words(self) -> Words:
        """Return what stands in registers, and with the kernel."""
        registers = self._process.read_registers()
        threads = {thread.id for thread in self._process.read_threads()}
        self._unknown = len(threads - registers.keys())
        values = [word for words in registers.values() for word in words]
        values += [each.stack_pointer for each in self._process.find_waiting().values()]
        if not self._process.is_core:
            values += read_kernel_words(self._process.pid)
        return np.array(values, np.uint64)

    def _read_begins(self, table: Table) -> NDArray[np.uint32]:
        """Return for each block a number that depends on how it begins."""
        begins = np.zeros(len(table), np.uint32)
        for at in range(0, len(table), _READ_AT_ONCE):
            starts = table.starts[at : at + _READ_AT_ONCE]
            sizes = table.ends[at : at + _READ_AT_ONCE] - starts
            words = gather(self._process.read, starts, _BEGIN_WORDS)
            for number in range(_BEGIN_WORDS):
                inside = sizes >= np.uint64(WORD_BYTES * (number + 1))
                begins[at : at + len(starts)] += mix(words[:, number] + np.uint64(number)) * inside
        return begins


def _are_in_use(table: Table, starts: Words, sizes: Words) -> NDArray[np.bool_]:
    """Return which blocks are among others, with the same sizes."""
    if not len(starts):
        return np.zeros(len(table), bool)
    at = np.minimum(np.searchsorted(starts, table.starts), len(starts) - 1)
    same: NDArray[np.bool_] = (starts[at] == table.starts) & (
        sizes[at] == table.ends - table.starts
    )
    return same


def _put_among(
    starts: Words, sizes: Words, mappings: Sequence[Range]
) -> tuple[Words, Words, NDArray[np.bool_]]:
    """Return blocks with mappings put in their places among them, and which are mappings."""
    begins = np.array([start for start, _ in mappings], np.uint64)
    ends = np.array([end for _, end in mappings], np.uint64)
    places = np.searchsorted(starts, begins)
    own: NDArray[np.bool_] = np.insert(np.zeros(len(starts), bool), places, True)
    if not len(begins):
        return starts, sizes, own
    # What points behind the last byte of a mapping means what follows it, such as a stack.
    ends -= np.uint64(1)
    return np.insert(starts, places, begins), np.insert(sizes, places, ends - begins), own
