"""Several looks at the memory of a process, and what they may cost. Pure."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from gdbleak.memory.judgement import count_moved
from gdbleak.memory.look import Ranges, References, harden, look
from gdbleak.memory.pieces import WORD_BYTES, Range, choose_regions, subtract, touched
from gdbleak.memory.source import Searchable, Waiting
from gdbleak.memory.table import Table

LOOKS, MOST_LOOKS = 3, 8
"""There are more when references are seen to move: each may miss one that moves."""
APART_S = 0.1
"""The least time from the beginning of a look to that of the next."""
RED_ZONE = 128
"""What a function may use below the stack pointer without moving it. Source: the System V ABI."""
_LEAD_S = 0.02
"""So far ahead of its pace a look may be before it waits."""


class TooLongError(Exception):
    """The looks would take too long; the message says how long."""


class Pace:
    """Holds a search to a rate, and tells how far it is."""

    def __init__(self, bytes_per_s: float, tell: Callable[[float], None]) -> None:
        """Begin.

        Args:
            bytes_per_s: How much may be read each second.
            tell: Called often with the share of the looks that is done; it may raise.

        """
        self._bytes_per_s = bytes_per_s
        self._tell = tell
        self._began_s = time.monotonic()
        self._done = 0
        self._total = 1

    def begin_look(self, number: int, size: int) -> None:
        """Begin to read so many bytes; looks are counted from 0."""
        self._began_s, self._done = time.monotonic(), 0
        self._number, self._total = number, max(size, 1)

    def step(self, size: int) -> None:
        """Wait for as long as it takes to keep the pace, once so many bytes more were read."""
        self._done += size
        self._tell((self._number + min(self._done / self._total, 1)) / max(LOOKS, self._number + 1))
        ahead_s = self._began_s + self._done / self._bytes_per_s - time.monotonic()
        if ahead_s > _LEAD_S:
            time.sleep(ahead_s)

    def await_next(self) -> None:
        """Wait until the next look may begin."""
        time.sleep(max(self._began_s + APART_S - time.monotonic(), 0))


def take_looks(
    table: Table,
    process: Searchable,
    left_out: Sequence[Range],
    pace: Pace,
    bytes_per_s: float,
    limit_s: float,
    find_free: Callable[[], Ranges],
) -> list[References]:
    """Look at all memory of a process, at least three times.

    Args:
        table: The blocks that may be referred to.
        process: Runs meanwhile.
        left_out: Memory that is not the process's own.
        pace: Of the search.
        bytes_per_s: The rate that it holds.
        limit_s: How long all looks together may take.
        find_free: Returns what belongs to nobody, as far as the allocator tells.

    Raises:
        TooLongError: they would take longer.
        TooManyError: the blocks refer to each other too often.

    """
    looks: list[References] = []
    began_s = time.monotonic()
    nothing, free = np.zeros(len(table), bool), find_free()
    while len(looks) < LOOKS or (len(looks) < MOST_LOOKS and count_moved(looks, nothing)):
        look_s = time.monotonic()
        looks.append(
            _look_once(table, process, left_out, free, pace, len(looks), bytes_per_s, limit_s)
        )
        took_s = time.monotonic() - look_s
        if len(looks) >= LOOKS and time.monotonic() - began_s + took_s > limit_s:
            break
        pace.await_next()
    return harden(looks, find_free())


def _look_once(
    table: Table,
    process: Searchable,
    left_out: Sequence[Range],
    free: Ranges,
    pace: Pace,
    number: int,
    bytes_per_s: float,
    limit_s: float,
) -> References:
    waiting = process.find_waiting()
    unused = _find_unused(process.find_stacks(waiting), waiting)
    pages = touched(choose_regions(process.read_mappings()), process.find_pages)
    ranges = subtract(pages, sorted([*left_out, *unused.values()]))
    size = sum(end - start for start, end in ranges)
    if LOOKS * size / bytes_per_s > limit_s:
        raise TooLongError(f"{LOOKS * size / bytes_per_s:.0f}")
    pace.begin_look(number, size)
    backwards = bool(number % 2)
    seen = look(table, process.read, ranges, pace.step, free, backwards)
    # What a thread that has run meanwhile has put into the part of its stack that it did not use.
    again = process.find_waiting()
    used = sorted(unused[thread] for thread in unused if again.get(thread) != waiting[thread])
    if used:
        more = look(table, process.read, used, pace.step, free)
        seen = seen._replace(roots=np.where(seen.roots > 0, seen.roots, more.roots))
    return seen


def _find_unused(
    stacks: Mapping[int, tuple[int, int]], waiting: Mapping[int, Waiting]
) -> dict[int, Range]:
    """Return the unused part of the stacks of threads that wait, by the threads' ids."""
    unused = {}
    for thread, (start, end) in stacks.items():
        pointer = waiting[thread].stack_pointer if thread in waiting else 0
        if start <= pointer < end:
            unused[thread] = Range(start, max(start, (pointer - RED_ZONE) & ~(WORD_BYTES - 1)))
    return unused
