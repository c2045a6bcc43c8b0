"""A search of the heap of a running target for blocks that were freed while breakpoints were out.

Between bursts no breakpoint tells of a free. But glibc writes beside and into a block that it is
free, and that can be read without stopping anyone. A block that was handed out again before it was
looked at seems to have been in use all along: the more often one looks, the rarer that is.
"""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import islice

from gdbleak.capture.notebook import Notebook
from gdbleak.capture.words import WORD_BYTES, Words
from gdbleak.effort import EffortError
from gdbleak.heap.freed import Heap
from gdbleak.ledger.blocks import Block
from gdbleak.plan.allocators import Plan
from gdbleak.recording.events import Freed, encode_freed
from gdbleak.target.proc import find_data
from gdbleak.target.source import Source

GLANCE_S = 0.001
ROUND_S = 0.05
INSPECTION_S = 0.2
"""The least time between two looks of each kind, in seconds."""

HEAP_BYTES = 1 << 30
"""What lies further behind the end of the main arena belongs to others."""

GLANCED = 1000
"""The number of latest blocks that a glance takes in: one that was glanced at for long and never
found free is unlikely to be free."""

INSPECTED = 1000
"""The number of blocks that one inspection looks at: nothing else is done meanwhile."""

ROUNDED = 20_000
"""The number of blocks that one round looks at; the next round goes on from there."""

GLANCE_SHARE, SHARE = 0.1, 0.03
"""The largest share of the time that goes into glances, and into each other kind of look."""


def find_glibc(plan: Plan) -> str | None:
    """Return the path of the glibc whose blocks a plan records; None if it is another's, too."""
    allocators = [a for a in plan.allocators if any(f.mapping is None for f in a.functions)]
    if len(allocators) != 1 or not allocators[0].is_glibc:
        return None
    return allocators[0].module.path


def find_heap(source: Source, plan: Plan) -> Heap | None:
    """Return the heap whose blocks a plan records; None when its state cannot be read."""
    path = find_glibc(plan)
    return None if path is None else Heap(source, find_data(source.read_mappings(), path))


class Looks:
    """Looks at the blocks of one target, and notes in its recording which are free.

    There are three kinds of look: a glance at the latest blocks, rounds of all of them, and, for
    what these do not see, an inspection of some.
    """

    def __init__(self, pid: int, heap: Heap, notebook: Notebook) -> None:
        self._pid = pid
        self._heap = heap
        self._notebook = notebook
        self._born: dict[int, int] = {}
        """When the blocks that are glanced at were handed out, by their addresses."""
        self._words: Words | None = None
        self._top = 0
        """Where the end of the main arena is told; 0 when it was not found."""
        self._glance_due_s = self._round_due_s = self._inspection_due_s = 0.0
        self._inspected = self._rounded = 0

    def look(self, blocks: dict[int, Block], now_ns: int) -> None:
        """Take the look that is due, if one is, and prepare to glance.

        Args:
            blocks: Those that seem to be in use by their addresses, the latest at the end.
            now_ns: On the clock of the recording.

        Raises:
            WriteError: the recording cannot be written on.

        """
        began_s = time.monotonic()
        freed: set[int] = set()
        if began_s >= self._inspection_due_s:
            with suppress(EffortError):  # the heap was made to keep us
                freed = self._inspect(blocks)
            self._inspection_due_s = _next_time(began_s, INSPECTION_S, SHARE)
        elif began_s >= self._round_due_s:
            with suppress(EffortError):
                freed = self._go_round(blocks)
            self._round_due_s = _next_time(began_s, ROUND_S, SHARE)
        # Of a block that had the mark when it was handed out, that does not say that it is free:
        # glibc 2.34 to 2.42 leaves it in the blocks of a cache whose thread ends.
        marks = self._heap.marks
        told = {address for address in freed if blocks[address].mark not in marks}
        self._note(now_ns, {address: blocks[address].born_ns for address in told})
        latest = islice(reversed(blocks.values()), GLANCED)
        born = {
            block.address: block.born_ns
            for block in latest
            if block.address not in told and block.mark not in marks
        }
        if born != self._born:
            self._born = born
            arena = self._heap.main_arena
            self._top = arena.top if arena else 0
            seconds = [address + WORD_BYTES for address in born]
            self._words = Words(self._pid, [*seconds, self._top] if self._top else seconds)

    def glance(self, now_ns: int) -> None:
        """Glance at the blocks that `look` has prepared, unless that is not due.

        Raises:
            WriteError: the recording cannot be written on.

        """
        began_s = time.monotonic()
        if self._words is None or began_s < self._glance_due_s:
            return
        try:
            words = self._words.read()
        except OSError:  # on this kernel there are only the other kinds
            self._words = None
            return
        marks, top = self._heap.marks, words.get(self._top, 0)
        suspects = [at - WORD_BYTES for at, word in words.items() if word in marks]
        if top:
            suspects += [address for address in self._born if top < address < top + HEAP_BYTES]
        if suspects:
            freed = set[int]()
            with suppress(EffortError):
                freed = self._heap.find_quickly(suspects) & self._born.keys()
            self._note(now_ns, {address: self._born[address] for address in freed})
        self._glance_due_s = _next_time(began_s, GLANCE_S, GLANCE_SHARE)

    def _inspect(self, blocks: dict[int, Block]) -> set[int]:
        some, self._inspected = _take(blocks, self._inspected, INSPECTED)
        return self._heap.find_freed(some)

    def _go_round(self, blocks: dict[int, Block]) -> set[int]:
        some, self._rounded = _take(blocks, self._rounded, ROUNDED)
        return self._heap.find_quickly(some)

    def _note(self, now_ns: int, freed: dict[int, int]) -> None:
        if freed:
            self._notebook.note(encode_freed(Freed(now_ns, tuple(freed.items()))))


def _take(blocks: dict[int, Block], start: int, count: int) -> tuple[list[int], int]:
    """Return the addresses of some blocks from a place in their order on, and the place behind."""
    start = start if start < len(blocks) else 0
    some = [*islice(blocks, start, start + count)]
    return some, start + len(some)


def _next_time(began_s: float, pause_s: float, share: float) -> float:
    """Return when the next look of a kind is due, after one that has just ended."""
    return began_s + max(pause_s, (time.monotonic() - began_s) / share)
